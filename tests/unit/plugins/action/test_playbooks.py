# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The actions that run on the controller only, as a user runs them."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.holdfast.ha.plugins.action import host_preflight
from ansible_collections.holdfast.ha.plugins.modules import host_preflight as host_preflight_module
from ansible_collections.holdfast.ha.plugins.plugin_utils import secrets_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import key_pem, pem_of
from cryptography import x509

from tests.unit.plugins.plugin_utils.test_authority_files import below, root_of

COLLECTIONS = next(path for path in Path(secrets_file.__file__).parents if path.name == "ansible_collections").parent


def run(inventory, play, *arguments):
    """Run a play on an inventory; return its exit code and everything it printed, white space joined."""
    book = inventory.parent / "play.yml"
    book.write_text(json.dumps([{"gather_facts": False, "hosts": "localhost", **play}]))
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(inventory), str(book), *arguments]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "true"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=inventory.parent)
    return done.returncode, done.stdout + done.stderr


def inventory_of(folder, hosts):
    """Write an inventory whose group holdfast has these hosts with their variables."""
    path = folder / "hosts.yml"
    path.write_text(json.dumps({"all": {"children": {"holdfast": {"hosts": hosts}}}}))
    return path


SECRETS_PLAY = {"tasks": [{"holdfast.ha.secrets_file": {"plaintext": "{{ plaintext | default(false) }}"}}]}


