# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster of three databases with etcd beside them and two balancers, as its hosts tell of their timings."""

from __future__ import annotations

from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.settings import Checks, Etcd, Patroni, Settings, Vrrp

DATABASES = ("db1", "db2", "db3")
FLOOR = Settings(
    patroni=Patroni(20.0, 1.0, 3.0, 0.0, 10.0, "quorum"),
    etcd=Etcd(),
    checks=Checks(),
    vrrp=Vrrp(least_priority=110, most_priority=150),
)
"""The roles' defaults."""
HA: dict[str, Any] = {
    "postgresql": {"members": [{"name": name} for name in DATABASES]},
    "etcd": {"members": [{"name": name} for name in DATABASES]},
    "pools": [{"name": "rw", "role": "primary"}, {"name": "ro", "role": "standby"}],
    "vrrp": {"instances": [{"name": "main"}]},
}
CONFIGURATION: dict[str, Any] = {
    "ttl": 20,
    "loop_wait": 1,
    "retry_timeout": 3,
    "primary_start_timeout": 0,
    "synchronous_mode": "quorum",
    "postgresql": {"parameters": {"wal_sender_timeout": "10s"}},
}
CHECKS = {
    "inter": 0.5, "fastinter": 0.25, "downinter": 0.5, "fall": 2, "rise": 1, "timeout_check": 1.5, "timeout_connect": 2,
}  # fmt: skip
SCRIPT = {"interval": 0.5, "timeout": 2.0, "fall": 2}
NOTHING = dict.fromkeys(("haproxy", "keepalived", "lease_watcher", "etcd"))


def database(watcher: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return what a database host tells."""
    return {**NOTHING, "etcd": {"heartbeat_interval": 0.1, "election_timeout": 1.0}, "lease_watcher": watcher}


def balancer(priority: int, pool: str = "rw") -> dict[str, Any]:
    """Return what a balancer tells, pool is the one that leads to the primary."""
    vrrp = {"instances": {"main": {"advert_int": 0.2, "priority": priority}}, "scripts": {"haproxy": SCRIPT}}
    return {**NOTHING, "haproxy": {pool: CHECKS, "ro": {**CHECKS, "inter": 9.0}}, "keepalived": vrrp}


def reports(seconds: int | None = None, fencing_after: int | None = None) -> dict[str, dict[str, Any]]:
    """Return what all hosts tell, with a lease watcher or without."""
    watcher = seconds and {"seconds": seconds, "interval": 0.5, "fencing_after": fencing_after}
    return {name: database(watcher or None) for name in DATABASES} | {"lb1": balancer(150), "lb2": balancer(110)}
