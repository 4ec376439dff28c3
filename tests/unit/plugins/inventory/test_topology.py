# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin through Ansible's own inventory manager and command lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleParserError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString
from ansible.template import trust_as_template
from ansible_collections.holdfast.ha.plugins.inventory import topology as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE, TEMPLATE_IN_TEXT

ROOT = Path(__file__).resolve().parents[4]
BASE = yaml.safe_load((ROOT / "tests" / "unit" / "data" / "topology_base.yml").read_text(encoding="utf-8"))
VAULTED = "$ANSIBLE_VAULT;1.1;AES256\n6162636465\n"


class Vaulted(str):
    """Dumped as a !vault value."""


class Dumper(yaml.SafeDumper):
    """Writes !vault values."""


Dumper.add_representer(Vaulted, lambda dumper, value: dumper.represent_scalar("!vault", str(value), style="|"))


@pytest.fixture
def inventory(tmp_path):
    """An inventory directory with the good base, all its secrets vaulted with a password that nobody has."""
    children = {
        name: {"hosts": {host: BASE["hosts"][host] for host in hosts}} for name, hosts in BASE["groups"].items()
    }
    secrets = {name: {key: Vaulted(VAULTED) for key in values} for name, values in BASE["all"].items()}
    write(tmp_path / "hosts.yml", {"all": {"children": children}})
    write(tmp_path / "topology.ha.yml", BASE["document"])
    write(tmp_path / "group_vars" / "all" / "secrets.yml", secrets)
    return tmp_path


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump(data, Dumper=Dumper), encoding="utf-8")


def parsed(*sources):
    """The inventory manager's data after the plugin parsed the last source, the topology, on top of the others."""
    *before, path = map(str, sources)
    manager = InventoryManager(loader=DataLoader(), sources=before)
    sut.InventoryModule().parse(manager._inventory, manager._loader, path)
    return manager


def derived(name, *sources):
    """A host's `ha`."""
    return parsed(*sources).get_host(name).get_vars().get("ha")


def run(program, *arguments):
    """One of Ansible's programs, with the collection in its path."""
    command = [sys.executable, "-m", f"ansible.cli.{program}", *map(str, arguments)]
    collections = next(path for path in Path(sut.__file__).parents if path.name == "ansible_collections").parent
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "ANSIBLE_NOCOLOR": "true",
    }
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd="/")
    return result.returncode, result.stdout, " ".join(result.stderr.split())


def test_command_line_shows_what_will_be_built_without_any_vault_password(inventory):
    status, shown, _told = run("inventory", "-i", inventory, "--list")
    assert status == 0
    variables = json.loads(shown)["_meta"]["hostvars"]
    assert variables["db1"]["ha"]["etcd"]["token"] == "holdfast-lab"
    assert "ha" not in variables["client1"]
    assert json.loads(shown)["holdfast_keepalived"]["hosts"] == ["lb1", "lb2"]


@pytest.mark.parametrize("program", ["inventory", "playbook"])
def test_bad_input_ends_the_program_before_any_host_is_touched(inventory, program):
    document = json.loads(json.dumps(BASE["document"]))
    document["clusters"]["lab"]["vips"]["main"]["address"] = "198.51.100.12/24"
    write(inventory / "topology.ha.yml", document)
    secrets = {**BASE["all"], "ha_secrets": {**BASE["all"]["ha_secrets"], "patroni_rest": ""}, "patroni_tll": 30}
    write(inventory / "group_vars" / "all" / "secrets.yml", secrets)
    touched = inventory / "touched"
    play = inventory.parent / f"{inventory.name}.yml"
    task = {"ansible.builtin.copy": {"dest": str(touched), "content": ""}}
    write(play, [{"hosts": "localhost", "gather_facts": False, "tasks": [task]}])
    status, shown, told = run(program, "-vvv", "-i", inventory, "--list" if program == "inventory" else play)
    assert status != 0
    assert not touched.exists()
    assert "3 problem(s) in the topology; nothing was changed on any host." in told
    assert "clusters.lab.vips.main.address = '198.51.100.12/24': is the address of the host db2. Fix: choose" in told
    assert "patroni_tll: is not a variable of the role patroni. Fix: did you mean 'patroni_ttl'; if it is" in told
    assert "ha_secrets.patroni_rest: is blank" in told
    assert "never-show-me" not in shown + told


def test_adds_groups(inventory):
    groups = parsed(inventory / "hosts.yml", inventory / "topology.ha.yml").get_groups_dict()
    assert groups["holdfast_backup"] == ["backup1"]
    assert groups["holdfast_cluster_lab"] == ["backup1", "db1", "db2", "db3", "lb1", "lb2"]


