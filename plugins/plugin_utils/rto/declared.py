# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The timing that a cluster is declared to have, and the outage that follows from it, without asking a host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.timings import Timings, seconds
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.model import Courses
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.outlook import outlook
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.read import read_patroni, watched_seconds


def profile_seconds(ha: Mapping[str, Any], given: Mapping[str, Any], losses: Courses) -> dict[str, float]:
    """Return a cluster's timing in seconds: {ttl, etcd_heartbeat, etcd_election, lease_watch, write_outage}.

    lease_watch is the time after which the watcher acts, which is more than its own where Patroni's timing asks for
    more. write_outage is the upper bound of the predicted outages when the primary is lost. Both are missing in a
    cluster that has none, everything in one without PostgreSQL or etcd.

    :arg ha: what the topology derived for any of its hosts.
    :arg given: the roles' variables for timing, by name; raises KeyError for one that is missing, ValueError.
    :arg losses: the courses of the faults that take the primary.
    """
    if not ha.get("postgresql") or not ha.get("etcd"):
        return {}
    report = declared(ha, given)
    reports = {member["name"]: report for member in ha["etcd"]["members"]}
    patroni = configuration(ha, given)
    predictions = outlook(ha, reports, patroni, losses).predictions
    worst = [prediction.worst for prediction in predictions.values()]
    found = {
        "ttl": float(given["patroni_ttl"]),
        "etcd_heartbeat": report["etcd"]["heartbeat_interval"],
        "etcd_election": report["etcd"]["election_timeout"],
    }
    watch = ha.get("lease_watch")
    acts = watched_seconds(watch["seconds"], read_patroni(patroni)) if watch else None
    return {
        **found,
        **({"lease_watch": acts} if acts else {}),
        **({"write_outage": round(max(worst), 3)} if worst else {}),
    }


def configuration(ha: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of Patroni's dynamic configuration that decides about an outage."""
    timing = {name: given[f"patroni_{name}"] for name in ("ttl", "loop_wait", "retry_timeout", "primary_start_timeout")}
    mode = str(given["patroni_synchronous_mode"])
    modes = {"auto": "quorum", "quorum": "quorum", "on": True}
    return {**timing, "synchronous_mode": len(ha["postgresql"]["members"]) > 1 and modes.get(mode, False)}


def declared(ha: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Timings]:
    """Return what holdfast.ha.timings_info would report of a host with all parts."""
    return {
        "patroni": {"amended": True},
        "etcd": {
            "heartbeat_interval": float(given["etcd_heartbeat_interval"]) / 1000,
            "election_timeout": float(given["etcd_election_timeout"]) / 1000,
        },
        "lease_watcher": _watcher(ha),
        "haproxy": {pool["name"]: _checks(given) for pool in ha.get("pools") or ()},
        "keepalived": _vrrp(ha, given),
    }


def _watcher(ha: Mapping[str, Any]) -> Timings:
    watch = ha.get("lease_watch")
    return {"seconds": watch["seconds"], "interval": 0.5, "fencing_after": None} if watch else {}


def _checks(given: Mapping[str, Any]) -> Timings:
    timeout = seconds(str(given["haproxy_check_timeout"]))
    return {
        "inter": seconds(str(given["haproxy_check_interval"])),
        "fastinter": seconds(str(given["haproxy_check_fast_interval"])),
        "downinter": seconds(str(given["haproxy_check_down_interval"])),
        "fall": int(given["haproxy_check_fall"]),
        "rise": int(given["haproxy_check_rise"]),
        "timeout_check": timeout,
        "timeout_connect": None,
    }


def _vrrp(ha: Mapping[str, Any], given: Mapping[str, Any]) -> Timings:
    check = ha["timing"]["vrrp_check"]
    instances = ha["vrrp"]["instances"]
    return {
        "instances": {
            one["name"]: {"advert_int": float(given["keepalived_advert_int"]), "priority": one["priority"] or 100}
            for one in instances
        },
        "scripts": {"haproxy": {name: float(check[name]) for name in ("interval", "timeout", "fall")}},
    }
