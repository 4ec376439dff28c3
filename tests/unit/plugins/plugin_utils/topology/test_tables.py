# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables that repeat what stands elsewhere in the collection must say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.shapes import keys
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    COMPONENTS,
    EXPORTERS,
    PACKAGE_ROLES,
    ROLES,
    packages_variable,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, Ports
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.monitoring import JOBS, PORTS
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.schema import Groups
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import PROFILES, patroni_defaults
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.variables import FLOOR, WIRED

ROLES_FOLDER = Path(__file__).resolve().parents[5] / "roles"


@pytest.mark.parametrize("role", PACKAGE_ROLES)
def test_the_packages_of_a_role_are_plain_names(role, roles):
    packages = roles[role].defaults[packages_variable(role)]
    assert isinstance(packages, list)
    assert not any("{{" in package for package in packages)


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_a_component_s_ports_are_known_to_the_topology_or_to_its_role(component, roles):
    for port in component.ports:
        known = hasattr(Ports(), port.name) if port.path else isinstance(roles[component.role].defaults[port.name], int)
        assert known, port.name


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.name)
def test_the_units_and_the_files_of_a_component_are_its_role_s(component):
    role = ROLES_FOLDER / component.role
    plans = ROLES_FOLDER.parent / "plugins/plugin_utils"
    sources = [*role.glob("tasks/*.yml"), *role.glob("vars/*.yml"), *plans.glob(f"{component.role}_plan.py")]
    text = "".join(path.read_text() for path in sources)
    # A pattern is for the files of another role.
    files = [component.configuration, *(secret.stored for secret in component.secrets if "*" not in secret.stored)]
    assert [name for name in (*component.units, *files) if name not in text] == []


def test_a_component_s_hosts_are_a_group_in_the_schema_or_those_of_others():
    assert list(keys(Groups)) == [component.key for component in COMPONENTS if component.is_grouped]


def test_a_component_beside_others_follows_a_field_of_the_cluster():
    names = [component.name for component in COMPONENTS]
    for component in (component for component in COMPONENTS if not component.is_grouped):
        assert {*component.beside} <= {*names[: names.index(component.name)]}
        assert component.asked_by in Cluster.__dataclass_fields__


def test_an_exporter_has_a_row_in_each_table(roles):
    components = {component.name: component for component in COMPONENTS if component.role == "exporters"}
    assert [*components] == [f"{name}_exporter" for name in EXPORTERS]
    assert roles["exporters"].options["exporters_names"]["choices"] == list(EXPORTERS)
    table = yaml.safe_load((ROLES_FOLDER / "exporters/vars/main.yml").read_text())["exporters__table"]
    for row in table:
        component = components[f"{row['name']}_exporter"]
        own, listens = f"{row['package']}.service", getattr(Ports(), component.name)
        assert component.packages == (row["package"],)
        assert (component.units, component.other_units, listens) == ((row["unit"],), (own,), row["port"])
    assert len(table) == len(components)


def test_what_is_monitored_is_a_component_with_its_port():
    ports = {component.name: [port.name for port in component.ports] for component in COMPONENTS}
    for component, port in ((name, port) for name, (_job, port) in JOBS.items()):
        assert port in ports[component]
    served = {port.name for component in COMPONENTS for port in component.ports if port.path.startswith("monitoring.")}
    assert served == {*PORTS}


def test_what_is_wired_is_a_variable_that_the_playbooks_set(roles):
    wired = {name for role in roles.values() for name in role.wired}
    assert not {*WIRED} - wired


def test_names_of_sql_roles_are_variables_with_these_defaults(roles):
    defaults = {name: value for role in roles.values() for name, value in role.defaults.items()}
    for component in COMPONENTS:
        assert component.sql_roles.items() <= defaults.items()


def test_role_prefixes_are_unambiguous():
    assert not any(one != other and one.startswith(f"{other}_") for one in ROLES for other in ROLES)


def test_timing_variables_exist_with_defaults_that_hold(roles):
    for profile in PROFILES:
        defaults = patroni_defaults(profile, roles["patroni"].defaults)
        ttl, loop_wait, retry_timeout = (defaults[name] for name in FLOOR)
        assert loop_wait + 2 * retry_timeout <= ttl
        assert all(defaults[name] >= floor for name, floor in FLOOR.items())


def test_every_value_of_a_profile_is_a_variable_of_its_role(roles):
    for name, profile in PROFILES.items():
        for role in ("patroni", "etcd", "haproxy", "keepalived"):
            for key in getattr(profile, role):
                template = roles[role].defaults[f"{role}_{key}"]
                assert template.startswith("{{ " + f"{role}_timing.{key} | default("), name


def test_profiles_keep_their_own_rules():
    for profile in PROFILES.values():
        assert profile.etcd["election_timeout"] >= 5 * profile.etcd["heartbeat_interval"]
        watch, patroni = profile.lease_watch, profile.patroni
        assert watch is None or patroni["loop_wait"] + 1 <= watch < patroni["ttl"]
