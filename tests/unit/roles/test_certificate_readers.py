# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registry says of each service when it reads certificates; its role restarts and reloads it accordingly."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_readers import (
    certificate_ports,
    certificate_units,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import COMPONENTS, EXPORTERS
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.derive import TLS

from tests.unit.plugins.plugin_utils.rolling.clusters import LAB, topology
from tests.unit.roles.render import ROLES, evaluate
from tests.unit.roles.test_pgbackrest import inputs

FILES = {TLS["ca"], TLS["cert"], TLS["key"]}
MEMBER = {"etcd_member_result": {"found": {"empty": False}}}


def units_of(role: str, file: str = "configure") -> list[dict[str, Any]]:
    """Return the units that the tasks of a role have the component module run."""
    tasks = yaml.safe_load((ROLES / role / "tasks" / f"{file}.yml").read_text(encoding="utf-8"))
    modules = [task["holdfast.ha.component"] for task in tasks if "holdfast.ha.component" in task]
    return [unit for module in modules for unit in evaluate(role, module.get("units", []), {}) if "name" in unit]


def exporters() -> list[dict[str, Any]]:
    text = (ROLES / "exporters" / "templates" / "plan.yml.j2").read_text(encoding="utf-8")
    variables = {"exporters_address": "198.51.100.11", "exporters_names": list(EXPORTERS)}
    found: list[dict[str, Any]] = yaml.safe_load(evaluate("exporters", text, variables))["units"]
    return found


def declared() -> dict[str, dict[str, Any]]:
    """Return what the roles declare of each unit."""
    found = [
        evaluate("etcd", "{{ etcd__unit }}", MEMBER),
        evaluate("patroni", "{{ patroni__unit }}", {}),
        *evaluate("pgbackrest", "{{ pgbackrest__plan.units }}", inputs("backup1")),
        *units_of("lease_watcher"),
        *units_of("pgbouncer"),
        *units_of("haproxy", "service"),
        *units_of("alertmanager"),
        *exporters(),
    ]
    return {unit["name"]: unit for unit in found if unit.get("state", "started") == "started"}


@pytest.fixture(scope="module")
def hosts() -> dict[str, Any]:
    """The lab's hosts with all components somewhere."""
    found = topology(LAB)
    everything = [component.name for component in COMPONENTS]
    return {"all": {**found["db1"], "components": everything, "monitoring": MONITORING, "pooler": {"port": 6432}}}


MONITORING = {
    "ports": {
        "haproxy_metrics": 8406,
        "prometheus": 9090,
        "alertmanager": 9093,
        **{f"{name}_exporter": 9100 + number for number, name in enumerate(EXPORTERS)},
    }
}


def test_each_service_reads_as_its_role_says(hosts: dict[str, Any]) -> None:
    roles = declared()
    units = certificate_units(hosts["all"])
    assert {"etcd.service", "patroni.service", "haproxy.service"} <= {unit["unit"] for unit in units} <= roles.keys()
    for unit in units:
        own = roles[unit["unit"]]
        for kind in ("restart_on", "reload_on"):
            assert {*unit[kind]} == FILES & {*own.get(kind, ())}, (unit["unit"], kind)


def test_services_without_an_entry_keep_no_certificates(hosts: dict[str, Any]) -> None:
    known = {unit["component"] for unit in certificate_units(hosts["all"])}
    rest = {component.name for component in COMPONENTS} - known
    assert rest == {"keepalived", "prometheus", "alertmanager", "metrics"}
    roles = declared()
    for component in (part for part in COMPONENTS if part.name in rest and part.units[0] in roles):
        own = roles[component.units[0]]
        assert not FILES & {*own.get("restart_on", ()), *own.get("reload_on", ())}, component.name


def test_the_ports_that_show_certificates(hosts: dict[str, Any]) -> None:
    ports = {port["name"]: port for port in certificate_ports(hosts["all"], {"pgbackrest_tls_port": 8432})}
    assert {name for name, port in ports.items() if port["postgresql"]} == {"postgresql", "pgbouncer"}
    assert ports["pgbackrest_tls_port"]["port"] == 8432
    assert {"etcd_client", "etcd_peer", "patroni", "haproxy_metrics", "prometheus", "node_exporter"} <= ports.keys()
    assert not {"haproxy_stats_port", "haproxy_monitor_port"} & ports.keys()
    assert {port["address"] for port in ports.values()} == {hosts["all"]["address"]}


def test_without_monitoring_its_ports_are_closed() -> None:
    ports = {port["name"] for port in certificate_ports(topology(LAB)["lb1"])}
    assert not ports
