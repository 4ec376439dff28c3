# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual router ids and priorities, derived from stable names, never from positions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, Host, Vip

PRIORITIES = range(1, 255)
"""Priorities of a backup router; 255 is the address owner's."""


def stable_number(name: str, size: int) -> int:
    """A number from 0 to size - 1 that depends only on the name."""
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big") % size


def router_id(cluster: Cluster, vip: Vip) -> int:
    """The declared virtual router id, or one from 1 to 255 that is derived from cluster and VIP."""
    return vip.virtual_router_id or 1 + stable_number(f"{cluster.name}/{vip.name}", 255)


def sync_group_of(cluster: Cluster, vip: Vip) -> str | None:
    """The sync group of an instance."""
    return next((group.name for group in cluster.sync_groups if vip.name in group.instances), None)


def priorities(cluster: Cluster, vip: Vip) -> dict[str, int]:
    """Priority by balancer: the VIP's own, otherwise the host's, otherwise derived.

    Derived ones are distinct and independent of any order. Instances of one sync group
    derive the same ones, because they must prefer the same host.
    """
    balancers = cluster.of("haproxy")
    explicit = {host.name: number for host in balancers if (number := explicit_priority(vip, host)) is not None}
    unit = sync_group_of(cluster, vip) or vip.name
    derived = _spread(
        f"{cluster.name}/{unit}", (host.name for host in balancers if host.name not in explicit), explicit
    )
    return {**explicit, **derived}


def explicit_priority(vip: Vip, host: Host) -> int | None:
    """The user's priority for a host, from the VIP or from the host."""
    own = (vip.priorities or {}).get(host.name)
    return host.vrrp_priority if own is None else own


def _spread(unit: str, names: Iterable[str], taken: Mapping[str, int]) -> dict[str, int]:
    """A free number for every name: its hash, or the next free number if another name has it."""
    used = set(taken.values())
    numbers: dict[str, int] = {}
    for name in sorted(names):
        start = stable_number(f"{unit}/{name}", len(PRIORITIES))
        probes = (PRIORITIES[(start + step) % len(PRIORITIES)] for step in range(len(PRIORITIES)))
        numbers[name] = next((number for number in probes if number not in used), PRIORITIES[0])
        used.add(numbers[name])
    return numbers