def test_secrets_are_made_once_and_never_shown(tmp_path):
    inventory = inventory_of(tmp_path, {})
    (tmp_path / "topology.ha.yml").write_text("clusters: {lab: {roles: [{name: app}]}}\n")
    target = tmp_path / "group_vars" / "all" / "secrets.yml"

    code, output = run(inventory, SECRETS_PLAY)
    assert code != 0
    assert "refused to write" in output
    assert not target.exists()

    code, output = run(inventory, SECRETS_PLAY, "-e", "plaintext=true", "-vvv", "--diff")
    first = yaml.safe_load(target.read_text())
    values = [*first["ha_secrets"].values(), *first["ha_role_passwords"].values()]
    assert code == 0
    assert f"{target}, NOT ENCRYPTED: new ha_secrets etcd_root, etcd_patroni," in " ".join(output.split())
    assert "new ha_role_passwords app " in " ".join(output.split())
    assert list(first["ha_role_passwords"]) == ["app"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not [value for value in values if value in output]

    (tmp_path / "vault").write_text("a vault password")
    code, output = run(inventory, SECRETS_PLAY, "--vault-password-file", str(tmp_path / "vault"), "-vvv", "--diff")
    assert code == 0
    assert target.read_text().startswith("$ANSIBLE_VAULT;")
    assert "encrypted by ansible-vault: kept ha_secrets etcd_root, etcd_patroni," in " ".join(output.split())
    assert "ok=1 changed=1" in " ".join(output.split())
    assert not [value for value in values if value in output]

    code, output = run(inventory, SECRETS_PLAY, "--vault-password-file", str(tmp_path / "vault"))
    assert code == 0
    assert "ok=1 changed=0" in " ".join(output.split())


@pytest.fixture
def vaults(tmp_path):
    """Two vault ids and their passwords: what --vault-id takes, and a VaultLib for each."""
    found = {}
    for name in ("dev", "prod"):
        (tmp_path / name).write_text(f"the password of {name}")
        secret = VaultSecret(f"the password of {name}".encode())
        found[name] = (f"{name}@{tmp_path / name}", VaultLib([(name, secret)]), secret)
    return found


def with_ids(vaults):
    return [word for source, _vault, _secret in vaults.values() for word in ("--vault-id", source)]


@pytest.mark.parametrize("header", ["prod", "elsewhere", None])
def test_a_vaulted_file_keeps_its_id_its_password_and_its_mode(tmp_path, vaults, header):
    inventory, target = inventory_of(tmp_path, {}), tmp_path / "group_vars" / "all" / "secrets.yml"
    _source, vault, secret = vaults["prod"]
    target.parent.mkdir(parents=True)
    target.write_bytes(vault.encrypt("# ours\nother: 1\n", secret=secret, vault_id=header))
    target.chmod(0o640)
    code, output = run(inventory, SECRETS_PLAY, *with_ids(vaults))
    assert code == 0, output
    content = target.read_bytes()
    assert content.splitlines()[0].decode().split(";")[3:] == ([header] if header else [])
    assert vault.decrypt(content).decode().startswith("# ours\nother: 1\nha_secrets:\n  etcd_root: ")
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    code, output = run(inventory, SECRETS_PLAY, *with_ids(vaults))
    assert target.read_bytes() == content, output


def test_with_several_ids_a_new_file_gets_the_one_that_is_chosen(tmp_path, vaults, monkeypatch):
    inventory, target = inventory_of(tmp_path, {}), tmp_path / "group_vars" / "all" / "secrets.yml"
    code, output = run(inventory, SECRETS_PLAY, *with_ids(vaults))
    assert code != 0
    assert "several vault ids could encrypt it (dev, prod)" in " ".join(output.split())
    assert not target.exists()
    monkeypatch.setenv("ANSIBLE_VAULT_ENCRYPT_IDENTITY", "prod")
    code, output = run(inventory, SECRETS_PLAY, *with_ids(vaults))
    assert code == 0, output
    assert target.read_text().startswith("$ANSIBLE_VAULT;1.2;AES256;prod\n")


def test_secrets_encrypted_in_place_get_neighbours_of_their_id(tmp_path, vaults):
    inventory, target = inventory_of(tmp_path, {}), tmp_path / "shared.yml"
    link = tmp_path / "group_vars" / "all" / "secrets.yml"
    _source, vault, secret = vaults["prod"]
    value = vault.encrypt("sixteen-characters", secret=secret, vault_id="prod").decode()
    before = f"ha_secrets:\n  # by hand\n  etcd_root: !vault |\n{textwrap.indent(value, '    ')}"
    target.write_text(before)
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    code, output = run(inventory, SECRETS_PLAY, *with_ids(vaults))
    assert code == 0, output
    assert link.is_symlink()
    assert target.read_text().startswith(before)
    added = secrets_file.parse(target.read_text())["ha_secrets"]["etcd_patroni"]
    assert added.startswith("$ANSIBLE_VAULT;1.2;AES256;prod\n")
    assert len(vault.decrypt(added)) == secrets_file.LENGTH

    other = vaults["dev"][1].encrypt("sixteen-characters", secret=vaults["dev"][2], vault_id="dev").decode()
    mixed = f"{before}  mine: !vault |\n{textwrap.indent(other, '    ')}"
    target.write_text(mixed)
    code, output = run(inventory, SECRETS_PLAY, *with_ids(vaults))
    assert code != 0
    assert "several vault ids: add ha_secrets.etcd_patroni" in " ".join(output.split())
    assert target.read_text() == mixed


def host(probes):
    """Return the variables of a balancer that told these probes, of one that is unreachable for None."""
    ha = {
        "cluster": "web",
        "address": "192.0.2.1",
        "components": ["haproxy", "keepalived"],
        "etcd": None,
        "postgresql": None,
        "pools": [{"name": "web", "port": 80, "servers": [{"name": "web1"}]}],
        "vrrp": {"instances": [{"name": "main", "addresses": ["192.0.2.100/24"]}]},
    }
    told = {"unreachable": True, "msg": "no route to host"} if probes is None else {"probes": probes}
    return {"ha": ha, "status__host": told}


SERVER = {"name": "web1", "state": "up", "backup": False}
GOOD = {
    "haproxy": {"running": True, "pools": [{"name": "web", "servers": [SERVER]}]},
    "vrrp": {"running": True, "held": ["192.0.2.100/24"]},
}


def test_status_shows_a_table_and_writes_a_document(tmp_path):
    inventory = inventory_of(tmp_path, {"lb1": host(GOOD)})
    document = tmp_path / "status.json"
    code, output = run(inventory, {"tasks": [{"holdfast.ha.cluster_status": {"file": str(document)}}]})
    assert code == 0, output
    table = "  redundancy  balancers    1 of 1 are up  bears no fault\n  virtual IP  192.0.2.100  on lb1\n"
    assert f"Cluster web: healthy\n{table}" in output
    assert json.loads(document.read_text())["clusters"]["web"]["pools"][0]["up"] == ["web1"]


def test_status_fails_and_tells_why(tmp_path):
    inventory = inventory_of(tmp_path, {"lb1": host(GOOD), "lb2": host(None)})
    code, output = run(inventory, {"tasks": [{"holdfast.ha.cluster_status": {"format": "json"}}]})
    assert code != 0
    assert '"text": "unreachable: no route to host"' in output
    assert "not healthy: 1 problem" in output


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        ([], 0, "wait 0.0, verified True, at 86400"),
        (["-e", "verify_now=no", "-e", "status_wait={{ 2 + 3 }}"], 0, "wait 5.0, verified False, at 86400"),
        (["-e", "verify_now=maybe"], 2, "verify_now = 'maybe': is not what the playbook takes (no boolean"),
        (
            ["-e", "secret=never-show-me", "-e", "verify_now={{ secret }}"],
            2,
            "verify_now: is not what the playbook takes",
        ),
        (["-e", '{"status_wait": null, "patroni_timing": {"ttl": 7}}'], 0, "wait 0.0, verified True, at 86400, ttl 7"),
    ],
)
def test_an_option_has_its_type_wherever_it_comes_from(tmp_path, arguments, code, expected):
    names = {"wait": "status_wait", "verified": "verify_now", "at": "restore_timeout", "ttl": "patroni_ttl"}
    timing = ["-e", '{"patroni_timing": {"ttl": 20}}']
    text = ", ".join(f"{word} {{{{ lookup('holdfast.ha.option', '{name}') }}}}" for word, name in names.items())
    done, output = run(
        inventory_of(tmp_path, {}), {"tasks": [{"ansible.builtin.debug": {"msg": text}}]}, *timing, *arguments
    )
    assert done == code, output
    assert expected in " ".join(output.split())
    assert "never-show-me" not in output


