# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rotation's plan as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation.plan import KNOWN, OF_ROLE, PATRONI
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table

NOTHING = "Nothing to rotate: the clusters have these secrets. For new ones run playbooks/secrets.yml -e rotate="
STEPS = (
    "open: stand-ins may log in",
    "move: services log in as stand-ins",
    "change: the logins get the new passwords",
    "settle: services log in as themselves",
    "withdraw: stand-ins are removed",
    "prove: new values are accepted, former ones refused",
)
RELOADED = {
    "etcd_lease_watcher": "each lease watcher restarts twice",
    "etcd_root": "jobs that take snapshots of etcd get a new configuration twice",
    "haproxy_stats": "each HAProxy reloads",
    "patroni_rest": "each Patroni reloads",
    "pgbouncer": "each PgBouncer reloads twice, and renews its connections to the primary",
    "postgresql_superuser": "each Patroni reloads",
}
REPLICATION = "each Patroni reloads twice, one after the other, and its standby connects anew"


def plan_lines(moves: Mapping[str, Mapping[str, Any]], names: Sequence[str], former: Sequence[str]) -> list[str]:
    """Return the lines of a plan.

    :arg moves: what is left to do by cluster; names: the secrets with anything left, as hosts tell of them.
    :arg former: the dotted names of those with a former value.
    """
    if not names:
        return [f"{NOTHING}NAME first."]
    lines = []
    for cluster, left in moves.items():
        lines += [f"Cluster {cluster}: {len(left['settles'])} secrets, in these steps", *map(_indented, _steps(left))]
        lines += table([["", name, effect_of(name)] for name in left["settles"]]).splitlines()
    if former:
        lines.append(f"At the end the former values of {', '.join(former)} are tried, and removed from the file.")
    return lines


def effect_of(name: str) -> str:
    """Return what happens to services and clients when a secret changes."""
    if name.startswith(OF_ROLE):
        return "clients that connect need the new password from the step change on; connected ones go on"
    if name in RELOADED:
        return RELOADED[name]
    return REPLICATION if name == "postgresql_replication" else "each Patroni reloads twice, one after the other"


def _steps(left: Mapping[str, Any]) -> Iterator[str]:
    """Yield the steps that have anything to do."""
    stands = any(left[service]["open"] for service in ("etcd", "sql"))
    gone = any(left[service]["gone"] for service in ("etcd", "sql"))
    held = any(name in KNOWN or name in PATRONI for name in left["settles"])
    due = (stands, stands, bool(left["changes"]), held, gone, True)
    steps = [step for step, is_due in zip(STEPS, due, strict=True) if is_due]
    return (f"{number}. {step}" for number, step in enumerate(steps, 1))


def _indented(line: str) -> str:
    return f"  {line}"
