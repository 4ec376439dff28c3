# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for the time after which a silent leader's lease may be revoked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import Opaque, Problem, Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, Inventory
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.schema import LEAST_LEASE_WATCH
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import patroni_defaults

SYNCHRONOUS = "patroni_synchronous_mode"


@dataclass(frozen=True)
class Timing:
    """The declared timing of Patroni's members, in seconds."""

    ttl: int
    loop_wait: int
    retry_timeout: int
    synchronous: bool

    @property
    def least(self) -> int:
        """The minimum of seconds without a renewal after which the lease may be revoked, the watcher's own rule."""
        if self.synchronous:
            return max(LEAST_LEASE_WATCH, self.loop_wait + 1)
        return max(self.loop_wait + 2 * self.retry_timeout + 1, 4 * self.retry_timeout + 2)

    @property
    def formula(self) -> str:
        """The same in the user's variables."""
        loop_wait = f"patroni_loop_wait ({self.loop_wait})"
        retry_timeout = f"patroni_retry_timeout ({self.retry_timeout})"
        if self.synchronous:
            return f"{loop_wait} + 1"
        if self.least > 4 * self.retry_timeout + 2:
            return f"{loop_wait} + 2 * {retry_timeout} + 1"
        return f"4 * {retry_timeout} + 2"


def check_lease_watch(cluster: Cluster, inventory: Inventory, defaults: Mapping[str, Any], problems: Problems) -> None:
    """Note a watch set by the user that would revoke a healthy leader's lease, or could never act.

    The default needs no check: the watcher never acts before Patroni's own configuration permits it.
    """
    defaults = patroni_defaults(cluster.profile, defaults)
    if cluster.of("lease_watcher") and cluster.lease_watch is not None and cluster.lease_watch_declared:
        for host in cluster.of("postgresql"):
            for problem in refused_watch(cluster.name, cluster.lease_watch, inventory.hosts[host.name], defaults):
                problems.add(problem.where, problem.value, problem.what, problem.fix)


def refused_watch(
    cluster: str, seconds: int, variables: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[Problem]:
    """The problems of the seconds of a cluster's watch; none while the variables can't be read.

    :arg variables: the variables of one of its PostgreSQL hosts.
    :arg defaults: the defaults of the role patroni.
    """
    timing = read_timing(variables, defaults)
    if timing is None:
        return []
    where = f"clusters.{cluster}.lease_watch"
    if seconds >= timing.ttl:
        fix = f"lower it below {timing.ttl}, or remove it"
        what = f"is not below patroni_ttl ({timing.ttl}), when etcd ends the lease itself"
        return [Problem(where, seconds, what, fix)]
    if seconds >= timing.least:
        return []
    raise_it = f"raise it to {timing.least} or more"
    if timing.least >= timing.ttl:
        raise_it += ", and patroni_ttl above it"
    if timing.synchronous:
        what = f"is less than {timing.formula}, so a healthy leader could not renew in time"
        return [Problem(where, seconds, what, raise_it)]
    what = (
        f"is less than {timing.formula}, and until then a leader without synchronous replication may acknowledge writes"
    )
    return [Problem(where, seconds, what, f"{raise_it}, or set {SYNCHRONOUS} to auto, on or quorum")]


def read_timing(variables: Mapping[str, Any], defaults: Mapping[str, Any]) -> Timing | None:
    """The timing of a member, None where any of it is vaulted, templated or not a number."""
    dynamic = variables.get("patroni_dynamic_configuration", defaults.get("patroni_dynamic_configuration"))
    if not isinstance(dynamic, Mapping):
        dynamic = {}
    names = ("ttl", "loop_wait", "retry_timeout", "synchronous_mode")
    values = [dynamic.get(name, variables.get(f"patroni_{name}", defaults.get(f"patroni_{name}"))) for name in names]
    *numbers, mode = values
    if isinstance(mode, Opaque) or not all(str(number).isdecimal() for number in numbers):
        return None
    ttl, loop_wait, retry_timeout = map(int, numbers)
    return Timing(ttl, loop_wait, retry_timeout, str(mode).lower() not in {"off", "false", "no", "none"})
