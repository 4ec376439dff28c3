# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence's clients: the drill's, with connections that are renewed as an application's pool does, or kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.clients import (
    INSERT,
    NAIVE_INTERVAL,
    PATIENT,
    READ,
    READ_INTERVAL,
    TEMPERS,
    WAITING,
    WRITE_INTERVAL,
    WRITERS,
    Clients,
    job,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan

LIFETIME = 5.0
UNBOUNDED = "-c statement_timeout=0"
DIRECT_KEPT, POOLED_KEPT = "direct-kept", "pooled-kept"
"""The clients that never renew their connection."""


def jobs(plan: Plan, clients: Clients, table: str) -> Iterator[dict[str, Any]]:
    """Yield one job per client; readers where the cluster has a pool to the standbys, pooled ones with poolers."""
    insert = INSERT.format(table=table)
    direct = clients.settings(plan.pool("primary"), options=UNBOUNDED, sslmode="require")
    writing: dict[str, Any] = {"settings": direct, "statement": insert, "interval": WRITE_INTERVAL}
    for at in range(1, WRITERS + 1):
        yield job(f"writer-{at}", "writes", **writing, **TEMPERS[at % 2], lifetime=LIFETIME)
    yield job(DIRECT_KEPT, "writes", **writing, **PATIENT)
    if plan.pooled:
        pooled: Mapping[str, Any] = {**writing, **WAITING, "settings": clients.settings(plan.pooled, sslmode="require")}
        for at in (1, 2):
            yield job(f"pooled-{at}", "pooled", **pooled, lifetime=LIFETIME)
        yield job(POOLED_KEPT, "pooled", **pooled)
    if pool := plan.pool("standby"):
        settings = clients.settings(pool, options=UNBOUNDED, sslmode="require")
        reading: dict[str, Any] = {"settings": settings, "statement": READ, "interval": READ_INTERVAL}
        for at in (1, 2):
            yield job(f"reader-{at}", "reads", **reading, **TEMPERS[at % 2], lifetime=LIFETIME)
    naive = {**writing, "settings": clients.settings(plan.pool("primary")), "interval": NAIVE_INTERVAL}
    yield job("naive", "naive", **naive, lifetime=LIFETIME)
