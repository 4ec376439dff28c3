# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a drill: the cluster, its hosts and the options; refused where a drill is not permitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SECRETS = ("etcd_root", "patroni_rest", "postgresql_superuser")
LEAST_DEAD_MAN, MOST_DEAD_MAN = 60, 3600
LONGEST_ALERT = 180
"""Seconds beyond the scrapes until the last alert of any fault fires."""


class Refusal(ValueError):  # noqa: N818 - a refusal is not an error
    """Why a drill does not start: the variable, its value, and the fix."""


@dataclass(frozen=True, slots=True)
class Node:
    """One host: its connection, and its topology data (None for a client outside the cluster)."""

    name: str
    address: str
    port: int = 22
    user: str = "root"
    key_file: str = ""
    password: str = field(default="", repr=False)
    become: bool = False
    become_password: str = field(default="", repr=False)
    known_hosts: str = ""
    accept_new_keys: bool = False
    proxy_command: str = ""
    interpreter: str = "/usr/bin/python3"
    container: str = ""
    ha: Mapping[str, Any] | None = None

    def has(self, component: str) -> bool:
        """Say whether the host has a component of the cluster."""
        return self.ha is not None and component in self.ha["components"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One drill of one cluster."""

    cluster: str
    nodes: tuple[Node, ...]
    client: str
    faults: tuple[str, ...]
    repeat: int
    provider: str
    engine: str
    dead_man: int
    directory: str
    budgets: Mapping[str, Any]
    slack: float
    alerts: bool
    consistency: bool
    role: str
    database: str
    without_backup: bool
    secrets: Mapping[str, str] = field(repr=False)

    def node(self, name: str) -> Node:
        """Return a node by its name."""
        return next(node for node in self.nodes if node.name == name)

    def bearing(self, component: str) -> list[Node]:
        """Return the cluster's nodes with a component."""
        return [node for node in self.nodes if node.has(component)]

    @property
    def containers(self) -> bool:
        """Whether the hosts are containers of this machine."""
        return self.provider == "containers"

    @property
    def topology(self) -> Mapping[str, Any]:
        """The cluster's topology data of a database host."""
        ha = self.bearing("postgresql")[0].ha
        if ha is None:
            raise Refusal(f"cluster {self.cluster}: no PostgreSQL host")
        return ha

    @property
    def addresses(self) -> Mapping[str, str]:
        """The addresses of the cluster's hosts."""
        return {node.name: node.ha["address"] for node in self.nodes if node.ha}

    @property
    def monitor(self) -> str:
        """The host whose Alertmanager tells the cluster's alerts, "" where nobody asks it."""
        return next((node.name for node in self.bearing("alertmanager") if self.alerts), "")

    @property
    def scrape_interval(self) -> float:
        """The seconds between two scrapes of a monitored cluster, 0 without monitoring."""
        hosts = [node.ha for node in self.bearing("alertmanager") if node.ha]
        return float(hosts[0]["monitoring"]["interval"]) if hosts else 0.0

    @property
    def least_dead_man(self) -> int:
        """The seconds that a fault may last: in a monitored cluster it waits for its alerts."""
        waits = LONGEST_ALERT + 3 * self.scrape_interval + self.slack if self.monitor else 0
        return LEAST_DEAD_MAN + int(waits)

    @property
    def virtual_ips(self) -> list[str]:
        """The virtual IPs, without their prefix lengths."""
        instances = (self.topology.get("vrrp") or {}).get("instances") or []
        return [address.split("/")[0] for instance in instances for address in instance["addresses"]]

    @property
    def heirs(self) -> tuple[str, ...]:
        """The database hosts whose member may become primary."""
        members = (self.topology.get("postgresql") or {}).get("members") or []
        return tuple(member["name"] for member in members if member.get("failover_priority", 1))

    @property
    def pooled(self) -> Mapping[str, Any] | None:
        """The pool that leads to the poolers, if there are any."""
        pools = self.topology.get("pools") or []
        return next((pool for pool in pools if pool["service"] == "pgbouncer" and pool["addresses"]), None)

    def pool(self, role: str) -> Mapping[str, Any] | None:
        """Return the pool that leads to the primary, or to the standbys."""
        pools = self.topology.get("pools") or []
        return next((pool for pool in pools if pool.get("role") == role and pool["service"] == "postgresql"), None)


def parse(document: Mapping[str, Any]) -> Plan:
    """Return the plan from a JSON document of its fields."""
    nodes = tuple(Node(**node) for node in document["nodes"])
    return Plan(**{**document, "nodes": nodes, "faults": tuple(document["faults"])})


def usable_database(databases: Iterable[Mapping[str, Any]], passwords: Mapping[str, Any]) -> tuple[str, str]:
    """Return a declared database and its owner, preferably one with a password; ("", "") without any."""
    present = [database for database in databases if database.get("state") != "absent"]
    chosen = next((database for database in present if database.get("owner") in passwords), (*present, {})[0])
    return str(chosen.get("name", "")), str(chosen.get("owner", ""))


def check(plan: Plan, confirm: Any) -> None:
    """Raise Refusal unless the plan is permitted."""
    if confirm != plan.cluster:
        given = f"is {confirm!r}" if confirm else "is not given"
        raise Refusal(
            f"drill_confirm {given}: a drill takes hosts of the cluster down; to allow it for this one, "
            f"give -e drill_confirm={plan.cluster}"
        )
    for problem in problems(plan):
        raise Refusal(problem)


def problems(plan: Plan) -> Iterator[str]:
    """Yield the problems of a plan, each with the variable, its value and the fix."""
    if plan.repeat < 1:
        yield f"drill_repeat: {plan.repeat}: give 1 or more"
    if not plan.slack >= 0:
        yield f"drill_slack: {plan.slack:g}: give seconds, 0 or more"
    if not plan.least_dead_man <= plan.dead_man <= MOST_DEAD_MAN:
        yield f"drill_dead_man: {plan.dead_man}: give {plan.least_dead_man} to {MOST_DEAD_MAN} seconds"
    if plan.client not in {node.name for node in plan.nodes}:
        yield f"drill_client: {plan.client!r}: name a host of the inventory that is no part of the cluster"
    elif plan.node(plan.client).ha is not None:
        yield f"drill_client: {plan.client!r}: it belongs to the cluster and would be hit too; name another host"
    if len(plan.bearing("postgresql")) < 2:
        yield f"cluster {plan.cluster}: one PostgreSQL host: nothing can take over; add a second"
    elif len(plan.heirs) < 2:
        fix = "set it to 1 or more on a second member"
        yield f"ha_failover_priority: only {', '.join(plan.heirs) or 'none'} may lead: nothing can take over; {fix}"
    else:
        yield from pool_problems(plan)
    if not plan.bearing("backup") and not plan.without_backup:
        fix = "add a host to the group backup, or give -e drill_without_backup=true"
        yield f"cluster {plan.cluster}: no backups: what a fault destroys would be gone; {fix}"


def pool_problems(plan: Plan) -> Iterator[str]:
    """Yield the unmet requirements of the drill's clients."""
    for role in ("primary", "standby"):
        pool = plan.pool(role)
        if pool is None or not pool["addresses"]:
            yield f"pools: none of role {role} with a virtual IP: the drill writes and reads through them; declare one"
    if not plan.database:
        yield "databases: none: the drill makes its table in one; declare one in topology.ha.yml"
    if plan.role and "role_password" not in plan.secrets:
        yield f"ha_role_passwords: none for {plan.role}: run playbooks/secrets.yml"
    if missing := [name for name in SECRETS if name not in plan.secrets]:
        yield f"ha_secrets: no {' and no '.join(missing)}: run playbooks/secrets.yml"


def endpoints(plan: Plan) -> Iterable[str]:
    """Yield the addresses that the clients use."""
    for pool in (plan.pool("primary"), plan.pool("standby"), plan.pooled):
        if pool:
            yield f"{pool['addresses'][0]}:{pool['port']}"


def how_provider(plan: Plan) -> str:
    """Return the provider of power control, as text."""
    return f"hosts are containers of {plan.engine}" if plan.containers else "hosts are real"
