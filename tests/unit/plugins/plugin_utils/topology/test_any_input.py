# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever stands in the file or in a host's variables is either built or refused, never a traceback."""

from __future__ import annotations

import datetime as dt
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE, TopologyError
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.build import build
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Inventory

DATA = Path(__file__).resolve().parents[3] / "data"
BASE = yaml.safe_load((DATA / "topology_base.yml").read_text(encoding="utf-8"))
CASES = yaml.safe_load((DATA / "topology_good_input.yml").read_text(encoding="utf-8"))
WEB = next(
    case["document"]["clusters"]["web"] for case in CASES if "PostgreSQL" in case["name"] and "web" in case["name"]
)
EVERYTHING = {
    **BASE["document"]["clusters"]["lab"],
    "clients": ["198.51.100.0/24"],
    "ports": {"postgresql": 5432},
    "vrrp_sync_groups": {"both": ["main", "second"]},
    "vips": {
        "main": {"address": "198.51.100.100/24", "virtual_router_id": 51},
        "second": {"address": "198.51.100.101/24", "interface": "eth0", "priorities": {"lb1": 9}},
    },
    "allow_single_etcd": False,
    "lease_watch": 8,
    "pooler": {"port": 6432, "mode": "session"},
    "pools": {**BASE["document"]["clusters"]["lab"]["pools"], **WEB["pools"]},
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
    groups = {name: tuple(hosts) for name, hosts in BASE["groups"].items()}
    hosts = {name: {**BASE["all"], **own, **variables} for name, own in BASE["hosts"].items()}
    try:
        build(document, Inventory(hosts, groups), roles)
    except TopologyError as refusal:
        refusal.describe({})


@pytest.mark.parametrize("odd", [None, -1, "odd", [[]], {"odd": {}}, {1: 2}], ids=repr)
def test_of_the_topology_file(odd, roles):
    document = {"plugin": "holdfast.ha.topology", "clusters": {"lab": EVERYTHING}}
    built_or_refused(document, {}, roles)
    for path in paths(document):
        built_or_refused(replaced(document, path, odd), {}, roles)


@pytest.mark.parametrize("variable", VARIABLES)
def test_of_a_variable(variable, roles):
    for odd in (*ODD, OPAQUE):
        built_or_refused(BASE["document"], {variable: odd}, roles)
