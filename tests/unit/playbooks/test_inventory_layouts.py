# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One inventory in many layouts: the same clusters, one set of secrets, one authority, or a refusal that tells why."""

from __future__ import annotations

import grp
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
LAYOUTS = yaml.safe_load((ROOT / "tests/unit/data/inventory_layouts.yml").read_text(encoding="utf-8"))
GOOD = [layout for layout in LAYOUTS if "refused" not in layout]
BAD = [layout for layout in LAYOUTS if "refused" in layout]
ADDRESSES = {
    name: {"ansible_host": f"198.51.100.{number}"}
    for name, number in {"db1": 11, "db2": 12, "db3": 13, "lb1": 21, "lb2": 22}.items()
}
DATABASES = {name: ADDRESSES[name] for name in ("db1", "db2", "db3")}
BALANCERS = {name: ADDRESSES[name] for name in ("lb1", "lb2")}
DATABASE_GROUPS = {"etcd": {"hosts": DATABASES}, "postgresql": {"children": {"etcd": {}}}}
VIPS = {"main": {"address": "198.51.100.100/24"}}
CLUSTERS = {"main": {"vips": VIPS, "databases": [{"name": "app"}], "roles": [{"name": "app"}]}}


def ini(group, hosts):
    return "\n".join(
        [f"[{group}]", *(f"{name} ansible_host={told['ansible_host']}" for name, told in hosts.items()), ""]
    )


INI = f"{ini('etcd', DATABASES)}\n[postgresql:children]\netcd\n\n{ini('haproxy', BALANCERS)}"
LISTED = {
    "etcd": {"hosts": list(DATABASES)},
    "postgresql": {"children": ["etcd"]},
    "haproxy": {"hosts": list(BALANCERS)},
    "_meta": {"hostvars": ADDRESSES},
}
CONTENTS = {
    "hosts": json.dumps({"all": {"children": {**DATABASE_GROUPS, "haproxy": {"hosts": BALANCERS}}}}),
    "databases": json.dumps({"all": {"children": DATABASE_GROUPS}}),
    "balancers": ini("haproxy", BALANCERS),
    "ini": INI,
    "script": f"#!{sys.executable}\nprint({json.dumps(LISTED)!r})\n",
    "topology": yaml.safe_dump({"plugin": "holdfast.ha.topology", "clusters": CLUSTERS}),
    "more": "[client]\nclient1 ansible_host=198.51.100.41\n",
    "empty": json.dumps({"all": {"vars": {"anything": 1}}}),
}
PLAY = [
    {
        "hosts": "holdfast",
        "gather_facts": False,
        "connection": "local",
        "vars": {
            "ansible_python_interpreter": sys.executable,
            "certificates_directory": "{{ lookup('env', 'TLS') }}/{{ inventory_hostname }}",
            "certificates_key_group": "{{ lookup('env', 'GROUP') }}",
        },
        "tasks": [
            {"ansible.builtin.file": {"path": "{{ certificates_directory }}", "state": "directory", "mode": "0755"}},
            {"ansible.builtin.import_role": {"name": "holdfast.ha.certificates", "tasks_from": "configure"}},
        ],
    }
]


