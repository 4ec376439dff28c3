# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replacement of an authority on two hosts, with the role and the actions as the playbooks use them."""

from __future__ import annotations

import grp
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils import secrets_file

pytest.importorskip("cryptography")

from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Found, Wanted
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_proof import prove
from ansible_collections.holdfast.ha.plugins.plugin_utils.authority_files import AuthorityDirectory
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import (
    Authority,
    key_pem,
    new_key,
    pem_of,
)

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="gives files to root")

COLLECTIONS = next(path for path in Path(secrets_file.__file__).parents if path.name == "ansible_collections").parent
HOSTS = ("db1", "db2")
ROLE: dict[str, Any] = {
    "ansible.builtin.import_role": {"name": "holdfast.ha.certificates", "tasks_from": "configure"},
    "vars": {
        "certificates_directory": "{{ folder }}/{{ inventory_hostname }}",
        "certificates_key_group": grp.getgrgid(0).gr_name,
    },
}
SURVEY = ROLE | {"check_mode": True}


@dataclass
class Controller:
    """An inventory with two hosts on this machine that share an authority."""

    folder: Path

    def play(
        self, *tasks: dict[str, Any], limit: str = "all", check: bool = False, **variables: Any
    ) -> tuple[int, str]:
        """Run tasks; return the exit code and what was printed."""
        play = [{"hosts": "holdfast", "gather_facts": False, "vars": variables, "tasks": tasks}]
        (self.folder / "play.yml").write_text(json.dumps(play))
        command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(self.folder / "hosts.yml"), "play.yml"]
        command += ["--limit", limit, *(["--check"] if check else [])]
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_NOCOLOR": "true"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=self.folder)
        return done.returncode, done.stdout + done.stderr

    def converge(self, **arguments: Any) -> str:
        code, printed = self.play(ROLE, **arguments)
        assert code == 0, printed
        return printed

    def step(self, state: str, **arguments: Any) -> tuple[int, str]:
        """Take a step, after a look at the hosts."""
        step = {"directory": str(self.pki), "state": state, "recent": 0, "common_name": "Next CA"}
        task = {"holdfast.ha.certificate_authority": step, "run_once": True}
        return self.play(*([SURVEY] if state == "followed" else []), task, **arguments)

    @property
    def pki(self) -> Path:
        return self.folder / ".pki"

    @property
    def phase(self) -> str:
        found = AuthorityDirectory(self.pki).read()
        assert found is not None
        return found.phase.value

    def presents(self, host: str) -> str:
        """Return the issuer of a host's certificate; it must be accepted by what the host trusts."""
        path = self.folder / host
        trusted = (path / "ca.crt").read_text()
        assert isinstance(prove(str(path / "host.crt"), str(path / "host.key"), trusted), Found)
        openssl = ["openssl", "x509", "-noout", "-issuer", "-nameopt", "multiline", "-in", str(path / "host.crt")]
        shown = subprocess.run(openssl, capture_output=True, text=True, check=True).stdout
        return shown.partition("commonName")[2].strip(" =\n")

    def trusts(self, host: str) -> int:
        return (self.folder / host / "ca.crt").read_text().count("BEGIN")


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "certificates_ca_directory": str(tmp_path / ".pki"),
        "folder": str(tmp_path),
    }
    inventory = {"holdfast": {"hosts": {host: {} for host in HOSTS}, "vars": common}}
    (tmp_path / "hosts.yml").write_text(json.dumps(inventory))
    made = Controller(tmp_path)
    made.converge()
    return made


def test_a_replacement_step_by_step(controller: Controller) -> None:
    assert {controller.presents(host) for host in HOSTS} == {"Holdfast CA"}
    code, printed = controller.step("rotating")
    assert (code, controller.phase) == (0, "trust"), printed

    code, printed = controller.step("followed")
    assert code != 0
    assert "db1: lacks the present ca.crt" in printed
    assert controller.phase == "trust"

    controller.converge(limit="db1")
    code, printed = controller.step("followed")
    assert code != 0
    assert "db2: lacks the present ca.crt" in printed
    assert "db1: lacks" not in printed

    controller.converge()
    code, printed = controller.step("followed")
    assert (code, controller.phase) == (0, "issue"), printed
    assert "All 2 hosts have followed" in printed
    assert [(controller.presents(host), controller.trusts(host)) for host in HOSTS] == [("Holdfast CA", 2)] * 2

    controller.converge()
    assert [(controller.presents(host)[:7], controller.trusts(host)) for host in HOSTS] == [("Next CA", 2)] * 2
    assert controller.step("followed")[0] == 0
    assert controller.phase == "distrust"
    controller.converge()
    assert controller.step("followed")[0] == 0
    assert (controller.phase, [controller.trusts(host) for host in HOSTS]) == ("settled", [1, 1])
    assert "changed=0" in controller.converge()
    assert {path.name for path in controller.pki.iterdir()} == {"ca.crt", "ca.key", "issued"}


