# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of one node for the gate, in one answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import ask, psycopg2, sentence
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.sample import STATE, held, pools_up

SECONDS = 3.0
STREAMING = "SELECT application_name, state, sync_state FROM pg_stat_replication"
ARCHIVED = "SELECT coalesce(last_archived_wal, '') FROM pg_stat_archiver"


def probe(
    *,
    etcd: HttpJsonClient | None,
    patroni: HttpJsonClient | None,
    database: dict[str, Any] | None,
    addresses: list[str] | None,
) -> dict[str, Any]:
    """Return the answers of the node's parts; a part that does not answer has the error."""
    parts: dict[str, Callable[[], Any]] = {}
    if etcd:
        parts["etcd"] = lambda: probe_etcd(etcd)
    if patroni and database:
        parts["patroni"] = lambda: probe_patroni(patroni)
        parts["postgresql"] = lambda: probe_postgresql(database)
    if addresses is not None:
        parts["balancer"] = lambda: {"holds": held(addresses), "up": pools_up(SECONDS)}
    return {name: answer(part) for name, part in parts.items()}


def answer(part: Callable[[], Any]) -> dict[str, Any]:
    """Return a part's answer, or {"error": reason}."""
    failures = (EndpointError, OSError, *((psycopg2.Error,) if psycopg2 else ()))
    try:
        return dict(part())
    except failures as error:
        return {"error": sentence(error)}


def probe_etcd(client: HttpJsonClient) -> dict[str, Any]:
    """Return an etcd member's health, its id and the leader that it knows."""
    health = client.request("GET", "/health")
    status = client.request("POST", "/v3/maintenance/status", {})
    return {
        "healthy": str(health.get("health")).lower() == "true",
        "member": str(status.get("header", {}).get("member_id", "")),
        "leader": str(status.get("leader", "")),
        "version": str(status.get("version", "")),
    }


def probe_patroni(client: HttpJsonClient) -> dict[str, Any]:
    """Return whether a member claims to be primary, its view of the cluster, and its synchronous mode."""
    cluster = client.fetch("GET", "/cluster").body
    configuration = client.fetch("GET", "/config").body
    members = cluster.get("members", []) if isinstance(cluster, dict) else []
    return {
        "primary": client.fetch("GET", "/primary").status == 200,
        "members": [[item.get("name"), item.get("role"), item.get("state"), item.get("timeline")] for item in members],
        "paused": bool(cluster.get("pause")) if isinstance(cluster, dict) else False,
        "configuration": configuration if isinstance(configuration, dict) else {},
    }


def probe_postgresql(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a PostgreSQL server; a primary adds its standbys and its archive."""
    recovering, timeline = ask(settings, STATE, (), SECONDS)[0]
    primary = recovering is False
    return {
        "in_recovery": recovering,
        "timeline": timeline,
        "standbys": ask(settings, STREAMING, (), SECONDS) if primary else [],
        "archived": ask(settings, ARCHIVED, (), SECONDS)[0][0] if primary else "",
    }
