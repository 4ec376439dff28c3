# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for VRRP: distinct router ids and priorities, sync groups that agree."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, SyncGroup, Vip
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.vrrp import (
    explicit_priority,
    priorities,
    router_id,
    sync_group_of,
)


def check_vrrp(clusters: tuple[Cluster, ...], problems: Problems) -> None:
    """Note VRRP settings with which two balancers would conflict."""
    _router_ids(clusters, problems)
    for cluster in clusters:
        for vip in cluster.vips:
            _priority_hosts(cluster, vip, problems)
            _priorities(cluster, vip, problems)
        for group in cluster.sync_groups:
            _sync_group(cluster, group, problems)


def _router_ids(clusters: tuple[Cluster, ...], problems: Problems) -> None:
    """Ids must differ in a network. A derived id is never moved, because a running router would change it."""
    everyone = [(cluster, vip) for cluster in clusters for vip in cluster.vips]
    taken = {router_id(cluster, vip) for cluster, vip in everyone}
    free = next((number for number in range(1, 256) if number not in taken), "another")
    for (one, vip), (other, second) in combinations(everyone, 2):
        number = router_id(other, second)
        if number == router_id(one, vip) and _overlap(vip, second):
            origin = "" if second.virtual_router_id else ", derived from the names,"
            what = f"{origin} is also the id of {one.path}.vips.{vip.name}".lstrip(", ")
            fix = f"set it to a number that is free in the network, like {free}"
            problems.add(f"{other.path}.vips.{second.name}.virtual_router_id", number, what, fix)


def _overlap(one: Vip, other: Vip) -> bool:
    """Whether routers of both receive each other's adverts; IPv4 and IPv6 have separate id spaces."""
    return one.address.version == other.address.version and (
        one.address.ip in other.address.network or other.address.ip in one.address.network
    )


def _priority_hosts(cluster: Cluster, vip: Vip, problems: Problems) -> None:
    balancers = [host.name for host in cluster.of("haproxy")]
    for name, number in (vip.priorities or {}).items():
        if name not in balancers:
            where = f"{cluster.path}.vips.{vip.name}.priorities.{name}"
            fix = f"name a host of the cluster's haproxy group: {', '.join(balancers) or 'it has none'}"
            problems.add(where, number, f"is for {name}, which is not one of the cluster's balancers", fix)


def _priorities(cluster: Cluster, vip: Vip, problems: Problems) -> None:
    holders: dict[int, str] = {}
    for host in cluster.of("haproxy"):
        number = explicit_priority(vip, host)
        if number in holders:
            on_vip = host.name in (vip.priorities or {})
            path = f"{cluster.path}.vips.{vip.name}.priorities.{host.name}"
            what = f"is also the priority of {holders[number]} for the VIP {vip.name}"
            fix = "give every balancer a different one, or none"
            problems.add(path if on_vip else f"{host.name}: ha_vrrp_priority", number, what, fix)
        if number is not None:
            holders.setdefault(number, host.name)


def _sync_group(cluster: Cluster, group: SyncGroup, problems: Problems) -> None:
    where = f"{cluster.path}.vrrp_sync_groups.{group.name}"
    names = sorted(vip.name for vip in cluster.vips)
    for name in group.instances:
        if name not in names:
            problems.add(where, name, "is not a VIP of the cluster", f"name some of {', '.join(names) or 'them'}")
    members = [vip for vip in cluster.vips if vip.name in group.instances]
    if len(members) < 2:
        fix = "list two or more, or remove the group"
        problems.add(where, list(group.instances), "has fewer than two VIPs to move together", fix)
    for vip in members:
        other = sync_group_of(cluster, vip)
        if other != group.name:
            problems.add(where, vip.name, f"already moves with the group {other}", "keep each VIP in one group")
    if len({_ranking(priorities(cluster, vip)) for vip in members}) > 1:
        fix = "order the balancers alike in the priorities of all of them"
        problems.add(where, list(group.instances), "has VIPs whose priorities prefer different balancers", fix)


def _ranking(numbers: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(sorted(numbers, key=lambda name: numbers[name]))
