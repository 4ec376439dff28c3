# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clusters as the topology derives them, healthy, as their hosts report themselves, and what their hosts need."""

from __future__ import annotations

import copy
from functools import cache

from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.model import Options
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.plan import plan
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.survey import COLLECTION, parse_survey
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.build import build
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import COMPONENTS, ROLES
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Inventory
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import load_roles

from tests.unit.plugins.plugin_utils.rto import cluster as timed
from tests.unit.plugins.plugin_utils.test_status import LIMITS

LAB = {
    "etcd": ["db1", "db2", "db3"],
    "postgresql": ["db1", "db2", "db3"],
    "haproxy": ["lb1", "lb2"],
    "backup": ["backup1"],
}
THREE = {name: ["n1", "n2", "n3"] for name in ("etcd", "postgresql", "haproxy")} | {"backup": ["n3"]}
APART = LAB | {"etcd": ["e1", "e2", "e3"]}
SINGLE = {"etcd": ["db1"], "postgresql": ["db1", "db2"], "haproxy": ["lb1"]}
ALONE = {"etcd": ["db1"], "postgresql": ["db1"], "haproxy": ["lb1", "lb2"]}
VIP = "198.51.100.100/24"
NEWER = {"name": "etcd-server", "installed": "3.5.16-4", "candidate": "3.5.16-5", "security": False}
PATRONI = {"name": "patroni", "installed": "4.0.4-1", "candidate": "4.0.4-2", "security": False}
HAPROXY = {"name": "haproxy", "installed": "3.0.11-1", "candidate": "3.0.11-2", "security": True}
BACKREST = {"name": "pgbackrest", "installed": "2.55-1", "candidate": "2.55-2", "security": False}
LIBC = {"name": "libc6", "installed": "2.41-1", "candidate": "2.41-2", "security": True}
OF = {"etcd": NEWER, "postgresql": PATRONI, "haproxy": HAPROXY, "backup": BACKREST}


@cache
def specs():
    return load_roles(COLLECTION, ROLES)


def topology(parts, name="lab", prefix=""):
    """Return each host's ha; parts are {group: hosts}, prefix is put before all names."""
    groups = {f"{prefix}{group}": tuple(prefix + host for host in hosts) for group, hosts in parts.items()}
    hosts = sorted({host for names in groups.values() for host in names})
    cluster = {
        "groups": {group: f"{prefix}{group}" for group in parts},
        "network": "198.51.100.0/24",
        "vips": {"main": {"address": VIP, "virtual_router_id": 51}},
        "allow_single_etcd": True,
    }
    variables = {
        host: {"ansible_host": f"198.51.100.{number}", "ha_secrets": dict.fromkeys(SECRETS, "never-show-me")}
        for number, host in enumerate(hosts, 11)
    }
    document = {"plugin": "holdfast.ha.topology", "clusters": {name: cluster}}
    return build(document, Inventory(variables, {"all": tuple(hosts), **groups}), specs()).hosts


SECRETS = [secret.name for component in COMPONENTS for secret in component.secrets]


def etcd_probe(ha, leader):
    members = zip(ha["etcd"]["members"], ha["etcd"]["endpoints"], strict=True)
    return {
        "endpoints": [
            {"endpoint": url, "healthy": True, "leader": member["name"] == leader, "version": "3.5.16", "error": None}
            for member, url in members
        ],
        "auth_enabled": True,
        "certificate_required": True,
        "plaintext_refused": True,
    }


def patroni_probe(ha, primary):
    def member(name):
        leads = name == primary
        return {
            "name": name,
            "role": "leader" if leads else "quorum_standby",
            "state": "running" if leads else "streaming",
            "timeline": 1,
            "lag": None if leads else 0,
            "answers": True,
            "tags": {},
        }

    members = [member(item["name"]) for item in ha["postgresql"]["members"]]
    cluster = {"leader": primary, "paused": False, "agreed": True, "members": members}
    return {"cluster": cluster, "config": copy.deepcopy(timed.CONFIGURATION), "problems": []}


def haproxy_probe(ha, primary):
    def servers(pool):
        role = pool.get("role")
        up = {server["name"] for server in pool["servers"]}
        up = up & {primary} if role == "primary" else up - {primary} if role == "standby" else up
        names = [server["name"] for server in pool["servers"]]
        return [{"name": name, "state": "up" if name in up else "down", "backup": False} for name in names]

    return {"running": True, "pools": [{"name": pool["name"], "servers": servers(pool)} for pool in ha["pools"]]}


def reports(parts, primary="db1", etcd_leader="db2", holder="lb1", *, name="lab", prefix=""):
    """Return the healthy reports of all hosts."""
    found = {}
    for host, ha in topology(parts, name, prefix).items():
        probes, has = {}, ha["components"]
        if "etcd" in has:
            probes["etcd"] = etcd_probe(ha, prefix + etcd_leader)
        if "postgresql" in has:
            probes["postgresql"] = patroni_probe(ha, prefix + primary)
            probes["queue"] = {"waiting": 0, "age": None, "error": ""}
        if "haproxy" in has:
            probes["haproxy"] = haproxy_probe(ha, prefix + primary)
            probes["vrrp"] = {"running": True, "held": [VIP] if host == prefix + holder else []}
        if "backup" in has:
            full = {"label": "F", "age": 180, "repository_size": 1}
            probes["backup"] = {"stanzas": [{"ok": True, "locked": False, "last": {"full": full}}]}
            probes["archive"] = {"check": "passed"}
        own = timed.database() if "etcd" in has else dict(timed.NOTHING)
        balances = timed.balancer(ha["vrrp"]["instances"][0]["priority"], "primary") if "haproxy" in has else {}
        probes["timings"] = own | {key: value for key, value in balances.items() if value}
        found[host] = {"ha": ha, "unreachable": None, "probes": probes}
    return found


def needs(ha, packages=(), due=(), reboot=False, stopped=(), *, up=86400, **more):
    """Return a result of holdfast.ha.rolling_info; due and stopped are components whose unit is due, or stopped."""
    units = [
        {
            "component": component.name,
            "unit": component.units[0],
            "active": component.name not in stopped,
            "reasons": ["it started before its program was replaced"] if component.name in due else [],
        }
        for component in COMPONENTS
        if component.name in ha["components"]
    ]
    stack = [package for package in packages if package != LIBC]
    return {
        "stack": stack,
        "system": list(packages),
        "security": [package for package in packages if package["security"]],
        "units": units,
        "reboot": {
            "required": reboot,
            "reasons": ["linux-image was upgraded"] if reboot else [],
            "boot": "1",
            "up": up,
        },
        "lists_age": 60,
        "held": [],
        **more,
    }


def all_new(found, *more):
    """Return surveys in which every host has a newer package for each component that it runs."""
    return {
        host: needs(report["ha"], [*(OF[part] for part in report["ha"]["components"] if part in OF), *more])
        for host, report in found.items()
    }


def planned(found, surveys, verb="update", absent=(), others=None, **options):
    options = Options(verb, LIMITS, **options)
    parsed = {host: parse_survey(result) for host, result in surveys.items()}
    return plan(options, found, parsed, absent=absent, others=others)


def hosts(made):
    return [step.host for step in made.steps]


def refused(made):
    return [(problem.subject, problem.text) for problem in made.refused]