def test_an_unknown_option_is_named(tmp_path):
    message = "{{ lookup('holdfast.ha.option', 'verify_no') }}"
    code, output = run(inventory_of(tmp_path, {}), {"tasks": [{"ansible.builtin.debug": {"msg": message}}]})
    assert code != 0
    assert "verify_no: is no option of a playbook or a role. Fix: did you mean 'verify_now'" in " ".join(output.split())


def test_access_is_shown_without_any_secret(tmp_path):
    database = {"name": "app", "owner": "app"}
    member = {"name": "db1", "address": "192.0.2.1", "components": ["postgresql"]}
    postgresql = {"members": [member], "port": 5432, "databases": [database], "roles": [{"name": "app"}]}
    ha = {"cluster": "x", "members": [member], "pools": [], "postgresql": postgresql, "pooler": None}
    ha["tls"] = {"ca": "/srv/tls/ca.crt"}
    inventory = inventory_of(tmp_path, {"db1": {"ha": ha, "certificates_ca_directory": str(tmp_path / ".pki")}})
    secrets = tmp_path / "group_vars" / "all" / "secrets.yml"
    secrets.parent.mkdir(parents=True)
    secrets.write_text("ha_role_passwords: {app: never-show-me}\n")
    code, output = run(inventory, {"hosts": "holdfast", "tasks": [{"holdfast.ha.cluster_access": {}}]})
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert code == 0, output
    assert "CA .pki/ca.crt, on the hosts /srv/tls/ca.crt" in lines
    assert "passwords group_vars/all/secrets.yml: ha_role_passwords for app; ha_secrets for all others" in lines
    assert any(line.startswith("ansible-playbook -i hosts.yml holdfast.ha.status shows") for line in lines)
    assert "never-show-me" not in output


def test_preflight_passes_on_all_that_its_module_tells():
    assert {*host_preflight.TOLD, "clock"} == set(yaml.safe_load(host_preflight_module.RETURN))


