# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever stands in the file or in a host's variables is either built or refused, never a traceback."""

from __future__ import annotations

import datetime as dt
import json
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE, TopologyError
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.shapes import OfRole, keys
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.build import build
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Inventory
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.schema import Check, Cluster, Pool
from jsonschema import Draft7Validator

DATA = Path(__file__).resolve().parents[3] / "data"
BASE = yaml.safe_load((DATA / "topology_base.yml").read_text(encoding="utf-8"))
CASES = yaml.safe_load((DATA / "topology_good_input.yml").read_text(encoding="utf-8"))
WEB = next(
    case["document"]["clusters"]["web"] for case in CASES if "PostgreSQL" in case["name"] and "web" in case["name"]
)
SCHEMA = Draft7Validator(json.loads((DATA.parents[2] / "docs" / "topology.schema.json").read_text(encoding="utf-8")))
OF_ROLES = {
    name
    for declaration in (Cluster, Check, Pool)
    for name, key in keys(declaration).items()
    if isinstance(key.shape, OfRole)
}
"""Keys of which Ansible's validator makes a text of a boolean, which an editor should not let pass."""
EVERYTHING = {
    **BASE["document"]["clusters"]["lab"],
    "clients": ["198.51.100.0/24"],
    "ports": {"postgresql": 5432},
    "vrrp_sync_groups": {"both": ["main", "second"]},
    "vips": {
        "main": {"address": "198.51.100.100/24", "virtual_router_id": 51, "priorities": {"lb1": 9, "lb2": 8}},
        "second": {"address": "198.51.100.101/24", "interface": "eth0", "priorities": {"lb1": 9, "lb2": 8}},
    },
    "allow_single_etcd": False,
    "lease_watch": 8,
    "pooler": {"port": 6432, "mode": "session"},
    "pools": {
        **BASE["document"]["clusters"]["lab"]["pools"],
        **WEB["pools"],
        "any": {
            "port": 5002,
            "role": "any",
            "clients": ["198.51.100.0/25"],
            "server_options": "maxconn 100",
            "bind_options": "tfo",
            "frontend_options": ["option httplog"],
            "backend_options": ["retries 1"],
            "shutdown_sessions": False,
            "maxconn": 500,
            "timeouts": {"client": "1h"},
        },
        "http": {
            "port": 81,
            "service": "http",
            "mode": "http",
            "servers": [{"name": "web1", "address": "192.0.2.21", "port": 8080, "check_port": 8081}],
            "check": {"type": "http", "path": "/", "tls": True, "method": "GET", "status": "200", "body": "ok"},
        },
    },
}
ODD = (None, True, 0, -1, 1.5, "", "odd", "0", [], [None], [[]], {}, {"odd": {}}, {1: 2}, dt.date(2026, 1, 1))
VARIABLES = (
    "ansible_host",
    "ha_address",
    "ha_extra_addresses",
    "ha_zone",
    "ha_failover_priority",
    "ha_vrrp_priority",
    "ha_interface",
    "ha_secrets",
    "ha_role_passwords",
    "patroni_ttl",
    "patroni_dynamic_configuration",
    "patroni_parameters",
    "pgbackrest_tls_port",
)


def paths(data, path=()):
    yield path
    if isinstance(data, (dict, list)):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from paths(value, (*path, key))


def replaced(data, path, value):
    if not path:
        return value
    changed = deepcopy(data)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return changed


def built_or_refused(document, variables, roles):
    """Whether it is built."""
    groups = {name: tuple(hosts) for name, hosts in BASE["groups"].items()}
    hosts = {name: {**BASE["all"], **own, **variables} for name, own in BASE["hosts"].items()}
    try:
        build(document, Inventory(hosts, groups), roles)
    except TopologyError as refusal:
        refusal.describe({})
        return False
    return True


@pytest.mark.parametrize("odd", [None, True, -1, "odd", [], [[]], {}, {"odd": {}}, {1: 2}], ids=repr)
def test_of_the_topology_file(odd, roles):
    document = {"plugin": "holdfast.ha.topology", "clusters": {"lab": EVERYTHING}}
    assert built_or_refused(document, {}, roles)
    for path in paths(document):
        changed = replaced(document, path, odd)
        exempt = odd is True and OF_ROLES.intersection(path)
        if built_or_refused(changed, {}, roles) and not exempt:
            assert not list(SCHEMA.iter_errors(changed)), f"{path} is built, but refused in editors"


@pytest.mark.parametrize("variable", VARIABLES)
def test_of_a_variable(variable, roles):
    for odd in (*ODD, OPAQUE):
        built_or_refused(BASE["document"], {variable: odd}, roles)
