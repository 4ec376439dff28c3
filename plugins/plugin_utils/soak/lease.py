# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The leader's lease, read from etcd's gateway."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

ALL_KEYS = {"key": "AA==", "range_end": "AA==", "keys_only": True}

Ask = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]
"""Posts a body to a path of etcd's gateway and returns the body of the answer."""


@dataclass(frozen=True, slots=True)
class Look:
    """The leader key's value and lease ("" without one), etcd's term, and the lease's whole seconds (-1: no lease)."""

    leader: str
    lease: str
    term: int
    granted: int = -1
    remaining: int = -1

    @property
    def unrenewed(self) -> int:
        """A lower bound of the seconds since the last renewal: etcd rounds the remaining TTL down."""
        return max(0, self.granted - self.remaining - 1) if self.remaining >= 0 else 0


def leader_key(ask: Ask, scope: str) -> str:
    """Return the leader key of a Patroni cluster, as etcd's gateway encodes it; raises LookupError."""
    found = [item["key"] for item in ask("/v3/kv/range", ALL_KEYS).get("kvs", [])]
    wanted = f"/{scope}/leader".encode()
    return next(key for key in [*found, ""] if not key or base64.b64decode(key).endswith(wanted)) or _none(scope)


def _none(scope: str) -> str:
    raise LookupError(f"etcd has no leader key of {scope}")


def look(ask: Ask, key: str) -> Look:
    """Return the present lease from etcd."""
    answer = ask("/v3/kv/range", {"key": key})
    term = int(answer["header"]["raft_term"])
    found = (answer.get("kvs") or [{}])[0]
    leader, lease = base64.b64decode(found.get("value", "")).decode(), str(found.get("lease", "0"))
    if lease == "0":
        return Look(leader, "", term)
    # The gateway omits zeros.
    told = ask("/v3/lease/timetolive", {"ID": lease})
    return Look(leader, f"{int(lease):x}", term, int(told.get("grantedTTL", 0)), int(told.get("TTL", 0)))
