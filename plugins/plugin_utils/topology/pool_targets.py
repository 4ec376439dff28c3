# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the pools that lead to PostgreSQL by the servers' addresses and ports, not by the service's name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.addresses import Address, Network
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, Host, Pool

Place = tuple[Address, int]
PLACE = re.compile(r"(?:\w+@)?\[?([0-9A-Fa-f:.]+?)\]?:(\d{1,5})")
"""An address and a port in HAProxy's notation."""

Guards = Mapping[str, tuple[Network, ...]]


def with_guards(clusters: tuple[Cluster, ...]) -> tuple[Cluster, ...]:
    """The clusters; each pool gets the networks that its target PostgreSQL of any cluster admits.

    A pool leads to PostgreSQL directly, through a service beside it, or through another pool of any balancer.
    """
    while True:
        guarded = tuple(replace(one, pools=tuple(_guarded(pool, clusters) for pool in one.pools)) for one in clusters)
        if guarded == clusters:
            return clusters
        clusters = guarded


def common_networks(guards: Guards) -> tuple[Network, ...]:
    """The networks that lie in every guard's networks."""
    common, *others = guards.values()
    for networks in others:
        inner = [one for one in common if any(is_part(one, whole) for whole in networks)]
        common = tuple(
            dict.fromkeys([*inner, *(one for one in networks if any(is_part(one, whole) for whole in common))])
        )
    return common


def is_part(network: Network, whole: Network) -> bool:
    """Whether all addresses of a network lie in another one."""
    return network.version == whole.version and (
        network.network_address in whole and network.broadcast_address in whole
    )


def _guarded(pool: Pool, clusters: Iterable[Cluster]) -> Pool:
    places = {(_plain(ip_address(server.address)), server.port) for server in pool.servers} | set(_named(pool))
    reached = {
        where: networks
        for other in clusters
        for place, guards in _doors(other)
        if place in places
        for where, networks in guards.items()
    }
    return replace(pool, guards=reached)


def _named(pool: Pool) -> Iterator[Place]:
    """Endpoints in the pool's options of HAProxy's own syntax, such as a server line."""
    for word in " ".join(_texts(list(pool.extra.values()))).split():
        match = PLACE.fullmatch(word)
        with suppress(ValueError):
            if match:
                yield _plain(ip_address(match[1])), int(match[2])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value


def _plain(address: Address) -> Address:
    """The address; an IPv4-mapped IPv6 address as IPv4."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def _doors(cluster: Cluster) -> Iterator[tuple[Place, Guards]]:
    """The endpoints of a cluster's PostgreSQL, and the networks that each admits."""
    doors = [port for component in cluster.parts for port in component.ports if port.is_database]
    ports = [number for port in doors if (number := cluster.port(port))]
    own = {f"{cluster.path}.clients": cluster.clients}
    yield from (((address, port), own) for address in _addresses(cluster.of("postgresql")) for port in ports)
    virtual = {vip.name: vip.address.ip for vip in cluster.vips}
    for pool in cluster.pools:
        if pool.guards:
            guards = pool.guards if pool.clients is None else {f"{pool.path}.clients": pool.clients}
            listening = [virtual[name] for name in pool.vips if name in virtual] or _addresses(cluster.of("haproxy"))
            yield from (((address, pool.port), guards) for address in listening)


def _addresses(hosts: Iterable[Host]) -> list[Address]:
    return [_plain(address) for host in hosts for address in host.addresses]