def test_layers_on_ini_elsewhere(inventory, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "static.ini"
    groups = "".join(f"[{name}]\n" + "\n".join(hosts) + "\n" for name, hosts in BASE["groups"].items())
    hosts = "".join(f"{name} ansible_host={values['ansible_host']}\n" for name, values in BASE["hosts"].items())
    elsewhere.write_text(hosts + groups, encoding="utf-8")
    db2 = derived("db2", elsewhere, inventory / "topology.ha.yml")
    assert (db2["name"], db2["address"]) == ("db2", "198.51.100.12")


def test_sees_group_and_host_variables_by_precedence(inventory):
    write(inventory / "group_vars" / "all" / "zone.yml", {"ha_zone": "everywhere"})
    write(inventory / "group_vars" / "postgresql.yml", {"ha_zone": "databases"})
    write(inventory / "host_vars" / "db2.yml", {"ha_zone": "here"})
    members = derived("lb1", inventory / "hosts.yml", inventory / "topology.ha.yml")["members"]
    zones = {member["name"]: member["zone"] for member in members}
    assert (zones["lb1"], zones["db1"], zones["db2"]) == ("everywhere", "databases", "here")


def test_templated_values_are_taken_as_present(inventory):
    variables = {"ha_secrets": "{{ never }}", "ha_role_passwords": {"app": "{{ never }}"}, "patroni_ttl": "{{ never }}"}
    write(inventory / "group_vars" / "all" / "secrets.yml", variables)
    assert derived("db1", inventory / "hosts.yml", inventory / "topology.ha.yml")["name"] == "db1"


@pytest.mark.parametrize("variable", ["ansible_host", "ha_zone"])
def test_templated_values_are_refused_where_the_topology_needs_them(inventory, variable):
    write(inventory / "host_vars" / "db1.yml", {variable: "{{ never }}"})
    with pytest.raises(AnsibleParserError) as refusal:
        parsed(inventory / "hosts.yml", inventory / "topology.ha.yml")
    assert f"1. db1: {variable}: is templated or vaulted" in str(refusal.value)
    assert "\n  2. " not in str(refusal.value)


def test_refuses_misspelt_options_of_playbooks_once_for_all_hosts(inventory):
    write(inventory / "group_vars" / "all" / "mine.yml", {"status_lagg": 1, "drill_confirm": "lab", "mine": 1})
    with pytest.raises(
        AnsibleParserError, match=r"drill_confirm: is set in the inventory.*\n.*status_lagg: is an unknown"
    ) as told:
        parsed(inventory / "hosts.yml", inventory / "topology.ha.yml")
    assert str(told.value).count("Fix:") == 2


def test_refuses_with_the_file_and_the_line(inventory):
    path = inventory / "topology.ha.yml"
    path.write_text("plugin: holdfast.ha.topology\nclusters:\n  lab:\n    vip: {}\n", encoding="utf-8")
    with pytest.raises(AnsibleParserError) as refusal:
        parsed(inventory / "hosts.yml", path)
    assert str(path) in str(refusal.value)
    assert "1. line 4: clusters.lab.vip: is an unknown key. Fix: did you mean 'vips'." in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("topology.ha.yml", True),
        ("prod.topology.ha.yaml", True),
        ("hosts.yml", False),
        ("topology.yml", False),
        ("missing/topology.ha.yml", False),
    ],
)
def test_takes_files_by_their_names(tmp_path, name, wanted):
    path = tmp_path / name
    if path.parent == tmp_path:
        path.touch()
    assert sut.InventoryModule().verify_file(str(path)) is wanted


def test_vaulted_and_templated_values_stay_unread():
    values = [EncryptedString(ciphertext=VAULTED), trust_as_template("{{ x }}"), trust_as_template("text"), 1, None]
    assert sut.plain({"a": values}) == {"a": [OPAQUE, OPAQUE, "text", 1, None]}


@pytest.mark.parametrize("text", ["a{{b", "{{ a }}b", "{%", "{# gone #}", "a{#b", "{{ a b }}", "#jinja2: x"])
def test_a_text_that_is_no_single_expression_is_told_apart(text):
    assert sut.plain(trust_as_template(text)) is TEMPLATE_IN_TEXT
    assert sut.plain(text) == text, "an !unsafe one is not rendered"


@pytest.mark.parametrize("name", ["lab", "three_nodes", "dedicated"])
def test_shipped_inventories_are_good(name, tmp_path):
    """Their secrets are generated, so the base's stand in."""
    shipped = ROOT / "inventory" / name
    clusters = yaml.safe_load((shipped / "topology.ha.yml").read_text(encoding="utf-8"))["clusters"].values()
    passwords = {role["name"]: "never-show-me" for cluster in clusters for role in cluster.get("roles", [])}
    write(tmp_path / "hosts.yml", {"all": {}})
    write(tmp_path / "group_vars" / "all.yml", {**BASE["all"], "ha_role_passwords": passwords})
    manager = parsed(tmp_path / "hosts.yml", shipped / "hosts.yml", shipped / "topology.ha.yml")
    assert all("ha" in host.get_vars() for host in manager.get_hosts("holdfast"))