def test_preflight_lists_what_is_missing(tmp_path):
    finding = {"check": "init", "value": "tini", "fix": "boot the host with systemd", "level": "error"}
    ha = {"cluster": "x", "components": ["haproxy"]}
    hosts = {
        "a": {"ha": ha, "preflight_host": {"findings": [finding], "clock": [0.0, 0.1]}},
        "b": {"ha": ha, "preflight_host": {"findings": [], "clock": [3.0, 3.1]}},
        "c": {"ha": ha, "preflight_host": {"unreachable": True, "msg": "Task failed: no route"}},
        "left_out_by_limit": {"ha": ha},
    }
    hosts["a"]["ha_secrets"] = {"etcd_root": "hunter2"}
    code, output = run(inventory_of(tmp_path, hosts), {"tasks": [{"holdfast.ha.preflight_report": {}}]})
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert code != 0
    assert "error a init tini → boot the host with systemd" in lines
    assert "error a clock 2.9 s or more from b → synchronize with systemd-timesyncd or chrony" in lines
    assert "error c connection no route → check ansible_host, the SSH key and that the host is up" in lines
    assert any(line.startswith("error a secrets ha_secrets.etcd_root has 7 characters") for line in lines)
    assert not any("left_out_by_limit" in line for line in lines)
    assert "hunter2" not in output


def test_preflight_judges_a_first_authority(tmp_path):
    root, pki = root_of("Root"), tmp_path / ".pki"
    own = below(root, "Own CA", lacks=x509.KeyUsage)
    pki.mkdir()
    (pki / "ca.key").write_bytes(key_pem(own.key, "never-show-me"))
    (pki / "ca.crt").write_bytes(pem_of([own.certificate, root.certificate]))
    common = {"ha": {"cluster": "x", "components": ["etcd"]}, "certificates_ca_directory": str(pki)}
    common |= {"preflight_host": {"findings": [], "clock": [0.0, 0.1]}, "certificates_ca_passphrase": "never-show-me"}
    hosts = dict.fromkeys(("db1", "db2"), common)
    code, output = run(inventory_of(tmp_path, hosts), {"tasks": [{"holdfast.ha.preflight_report": {}}]})
    told = [line for line in output.splitlines() if "certificates_ca_directory" in line]
    assert code != 0
    assert len(told) == 1
    assert "ca.crt: it isn't accepted" in told[0]
    assert "never-show-me" not in output


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("never-show-me{{x", "can't evaluate"),
        ("{{ never_show_me }}", "can't evaluate"),
        ("{{ 'never-show-me' ~ 1 / 0 }}", "can't evaluate"),
        ("never-show-me\nmore", "ha_secrets.etcd_root has a line break"),
    ],
)
def test_preflight_judges_secrets_of_the_command_line_too(tmp_path, secret, told):
    hosts = {"a": {"ha": {"cluster": "x"}, "preflight_host": {"findings": [], "clock": [0.0, 0.1]}}}
    variables = json.dumps({"ha_secrets": {"etcd_root": secret, "mine": "y" * 16}})
    play = {"tasks": [{"holdfast.ha.preflight_report": {}}]}
    code, output = run(inventory_of(tmp_path, hosts), play, "-e", variables, "-vvv")
    assert code != 0
    assert told in " ".join(output.split())
    assert "never-show-me" not in output
    assert "never_show_me" not in output


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"ha_secrets": {"pgbouncer": "never-show-me-long\n"}}, "a secrets ha_secrets.pgbouncer has a line break"),
        ({"ha_secrets": {"pgbouncer": "{{ never_show_me }}", "etcd_root": "x" * 16}}, None),
        ({"pgbackrest_options": {"x\nrepo1-path": "/evil"}}, "pgbackrest_options has a key with a line break"),
        ({"pgbackrest_options": {"x": ["never-show-me\nb"]}}, "pgbackrest_options[0] has a line break"),
        ({"pgbackrest_options": "never-show-me"}, "pgbackrest_options is not what the role takes"),
        ({"pgbackrest_repositories": [{"cipher_pass": "never-show-me\nb"}]}, "cipher_pass has a line break"),
        ({"pgbouncer_password": "never-show-me\nb"}, "pgbouncer_password "),
        ({"patroni_nothing": 1, "haproxy_stats_password": "it wins with -e"}, None),
        ({"patroni_ttl": "{{ patroni__known_to_the_role_only }}", "haproxy_maxconn": "{{ 1 / 0 }}"}, None),
        ({"backup_jobs": [{"environment": {"TOKEN": "{{ never_show_me }}"}}]}, None),
    ],
)
@pytest.mark.parametrize("part", [True, False])
def test_a_part_s_playbook_judges_secrets_and_variables_too(tmp_path, variables, told, part):
    ha = {"cluster": "x", "lease_watch": None, "components": []}
    hosts = {"a": {"ha": ha, "preflight_host": {"findings": [], "clock": [0.0, 0.1]}}}
    play = {"hosts": "holdfast", "tasks": [{"holdfast.ha.preflight_report": {"part": part}}]}
    code, output = run(inventory_of(tmp_path, hosts), play, "-e", json.dumps(variables), "-vvv")
    assert "never-show-me" not in output
    if told:
        assert code != 0
        assert told in " ".join(output.split())
    elif part:
        assert code == 0, output