@pytest.fixture
def laid_out(request, tmp_path):
    """Write the files of a layout; return its -i options."""
    folder = tmp_path / "inventory"
    for name, word in request.param["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CONTENTS[word], encoding="utf-8")
        path.chmod(0o755 if word == "script" else 0o644)
    sources = (name if "," in name else str(folder / name) for name in request.param["sources"])
    return [f"--inventory={source}" for source in sources]


def run(program, *arguments, **settings):
    """One of Ansible's programs without a configuration of ours: exit code, output, messages."""
    environment = {name: value for name, value in os.environ.items() if name != "ANSIBLE_CONFIG"}
    environment |= {"ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"), "ANSIBLE_NOCOLOR": "true", **settings}
    done = subprocess.run(
        [sys.executable, "-m", f"ansible.cli.{program}", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        cwd="/",
        timeout=300,
    )
    return done.returncode, done.stdout, " ".join(done.stderr.split())


def make_secrets(sources):
    return run("playbook", *sources, ROOT / "playbooks/secrets.yml", "-e", "secrets_plaintext=true")


def built(variables):
    """What depends on the layout in no way."""
    return {name: told["ha"] for name, told in variables.items() if "ha" in told}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What the simplest layout gives."""
    folder = tmp_path_factory.mktemp("expected")
    for name, word in {"hosts.yml": "hosts", "topology.ha.yml": "topology"}.items():
        (folder / name).write_text(CONTENTS[word], encoding="utf-8")
    make_secrets([f"--inventory={folder}"])
    return built(json.loads(run("inventory", "-i", folder, "--list")[1])["_meta"]["hostvars"])


@pytest.mark.parametrize("laid_out", GOOD, ids=[layout["name"] for layout in GOOD], indirect=True)
def test_same_clusters_secrets_and_authority(laid_out, expected):
    code, shown, told = make_secrets(laid_out)
    assert code == 0, shown + told
    code, shown, told = run("inventory", *laid_out, "--list")
    assert code == 0, told
    variables = json.loads(shown)["_meta"]["hostvars"]
    assert set(expected) == set(ADDRESSES)
    assert built(variables) == expected
    assert len({json.dumps(variables[name]["ha_secrets"]) for name in ADDRESSES}) == 1
    assert len({variables[name]["certificates_ca_directory"] for name in ADDRESSES}) == 1


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (["a/group_vars/all/secrets.yml", "b/group_vars/all/secrets.yml"], "only one of which would count"),
        (["b/group_vars/all/vault.yml"], "the inventory has ha_secrets already, and not in"),
    ],
)
def test_secrets_are_not_made_twice(tmp_path, places, expected):
    for path, word in {"a/hosts.yml": "hosts", "b/topology.ha.yml": "topology"}.items():
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(CONTENTS[word], encoding="utf-8")
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text(json.dumps({"ha_secrets": {"etcd_root": "never-show-me"}}), encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    code, shown, told = make_secrets(["-i", tmp_path / "a", "-i", tmp_path / "b"])
    assert code == 2, shown + told
    assert expected in " ".join((shown + told).split())
    assert "-e secrets_file=PATH" in shown + told
    assert sorted(tmp_path.rglob("*")) == before


def test_a_vault_without_its_password_is_one_message(tmp_path):
    (tmp_path / "group_vars" / "all").mkdir(parents=True)
    vaulted = "$ANSIBLE_VAULT;1.1;AES256\n6162636465\n"
    for name, text in {
        "hosts.yml": CONTENTS["hosts"],
        "topology.ha.yml": CONTENTS["topology"],
        "group_vars/all/secrets.yml": vaulted,
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    code, shown, told = run("inventory", "-i", tmp_path, "--list")
    assert code == 4, shown + told
    assert told.count("ERROR") == 1
    assert told.endswith("Fix: give --vault-password-file or --vault-id.")


@pytest.mark.parametrize("laid_out", BAD, ids=[layout["name"] for layout in BAD], indirect=True)
def test_refused_once_with_cause_and_fix(laid_out, request):
    layout = request.node.callspec.params["laid_out"]
    code, shown, told = run("playbook", *laid_out, ROOT / "playbooks/status.yml")
    assert code == 4, shown + told
    for part in layout["refused"]:
        assert told.count(part) == 1
    assert "Failed to parse" not in told
    assert told.count("ERROR") == 1


@pytest.mark.parametrize(
    "laid_out", [layout for layout in GOOD if layout["name"].startswith("split")], ids=str, indirect=True
)
def test_hosts_in_several_folders_have_one_authority(laid_out, tmp_path):
    assert make_secrets(laid_out)[0] == 0
    assert "changed=0" in make_secrets(laid_out)[1], "a second run finds the file"
    play = tmp_path / "play.yml"
    play.write_text(json.dumps(PLAY), encoding="utf-8")
    tls = tmp_path / "tls"
    group = grp.getgrgid(os.getgid()).gr_name
    for _run in range(2):
        code, shown, told = run("playbook", *laid_out, play, TLS=str(tls), GROUP=group)
        assert code == 0, shown + told
    assert shown.count("changed=0") == len(ADDRESSES)
    assert len({path.read_text() for path in tls.glob("*/ca.crt")}) == 1
    assert len(list((tmp_path / "inventory").rglob(".pki"))) == 1
