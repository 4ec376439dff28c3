# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts of a cluster, what faults take from them, and whether a majority is left. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations


class Part(StrEnum):
    """What a host can serve as."""

    ETCD = "etcd"
    DATABASE = "postgresql"
    BALANCER = "keepalived"


@dataclass(frozen=True, slots=True)
class Shape:
    """The hosts of each part, by their names or by their roles; backup: the repository hosts."""

    etcd: tuple[str, ...]
    databases: tuple[str, ...]
    balancers: tuple[str, ...] = ()
    backup: tuple[str, ...] = ()

    def of(self, part: Part) -> tuple[str, ...]:
        """Return the hosts of a part."""
        return {Part.ETCD: self.etcd, Part.DATABASE: self.databases, Part.BALANCER: self.balancers}[part]


@dataclass(frozen=True, slots=True)
class Loss:
    """What one fault takes while it lasts: parts of a host, or its link to another one."""

    host: str
    parts: frozenset[Part] = frozenset()
    link: str = ""


def majority(hosts: Collection[str]) -> int:
    """Return how many hosts are a majority."""
    return len(hosts) // 2 + 1


def leaves_majority(shape: Shape, losses: Sequence[Loss]) -> bool:
    """Return whether etcd and PostgreSQL each keep a majority that is connected, and one balancer is left."""
    if shape.balancers and not alive(shape, losses, Part.BALANCER):
        return False
    cut = {frozenset((loss.host, loss.link)) for loss in losses if loss.link}
    return all(
        connected(alive(shape, losses, part), majority(shape.of(part)), cut) for part in (Part.ETCD, Part.DATABASE)
    )


def alive(shape: Shape, losses: Iterable[Loss], part: Part) -> list[str]:
    """Return the hosts of a part from which no fault takes it."""
    taken = {loss.host for loss in losses if part in loss.parts}
    return [host for host in shape.of(part) if host not in taken]


def connected(hosts: Sequence[str], count: int, cut: Collection[frozenset[str]]) -> bool:
    """Return whether so many of the hosts all reach each other."""
    return any(not any(pair in cut for pair in pairs(some)) for some in combinations(hosts, count))


def pairs(hosts: Sequence[str]) -> Iterator[frozenset[str]]:
    """Yield all pairs of hosts."""
    return (frozenset(pair) for pair in combinations(hosts, 2))