def test_a_part_s_playbook_leaves_hosts_alone_that_it_does_not_touch(tmp_path):
    ha = {"cluster": "x", "lease_watch": None, "components": []}
    hosts = {"a": {"ha": ha}, "b": {"ha": ha, "patroni_timeout": "soon"}}
    play = {"hosts": "holdfast", "tasks": [{"holdfast.ha.preflight_report": {"part": True}, "run_once": True}]}
    inventory = inventory_of(tmp_path, hosts)
    assert run(inventory, play, "--limit", "a")[0] == 0
    code, output = run(inventory, play)
    assert code != 0
    assert "patroni_timeout = 'soon'" in output


THROWN = {
    "patroni": None,
    "postgresql": {
        "data_directory": "/d",
        "version": "17",
        "archive_command": "/usr/local/lib/holdfast/pgbackrest-push x %p",
        "archive_mode": "on",
    },
    "etcd": None,
    "pgbackrest": None,
    "components": ["postgresql"],
    "patroni_members": None,
    "secrets": {},
    "system": "Debian 13",
    "vrrp_peers": [],
    "taken": {},
    "kept": {},
    "emptied": [],
    "trusted": "",
    "keeps": None,
}


@pytest.mark.parametrize(
    ("report", "extra", "code", "expected"),
    [
        ({}, [], 2, "error a group backup found archive_command = /usr/local/lib/holdfast/pgbackrest-push x %p"),
        (
            {"part": True},
            [],
            2,
            "error a group backup found archive_command = /usr/local/lib/holdfast/pgbackrest-push x %p",
        ),
        (
            {"part": True},
            ["preflight_accept=no_archiving:x"],
            0,
            "warning a group backup found archive_command = /usr/local/lib/holdfast/pgbackrest-push x %p",
        ),
        (
            {"part": True},
            ["preflight_accept=no_archiving:y"],
            2,
            "no_archiving:y confirms nothing → did you mean no_arch",
        ),
        ({"part": True}, ["backup=put_back"], 0, None),
    ],
)
def test_preflight_refuses_what_destroys_until_it_is_confirmed(tmp_path, report, extra, code, expected):
    ha = {"cluster": "x", "name": "a", "address": "192.0.2.1", "components": ["postgresql"], "etcd": None}
    ha |= {"postgresql": None, "backup": "{{ {'kinds': []} if backup | default('') else none }}"}
    seen = {"preflight_host": {"findings": [], "clock": [0.0, 0.1]}, "deployed_host": {"deployed": THROWN}}
    play = {"tasks": [{"holdfast.ha.preflight_report": {"accept": "{{ preflight_accept | default([]) }}", **report}}]}
    arguments = [word for item in extra for word in ("-e", item)]
    done, output = run(inventory_of(tmp_path, {"a": {"ha": ha, **seen}}), play, *arguments)
    assert done == code, output
    text = " ".join(output.split())
    assert (expected in text) if expected else ("Preflight:" not in text), output


@pytest.mark.parametrize(
    "told",
    [{"unknown": "root's rights are missing"}, {"failed": True, "msg": "Task failed: root's rights are missing"}],
)
def test_preflight_does_not_take_a_host_that_it_cannot_look_at_for_an_empty_one(tmp_path, told):
    hosts = {"a": {"ha": {"cluster": "x"}, "deployed_host": told}}
    ha = {"cluster": "x", "name": "a", "address": "192.0.2.1", "components": [], "etcd": None}
    hosts["a"]["ha"] = ha | {"postgresql": None, "backup": None}
    code, output = run(inventory_of(tmp_path, hosts), {"tasks": [{"holdfast.ha.preflight_report": {"part": True}}]})
    assert code != 0
    assert "can't be examined: root's rights are missing" in output


