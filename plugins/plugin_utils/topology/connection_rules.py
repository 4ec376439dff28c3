# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for the kernel's retries, after which a connection to a silent peer ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, Inventory
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.tcp import (
    DATA_MS,
    SYN_MS,
    fewest_retries,
    patience,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import patroni_defaults

RETRIES = {"connections_tcp_retries2": (DATA_MS, 255), "connections_tcp_syn_retries": (SYN_MS, 127)}
"""By variable the first wait in milliseconds, and the kernel's maximum."""


def check_connections(cluster: Cluster, inventory: Inventory, defaults: Mapping[str, Any], problems: Problems) -> None:
    """Note retries set by the user with which connections break before the cluster takes its leader for lost.

    :arg defaults: the defaults of the role patroni.
    """
    seconds, reason = _silence(cluster, inventory, patroni_defaults(cluster.profile, defaults))
    for variable, (first, most) in RETRIES.items():
        for value in _declared(variable, cluster, inventory):
            if value > most:
                problems.add(variable, value, "is more than the kernel takes", f"lower it to {most} or less")
            elif seconds and value < fewest_retries(seconds, first):
                what = f"lasts {patience(value, first):g} s, not longer than the {seconds} s of {reason}"
                fix = f"raise it to {fewest_retries(seconds, first)} or more, or set connections_state to absent"
                problems.add(variable, value, what, fix)


def _declared(variable: str, cluster: Cluster, inventory: Inventory) -> list[int]:
    """The different values that hosts of the cluster set."""
    values = (str(inventory.hosts[host.name].get(variable)) for host in cluster.hosts)
    return sorted({int(value) for value in values if value.isdecimal()})


def _silence(cluster: Cluster, inventory: Inventory, defaults: Mapping[str, Any]) -> tuple[int, str]:
    """The seconds of silence after which the leader is lost, 0 where they are not known, and the setting's name."""
    if cluster.lease_watch is not None:
        return cluster.lease_watch, f"{cluster.path}.lease_watch"
    default = defaults["patroni_ttl"]
    given = (inventory.hosts[host.name].get("patroni_ttl", default) for host in cluster.of("postgresql"))
    return max((int(ttl) for ttl in given if str(ttl).isdecimal()), default=0), "patroni_ttl"