def test_a_host_that_takes_no_part_keeps_it_where_it_is(controller: Controller) -> None:
    code, printed = controller.step("rotating", limit="db1")
    assert code != 0
    assert "db2 share it, and --limit leaves them out" in " ".join(printed.split())
    controller.step("rotating")
    controller.converge()
    code, printed = controller.step("followed", limit="db1")
    assert (code != 0, controller.phase) == (True, "trust")
    assert "db2: takes no part in this run" in printed


def test_a_prediction_changes_nothing(controller: Controller) -> None:
    before = sorted(path.name for path in controller.pki.iterdir())
    task = {
        "holdfast.ha.certificate_authority": {"directory": str(controller.pki), "state": "rotating", "recent": 0},
        "run_once": True,
        "register": "step",
    }
    survey = {**SURVEY, "vars": {**SURVEY["vars"], "certificates_ca_content": "{{ step.ca_content }}"}}
    show = {"ansible.builtin.debug": {"msg": "{{ certificates_result.changed_paths | map('basename') }}"}}
    code, printed = controller.play(task, survey, show, check=True)
    assert code == 0, printed
    assert printed.count("ca.crt") == len(HOSTS)
    assert (sorted(path.name for path in controller.pki.iterdir()), controller.phase) == (before, "settled")


def test_it_is_not_replaced_again_at_once(controller: Controller) -> None:
    task = {
        "holdfast.ha.certificate_authority": {"directory": str(controller.pki), "state": "rotating"},
        "run_once": True,
    }
    code, printed = controller.play(task)
    assert (code, controller.phase) == (0, "settled")
    assert "they stay as they are for 3600 seconds (rotate_recent)" in " ".join(printed.split())


def ended(pki: Path) -> None:
    """Have the authority end yesterday."""
    key = AuthorityDirectory(pki).issuing().key
    made = Authority.create(key, "Holdfast CA", datetime.now(UTC), -1)
    (pki / "ca.crt").write_bytes(pem_of([made.certificate]))


def test_an_ended_authority(controller: Controller) -> None:
    ended(controller.pki)
    code, printed = controller.play(ROLE)
    assert code != 0
    assert "-e certificates_replace_ca=true" in printed
    controller.converge(certificates_replace_ca=True)
    assert {controller.presents(host) for host in HOSTS} == {"Holdfast CA"}
    assert "changed=0" in controller.converge()


def test_certificates_from_elsewhere(controller: Controller) -> None:
    corporation = Authority.create(new_key(), "Corporation", datetime.now(UTC), 900)
    names = {"dns": ("{}", "localhost"), "ip": ("127.0.0.1", "::1")}
    for host in HOSTS:
        key = new_key()
        dns = tuple(name.format(host) for name in names["dns"])
        own = Wanted("host.crt", host, "holdfast", dns, names["ip"])
        nameless = Wanted("client.crt", None, host, dns, names["ip"])
        for file, wanted in ((f"{host}.crt", own), (f"{host}.client.crt", nameless)):
            issued = corporation.issue(key.public_key(), wanted, datetime.now(UTC), 90)
            (controller.folder / file).write_text(issued)
        (controller.folder / f"{host}.key").write_bytes(key_pem(key, ""))
    given = {
        "certificate": "{{ folder }}/{{ inventory_hostname }}.crt",
        "client_certificate": "{{ folder }}/{{ inventory_hostname }}.client.crt",
        "key": "{{ folder }}/{{ inventory_hostname }}.key",
    }
    code, printed = controller.play(ROLE, certificates_given=given)
    assert code != 0
    assert "leads to CN=Corporation, which certificates_ca_directory/ca.crt lacks" in " ".join(printed.split())
    assert {controller.presents(host) for host in HOSTS} == {"Holdfast CA"}

    (controller.pki / "ca.crt").write_bytes(pem_of([corporation.certificate]))
    (controller.pki / "ca.key").unlink()
    controller.converge(certificates_given=given)
    assert {controller.presents(host) for host in HOSTS} == {"Corporation"}
    assert "changed=0" in controller.converge(certificates_given=given)
    assert "PRIVATE KEY" not in printed
