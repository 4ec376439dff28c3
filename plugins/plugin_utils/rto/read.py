# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turns the timings that hosts report into settings; where hosts differ, the slowest counts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import (
    TIMING_DEFAULT,
    TIMING_FLOOR,
    is_synchronous,
    scalar,
)
from ansible_collections.holdfast.ha.plugins.module_utils.timings import UNITS, slowest
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.settings import (
    PATRONI_POLL,
    Checks,
    Etcd,
    Patroni,
    Settings,
    Vrrp,
    Watcher,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.lease_rules import Timing

Reports = Mapping[str, Mapping[str, Any]]
SPARED_POLL = 0.0  # the watcher set the silent leader aside: no member polls it
ENOUGH_WATCHERS = 2  # a single watcher may be lost with the primary


class UnknownSettingsError(ValueError):
    """A required setting was not reported by any host."""


def read_settings(ha: Mapping[str, Any], reports: Reports, configuration: Mapping[str, Any] | None) -> Settings:
    """Return the settings of a cluster; raises UnknownSettingsError.

    :arg ha: what the topology derived for any of its hosts.
    :arg reports: the result of holdfast.ha.timings_info from each host that answers.
    :arg configuration: Patroni's dynamic configuration.
    """
    if not configuration:
        raise UnknownSettingsError("no Patroni member reports its configuration")
    patroni = read_patroni(configuration)
    watcher = read_watcher(reports, patroni)
    members = {member["name"] for member in ha["postgresql"]["members"]}
    heirs = [member for member in ha["postgresql"]["members"] if member.get("failover_priority", 1)]
    beside = any(member["name"] in members for member in (ha.get("etcd") or {}).get("members", ()))
    return Settings(
        patroni=patroni,
        etcd=read_etcd(reports, beside),
        watcher=watcher,
        checks=read_checks(ha, reports),
        vrrp=read_vrrp(ha, reports),
        standbys=len(heirs) - 1,
        race_poll=SPARED_POLL if watcher else PATRONI_POLL,
        amended=all(told["amended"] for told in part(reports, "patroni") or [{"amended": False}]),
    )


def read_patroni(configuration: Mapping[str, Any]) -> Patroni:
    """Return Patroni's effective timing: its defaults where nothing is set, never below its minimum."""
    timing = {
        name: max(float(TIMING_FLOOR[name]), float(configuration.get(name) or default))
        for name, default in TIMING_DEFAULT.items()
    }
    start = configuration.get("primary_start_timeout", configuration.get("master_start_timeout"))
    parameters = (configuration.get("postgresql") or {}).get("parameters") or {}
    quorum = scalar(configuration.get("synchronous_mode")) == "quorum"
    return Patroni(
        **timing,
        primary_start_timeout=Patroni().primary_start_timeout if start is None else float(start),
        wal_sender_timeout=seconds_of(parameters.get("wal_sender_timeout", "60s")),
        synchronous_mode="quorum" if quorum else is_synchronous(configuration),
        paused=scalar(configuration.get("pause", False)) == "true",
    )


def seconds_of(setting: int | str) -> float:
    """Return a time of PostgreSQL's configuration in seconds; it is in milliseconds unless it has a unit."""
    number, unit = re.fullmatch(r"\s*([\d.]+)\s*([a-z]*)\s*", str(setting)).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


def read_etcd(reports: Reports, beside_databases: bool) -> Etcd:
    """Return etcd's timing."""
    told = part(reports, "etcd")
    if not told:
        raise UnknownSettingsError("no host reports etcd's timing")
    return Etcd(**slowest(told), beside_databases=beside_databases)


def read_watcher(reports: Reports, patroni: Patroni) -> Watcher | None:
    """Return the lease watcher's effective settings, bounded by Patroni's timing; None when it may not act."""
    told = part(reports, "lease_watcher")
    if len(told) < ENOUGH_WATCHERS:
        return None
    rules = slowest(told)
    seconds = watched_seconds(rules["seconds"], patroni)
    if seconds is None:
        return None
    fencing = rules["fencing_after"]
    return Watcher(seconds, None if fencing is None else float(max(fencing, patroni.loop_wait + 1)))


def watched_seconds(seconds: float, patroni: Patroni) -> float | None:
    """Return the seconds after which a watcher acts, which are more than its own where Patroni's timing asks for more.

    None: etcd ends the lease before.
    """
    timing = Timing(
        int(patroni.ttl), int(patroni.loop_wait), int(patroni.retry_timeout), bool(patroni.synchronous_mode)
    )
    acts = float(max(seconds, timing.least))
    return acts if acts < patroni.ttl else None


def read_checks(ha: Mapping[str, Any], reports: Reports) -> Checks | None:
    """Return HAProxy's checks of the write pool; None in a cluster without one."""
    pool = next((pool["name"] for pool in ha.get("pools") or () if pool.get("role") == "primary"), None)
    if pool is None:
        return None
    told = [backends[pool] for backends in part(reports, "haproxy") if pool in backends]
    if not told:
        raise UnknownSettingsError(f"no host reports HAProxy's checks of the pool {pool}")
    checks = slowest(told)
    timeout = checks.pop("timeout_check") or checks["inter"]
    checks.pop("timeout_connect")
    return Checks(**checks, timeout=timeout)


def read_vrrp(ha: Mapping[str, Any], reports: Reports) -> Vrrp | None:
    """Return the VRRP instances as one; None in a cluster without a virtual IP."""
    if not (ha.get("vrrp") or {}).get("instances"):
        return None
    told = part(reports, "keepalived")
    instances = [instance for one in told for instance in one["instances"].values()]
    if not instances:
        raise UnknownSettingsError("no host reports keepalived's timing")
    priorities = [instance["priority"] for instance in instances]
    scripts = [script["interval"] * script["fall"] for one in told for script in one["scripts"].values()]
    return Vrrp(
        advert_int=max(instance["advert_int"] for instance in instances),
        least_priority=min(priorities),
        most_priority=max(priorities),
        script=max(scripts, default=Vrrp().script),
    )


def part(reports: Reports, name: str) -> list[Mapping[str, Any]]:
    """Return the reports of a part, from the hosts that have it."""
    return [report[name] for report in reports.values() if report.get(name)]
