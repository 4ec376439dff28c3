# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of HAProxy's pools a server leaves, or comes back to. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.holdfast.ha.plugins.module_utils.haproxy import Pool, Server

SERVING = ("up", "unchecked")
# The bit of srv_admin_state for a drain that was asked for; others are a maintenance, or follow from the configuration
# or a tracked server.
FORCED_DRAIN = 0x08
COLUMNS = ("be_name", "srv_name", "srv_admin_state", "srv_uweight", "srv_iweight")


@dataclass(frozen=True)
class Held:
    """What HAProxy was told about a server: ``flags`` are the bits of its administrative state.

    ``weight`` is the present one, ``declared`` that of the configuration.
    """

    flags: int = 0
    weight: int = 1
    declared: int = 1

    @property
    def drained(self) -> bool:
        """Whether somebody drained it."""
        return bool(self.flags & FORCED_DRAIN)

    @property
    def ours(self) -> bool:
        """Whether holdfast.ha.haproxy_server drained it: it also takes the weight. Administrators do one of both."""
        return self.drained and self.weight == 0 and self.declared > 0


Holds = Mapping[tuple[str, str], Held]
"""By pool and server."""


class RefusedError(Exception):
    """What was asked for can't be done; the message is for the user."""


@dataclass(frozen=True)
class Wish:
    """What to do with one server: in some pools, or in all that have it (None).

    ``fallbacks`` is by pool the one that serves its clients while it has no server.
    """

    server: str
    drained: bool
    pools: tuple[str, ...] | None
    fallbacks: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """``change`` are the pools to tell, ``drained`` those in which the server is drained afterwards.

    ``left`` are those that nobody else could serve.
    """

    change: tuple[str, ...] = ()
    drained: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def plan(pools: Collection[Pool], holds: Holds, wish: Wish) -> Plan:
    """Return the plan for a server. Raises RefusedError for names that HAProxy doesn't know."""
    chosen = _chosen(pools, wish)
    held = {pool.name: holds.get((pool.name, wish.server), Held()) for pool in chosen}
    if not wish.drained:
        return Plan(change=tuple(name for name, state in held.items() if state.ours))
    before = [name for name, state in held.items() if state.drained]
    serving = [pool for pool in chosen if _serves(_server(pool, wish.server))]
    by_name = {pool.name: pool for pool in pools}
    change = [pool.name for pool in serving if _has_others(pool, by_name, wish)]
    return Plan(
        change=tuple(change),
        drained=tuple(pool.name for pool in chosen if pool.name in (*before, *change)),
        left=tuple(pool.name for pool in serving if pool.name not in change),
    )


def _chosen(pools: Collection[Pool], wish: Wish) -> list[Pool]:
    having = [pool for pool in pools if any(server.name == wish.server for server in pool.servers)]
    if not having:
        known = ", ".join(sorted({server.name for pool in pools for server in pool.servers})) or "none"
        raise RefusedError(f"server: no pool of this HAProxy has a server {wish.server}; known are {known}")
    if wish.pools is None:
        return having
    names = [pool.name for pool in having]
    unknown = [name for name in wish.pools if name not in names]
    if unknown:
        raise RefusedError(
            f"pools: {', '.join(unknown)}: no such pool has a server {wish.server}; {', '.join(names)} do"
        )
    return [pool for pool in having if pool.name in wish.pools]


def _has_others(pool: Pool, pools: Mapping[str, Pool], wish: Wish) -> bool:
    """Whether the pool, or the one its clients fall back to, has another server that can serve."""
    instead = pools.get(wish.fallbacks.get(pool.name, ""))
    candidates: Iterable[Server] = (*pool.servers, *(instead.servers if instead else ()))
    return any(server.name != wish.server and _serves(server) for server in candidates)


def _serves(server: Server) -> bool:
    return server.state in SERVING and server.weight > 0


def _server(pool: Pool, name: str) -> Server:
    return next(server for server in pool.servers if server.name == name)


def sessions_left(pools: Iterable[Pool], server: str, drained: Collection[str]) -> dict[str, int]:
    """Return by pool the server's sessions, of the pools it has left."""
    return {pool.name: _server(pool, server).sessions for pool in pools if pool.name in drained}


def parse_servers_state(text: str) -> Holds:
    """Return what ``show servers state`` says; ValueError when it is not that."""
    lines = text.splitlines()
    header = next((line for line in lines if line.startswith("# ")), "")
    columns = header.removeprefix("# ").split()
    if not set(COLUMNS) <= set(columns):
        raise ValueError(f"'show servers state' answered {text[:80]!r} instead of a table")
    rows = [dict(zip(columns, line.split(), strict=False)) for line in lines[lines.index(header) + 1 :] if line]
    return {(row["be_name"], row["srv_name"]): Held(*(int(row[name]) for name in COLUMNS[2:])) for row in rows}
