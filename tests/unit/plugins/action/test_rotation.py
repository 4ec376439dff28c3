# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New values in the secrets file, and the plan of a rotation, as plays run them."""

from __future__ import annotations

import json
import stat

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation.plan import plan, states_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.secrets_file import complete, extended, parse

from tests.unit.plugins.action.test_playbooks import inventory_of, run

MAKE = {"tasks": [{"holdfast.ha.secrets_file": {"rotate": "{{ rotate }}"}}]}
SETTLE = {"tasks": [{"holdfast.ha.secrets_file": {"settled": ["ha_secrets.etcd_root", "ha_role_passwords.app"]}}]}
CHANGED = Verdict(stored=False, accepted=False)


@pytest.fixture
def secrets(tmp_path):
    """Write a secrets file; return its path and its text."""
    path = tmp_path / "group_vars/all/secrets.yml"
    path.parent.mkdir(parents=True)
    text = extended("# ours\n", complete({}, ["app"]))
    path.write_text(text)
    path.chmod(0o600)
    return path, text


def shown(output, *documents):
    return [value for document in documents for part in document.values() for value in part.values() if value in output]


def test_new_values_stand_beside_the_former_ones_until_the_end(tmp_path, secrets):
    path, text = secrets
    inventory = inventory_of(tmp_path, {})
    before = parse(text)
    code, output = run(inventory, MAKE, "-e", "rotate=etcd_root,app", "-vvv", "--diff")
    assert code == 0, output
    after = parse(path.read_text())
    assert after["ha_secrets_previous"] == {"etcd_root": before["ha_secrets"]["etcd_root"]}
    assert after["ha_role_passwords_previous"] == before["ha_role_passwords"]
    assert path.read_text().startswith("# ours\n")
    assert "new ha_secrets etcd_root" in " ".join(output.split())
    assert shown(output, before, after) == []

    code, output = run(inventory, MAKE, "-e", "rotate=etcd_root,app")
    assert "ok=1 changed=0" in " ".join(output.split()), output
    assert "new already ha_secrets etcd_root" in " ".join(output.split())

    code, output = run(inventory, SETTLE, "-vvv")
    assert code == 0, output
    final = parse(path.read_text())
    assert final == {name: after[name] for name in before}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert shown(output, before, after) == []


def test_former_values_that_are_set_elsewhere_are_named(tmp_path):
    code, output = run(inventory_of(tmp_path, {}), SETTLE, "-e", '{"ha_secrets": {"etcd_root": "x"}}')
    assert code == 0, output
    told = " ".join(output.split())
    assert "former values of ha_secrets.etcd_root, ha_role_passwords.app: remove them where you set them" in told
    assert not (tmp_path / "group_vars").exists()


def test_check_mode_writes_nothing(tmp_path, secrets):
    path, text = secrets
    code, output = run(inventory_of(tmp_path, {}), MAKE, "-e", "rotate=passwords", "--check")
    assert code == 0, output
    assert "changed=1" in output
    assert path.read_text() == text


def test_a_vaulted_file_keeps_its_id(tmp_path, secrets):
    path, text = secrets
    (tmp_path / "prod").write_text("the password of prod")
    secret = VaultSecret(b"the password of prod")
    vault = VaultLib([("prod", secret)])
    path.write_bytes(vault.encrypt(text, secret=secret, vault_id="prod"))
    code, output = run(
        inventory_of(tmp_path, {}), MAKE, "-e", "rotate=passwords", "--vault-id", f"prod@{tmp_path / 'prod'}"
    )
    assert code == 0, output
    content = path.read_bytes()
    assert content.startswith(b"$ANSIBLE_VAULT;1.2;AES256;prod\n")
    after, before = parse(vault.decrypt(content).decode()), parse(text)
    kept = {"pgbackrest_cipher"}
    same = {key for key, value in after["ha_secrets"].items() if value == before["ha_secrets"][key]}
    assert same == kept
    assert set(after["ha_secrets_previous"]) == set(before["ha_secrets"]) - kept


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("etcd_rot", "etcd_rot is unknown; did you mean 'etcd_root'"),
        ("pgbackrest_cipher", "can't change in place"),
        ("web", "web is unknown"),
    ],
)
def test_what_the_file_lacks_is_refused(tmp_path, secrets, words, expected):
    path, text = secrets
    code, output = run(inventory_of(tmp_path, {}), MAKE, "-e", f"rotate={words}")
    assert code != 0
    assert expected in " ".join(output.split())
    assert path.read_text() == text


def planned(folder, arguments, variables=None):
    """Run the plan on two hosts; return the exit code, the output and the result."""
    target = folder / "result.json"
    known = {"ha_secrets": {"etcd_root": "x"}, "ha_role_passwords": {"app": "x"}, "ansible_connection": "local"}
    tasks = [
        {"holdfast.ha.rotation_plan": arguments, "register": "found", "run_once": True},
        {"ansible.builtin.copy": {"content": "{{ found | to_json }}", "dest": str(target)}, "run_once": True},
    ]
    hosts = {name: {**known, **(variables or {})} for name in ("db1", "db2")}
    code, output = run(inventory_of(folder, hosts), {"hosts": "holdfast", "tasks": tasks})
    return code, " ".join(output.split()), json.loads(target.read_text()) if code == 0 else {}


def moves(*names):
    return {"lab": plan(states_of([dict.fromkeys(names, CHANGED)])).as_data()}


def test_the_plan_names_what_is_left(tmp_path):
    former = {"ha_secrets_previous": {"etcd_root": "old"}}
    arguments = {"rotate": ["etcd_root", "app"], "moves": moves("etcd_root")}
    code, output, result = planned(tmp_path, arguments, former)
    assert code == 0, output
    assert (result["names"], result["former"]) == (["etcd_root"], ["ha_secrets.etcd_root"])
    assert result["parts"] == ["passwords"]
    assert "Cluster lab: 1 secrets, in these steps 1. open" in output


def test_without_anything_left_it_says_how_to_begin(tmp_path):
    code, output, result = planned(tmp_path, {"rotate": ["passwords"], "moves": {}})
    assert (code, result["names"]) == (0, [])
    assert "Nothing to rotate" in output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "rotate is not set"),
        ({"rotate": ["nothing"]}, "nothing is unknown"),
        ({"rotate": ["app"], "without": ["db9"]}, "rotate_without: db9 is no host of a cluster"),
        ({"rotate": ["app"], "moves": moves("etcd_root")}, "etcd_root differ from the deployed ones, too"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, arguments, expected):
    code, output, _result = planned(tmp_path, arguments)
    assert code != 0
    assert expected in output


def test_yaml_of_the_file_stays_plain(secrets):
    path, _text = secrets
    assert yaml.safe_load(path.read_text())["ha_role_passwords"].keys() == {"app"}
