# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of three databases, two balancers and a repository, as the drill's parts see it."""

from __future__ import annotations

from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import Expected
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Node, Plan

DATABASES = ("db1", "db2", "db3")
HOSTS = {
    "db1": ["etcd", "postgresql"],
    "db2": ["etcd", "postgresql"],
    "db3": ["etcd", "postgresql"],
    "lb1": ["haproxy", "keepalived"],
    "lb2": ["haproxy", "keepalived"],
    "backup1": ["backup"],
}
MONITORED = HOSTS | {"backup1": ["backup", "prometheus", "alertmanager"]}
EXPECTED = Expected(
    etcd=DATABASES,
    databases=DATABASES,
    balancers=("lb1", "lb2"),
    backup=("backup1",),
    virtual_ips=("192.0.2.100",),
    primary_pool="primary",
    standby_pool="standby",
)


def ha(number: int, components: list[str]) -> dict[str, Any]:
    """Return what the topology derives for a host."""
    members = [{"name": name, "failover_priority": 1} for name in DATABASES]
    pool = {"service": "postgresql", "addresses": ["192.0.2.100"]}
    return {
        "address": f"192.0.2.{number}",
        "components": components,
        "etcd": {"client_port": 2379, "peer_port": 2380, "members": members},
        "postgresql": {
            "data_directory": "/var/lib/postgresql/17/main",
            "databases": [{"name": "app", "owner": "app"}],
            "members": members,
            "port": 5432,
            "rest_port": 8008,
            "scope": "main",
            "users": {"superuser": "chief", "rest": "operator"},
        },
        "pools": [
            {"name": "primary", "role": "primary", "port": 5000, **pool},
            {"name": "standby", "role": "standby", "port": 5001, **pool},
        ],
        "tls": {
            "ca": "/srv/tls/ca.crt",
            "cert": "/srv/tls/host.crt",
            "client_cert": "/srv/tls/client.crt",
            "key": "/srv/tls/host.key",
        },
        "monitoring": {"interval": 15, "ports": {"alertmanager": 9093}} if "alertmanager" in components else None,
        "vrrp": {"instances": [{"addresses": ["192.0.2.100/24"]}]},
    }


def plan(**changes: Any) -> Plan:
    """Return a plan that would be carried out, changed."""
    hosts = changes.pop("hosts", HOSTS)
    nodes = [Node(name, f"192.0.2.{at}", ha=ha(at, parts)) for at, (name, parts) in enumerate(hosts.items(), 11)]
    values: dict[str, Any] = {
        "cluster": "main",
        "nodes": (*nodes, Node("client1", "192.0.2.41")),
        "client": "client1",
        "faults": ("switchover",),
        "repeat": 1,
        "provider": "hosts",
        "engine": "docker",
        "dead_man": 300,
        "directory": "reports",
        "budgets": {},
        "slack": 0.0,
        "without_backup": False,
        "alerts": True,
        "consistency": False,
        "role": "app",
        "database": "app",
        "secrets": dict.fromkeys(("role_password", "etcd_root", "patroni_rest", "postgresql_superuser"), "secret"),
    }
    return Plan(**(values | changes))


def probes(leader: str = "db1", etcd_leader: str = "2", **parts: Any) -> dict[str, dict[str, Any]]:
    """Return the probes of a healthy cluster, with parts of hosts replaced: db2_etcd={...}."""
    members = [[name, "leader" if name == leader else "quorum_standby", "running", 4] for name in DATABASES]
    standbys = [[name, "streaming", "quorum"] for name in DATABASES if name != leader]
    found: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(DATABASES, 1):
        primary = name == leader
        found[name] = {
            "etcd": {"healthy": True, "member": str(number), "leader": etcd_leader},
            "patroni": {
                "primary": primary,
                "members": members,
                "paused": False,
                "configuration": {"synchronous_mode": "quorum", "ttl": 20},
            },
            "postgresql": {
                "in_recovery": not primary,
                "timeline": 4,
                "standbys": standbys if primary else [],
                "archived": "00000004000000000000000A" if primary else "",
            },
        }
    others = [name for name in DATABASES if name != leader]
    for name in ("lb1", "lb2"):
        holds = ["192.0.2.100"] if name == "lb1" else []
        found[name] = {"balancer": {"holds": holds, "up": {"primary": [leader], "standby": others}}}
    for key, value in parts.items():
        host, _underscore, part = key.partition("_")
        found[host][part] = {**found[host][part], **value} if value else {}
    return found