def test_the_guard_of_a_part_finds_its_hosts_before_the_first_play(tmp_path):
    inventory = inventory_of(tmp_path, {"a": {}})
    book = COLLECTIONS / "ansible_collections" / "holdfast" / "ha" / "playbooks" / "guard.yml"
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(inventory), str(book), "--list-hosts"]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "true"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)
    assert "hosts (1):" in done.stdout, done.stdout + done.stderr


JOB = {"name": "a", "kind": "command", "schedule": "daily", "commands": [["true"]]}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"patroni_timeout": "{{ 'soon' }}"}, "patroni_timeout = 'soon' is not what the role takes"),
        ({"haproxy_maxcon": "{{ 10 }}"}, "haproxy_maxcon is not a variable of the role haproxy"),
        ({"patroni_timeout": "{{ 60 }}"}, None),
        ({"patroni_ttl": "{{ patroni__known_to_the_role_only }}"}, None),
        ({"patroni__registered": "anything"}, None),
        ({"patroni_exporter_port": 9547, "ha_foreign_variables": ["patroni_exporter_*"]}, None),
        ({"backup_jobs": [{**JOB, "schedule": "{{ 'daily' }}"}]}, None),
        ({"backup_jobs": [{**JOB, "kind": "{{ 'tape' }}"}]}, "is not what the role takes"),
        (
            {"backup_jobs": [{**JOB, "paths": ["{{ 'x' }}"]}]},
            "backup_jobs[a].paths is not an option of the kind command",
        ),
    ],
)
def test_preflight_judges_the_variables_of_roles_once_evaluated(tmp_path, variables, expected):
    hosts = {"a": {"ha": {"cluster": "x"}, "preflight_host": {"findings": [], "clock": [0.0, 0.1]}, **variables}}
    code, output = run(inventory_of(tmp_path, hosts), {"tasks": [{"holdfast.ha.preflight_report": {}}]})
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert (code != 0) == (expected is not None), output
    assert expected is None or any(expected in line for line in lines), output


def test_preflight_judges_directories_by_evaluated_variables(tmp_path):
    ha = {"cluster": "x", "components": ["etcd"], "etcd": {"token": "t"}}
    job = {"name": "a", "kind": "etcd_snapshot", "schedule": "daily", "directory": "/srv", "user": "postgres"}
    mine = {"etcd_data_directory": "{{ '/srv/etcd' }}", "backup_jobs": [job | {"directory": "/srv/etcd/snapshots"}]}
    hosts = {"a": {"ha": ha, "preflight_host": {"findings": [], "clock": [0.0, 0.1]}, **mine}}
    code, output = run(inventory_of(tmp_path, hosts), {"tasks": [{"holdfast.ha.preflight_report": {}}]})
    assert code != 0
    assert "error a backup_jobs[a] /srv/etcd/snapshots overlaps with /srv/etcd" in " ".join(output.split())


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (
            "{{ 'off' }}",
            "clusters.x.lease_watch = 4 is less than 4 * patroni_retry_timeout (3) + 2",
        ),
        ("{{ 'quorum' }}", None),
    ],
)
def test_preflight_judges_the_lease_watch_by_evaluated_variables(tmp_path, mode, expected):
    watch = {"seconds": 4, "declared": True}
    ha = {"cluster": "x", "components": ["postgresql"], "lease_watch": watch, "timing": {"profile": "fast"}}
    seen = {"findings": [], "clock": [0.0, 0.1]}
    hosts = {"a": {"ha": ha, "preflight_host": seen, "patroni_synchronous_mode": mode}}
    code, output = run(inventory_of(tmp_path, hosts), {"tasks": [{"holdfast.ha.preflight_report": {}}]})
    assert (code != 0) == (expected is not None), output
    assert expected is None or expected in " ".join(output.split()), output
