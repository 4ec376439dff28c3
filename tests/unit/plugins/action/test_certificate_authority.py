# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The replacement of an authority on two hosts, with the role and the actions as the playbooks use them."""

from __future__ import annotations

import grp
import json
import os
import shutil
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
PLAYBOOKS = Path(secrets_file.__file__).resolve().parents[2] / "playbooks"
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
        play = {"hosts": "holdfast", "gather_facts": False, "vars": variables, "tasks": tasks}
        return self.run([play], limit=limit, check=check)

    def run(self, plays: list[dict[str, Any]], *, limit: str = "all", check: bool = False) -> tuple[int, str]:
        """Run a playbook; return the exit code and what was printed."""
        (self.folder / "play.yml").write_text(json.dumps(plays))
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

    def all_steps(self, **arguments: Any) -> str:
        """Replace the authority as rotate_authority.yml does; return what was printed."""
        code, printed = self.step("rotating", **arguments)
        assert code == 0, printed
        while self.phase != "settled":
            printed += self.converge()
            code, more = self.step("followed", **arguments)
            printed += more
            assert code == 0, printed
        return printed

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
    assert {path.name for path in controller.pki.iterdir()} == {"ca.crt", "ca.key", "issued", "rotated"}


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
    """One that was just made is, as one that was just put back from a backup: only the end of a replacement counts."""
    rotating = {"holdfast.ha.certificate_authority": {"state": "rotating"}, "run_once": True}
    code, printed = controller.play(rotating)
    assert (code, controller.phase) == (0, "trust"), printed
    controller.all_steps()
    before = AuthorityDirectory(controller.pki).issuing().certificate
    code, printed = controller.play(rotating)
    assert (code, controller.phase) == (0, "settled")
    told = " ".join(printed.split())
    assert "Nothing is replaced: the authority is CN=Holdfast CA" in told
    assert "took the place of another one 0 minutes ago. To replace it too: -e rotate_recent=0" in told
    controller.all_steps()
    assert AuthorityDirectory(controller.pki).issuing().certificate != before


# A lost key


def test_a_lost_key_is_replaced(controller: Controller) -> None:
    (controller.pki / "ca.key").unlink()
    code, printed = controller.play({**ROLE, "vars": ROLE["vars"] | {"certificates_dns": ["another"]}})
    assert code != 0
    assert "ca.key is missing: put it back, or replace the authority with playbooks/rotate_authority.yml" in flat(
        printed
    )
    # All of them would be renewed now, if anything could be issued.
    due = {"certificates_renew_before_days": 9000, "certificates_validity_days": 9000}
    code, printed = controller.step("rotating", **due)
    assert (code, controller.phase) == (0, "trust"), printed
    assert "ca.key is missing: no certificate is issued or renewed" in flat(printed)
    controller.converge(**due)
    assert [(controller.presents(host), controller.trusts(host)) for host in HOSTS] == [("Holdfast CA", 2)] * 2
    controller.all_steps()
    assert {controller.presents(host)[:7] for host in HOSTS} == {"Next CA"}
    assert "changed=0" in controller.converge()


def test_a_host_without_a_certificate_gets_one_of_the_next_authority(controller: Controller) -> None:
    (controller.pki / "ca.key").unlink()
    (controller.folder / "db2" / "host.crt").unlink()
    controller.step("rotating")
    controller.converge()
    assert [controller.presents(host)[:7] for host in HOSTS] == ["Holdfas", "Next CA"]
    controller.all_steps()
    assert {controller.presents(host)[:7] for host in HOSTS} == {"Next CA"}


def test_a_key_that_is_lost_on_the_way(controller: Controller) -> None:
    controller.step("rotating")
    controller.converge()
    controller.step("followed")
    controller.converge(limit="db1")
    assert [controller.presents(host)[:7] for host in HOSTS] == ["Next CA", "Holdfas"]
    (controller.pki / "ca.key").unlink()
    code, printed = controller.step("followed")
    assert (code != 0, controller.phase) == (True, "issue")
    assert "db2: lacks the present" in printed
    controller.all_steps()
    assert [controller.trusts(host) for host in HOSTS] == [1, 1]
    assert "changed=0" in controller.converge()


def flat(printed: str) -> str:
    return " ".join(printed.split())


# Several authorities


@pytest.fixture
def several(controller: Controller) -> Controller:
    """Each host has an authority of its own, db2's with a passphrase and a name; no host has been touched."""
    for name in (".pki", *HOSTS):
        shutil.rmtree(controller.folder / name)
    inventory = json.loads((controller.folder / "hosts.yml").read_text())
    other = {"certificates_ca_passphrase": "secret", "certificates_ca_common_name": "Other CA"}
    inventory["holdfast"]["hosts"]["db2"] = {"certificates_ca_directory": str(controller.folder / ".pki2"), **other}
    (controller.folder / "hosts.yml").write_text(json.dumps(inventory))
    controller.converge()
    return controller


def stepped(several: Controller, state: str, **arguments: Any) -> tuple[int, str]:
    """Take a step of all authorities as authority_step.yml does."""
    step = {"state": state, "recent": arguments.pop("recent", 0)}
    task = {"holdfast.ha.certificate_authority": step, "run_once": True, "register": "step"}
    own = (
        "phases: {{ step.phase }} {{ step.authorities.db1.phase }} {{ (step.authorities.db2 | default(step)).phase }}."
    )
    show = {"ansible.builtin.debug": {"msg": own}, "run_once": True}
    return several.play(*([SURVEY] if state == "followed" else []), task, show, **arguments)


def test_every_authority_is_made(several: Controller) -> None:
    assert [several.presents(host) for host in HOSTS] == ["Holdfast CA", "Other CA"]
    assert b"ENCRYPTED" in (several.folder / ".pki2" / "ca.key").read_bytes()
    assert "changed=0" in several.converge()


def test_every_ended_authority_is_made_again(several: Controller) -> None:
    for name, passphrase in ((".pki", ""), (".pki2", "secret")):
        ended(several.folder / name, passphrase)
    several.converge(certificates_replace_ca=True)
    assert [several.presents(host) for host in HOSTS] == ["Holdfast CA", "Other CA"]


def test_every_authority_is_replaced(several: Controller) -> None:
    code, printed = stepped(several, "rotating")
    assert code == 0, printed
    assert "phases: trust trust trust." in printed
    several.converge(limit="db1")
    code, printed = stepped(several, "followed")
    assert code != 0
    assert f"{several.folder / '.pki2'}: the replacement stays where it is" in flat(printed)
    assert "db2: lacks the present ca.crt" in printed
    assert [phase_of(several, name) for name in (".pki", ".pki2")] == ["issue", "trust"]
    for expected in ("issue distrust issue", "distrust settled distrust", "settled settled settled"):
        several.converge()
        code, printed = stepped(several, "followed")
        assert code == 0, printed
        assert f"phases: {expected}." in printed
    assert [several.presents(host)[:11] for host in HOSTS] == ["Holdfast CA", "Other CA 20"]
    assert [several.trusts(host) for host in HOSTS] == [1, 1]
    assert "changed=0" in several.converge()


def test_none_of_several_is_begun_before_all_can_be(several: Controller) -> None:
    (several.folder / ".pki2" / "next.crt").write_text("none")
    code, printed = stepped(several, "rotating")
    assert code != 0
    assert f"The authority in {several.folder / '.pki2'}: {several.folder / '.pki2'}/next.crt" in flat(printed)
    assert {path.name for path in (several.folder / ".pki").iterdir()} == {"ca.crt", "ca.key", "issued"}
    code, printed = stepped(several, "rotating", limit="db1", check=True)
    assert code == 0, printed
    code, printed = several.play(
        {"holdfast.ha.certificate_authority": {"state": "rotating", "recent": 0}, "run_once": True}, limit="db1"
    )
    assert (code, several.phase, phase_of(several, ".pki2")) == (0, "trust", "settled"), printed


def test_a_prediction_shows_each_host_its_own(several: Controller) -> None:
    show = {"ansible.builtin.debug": {"msg": "{{ certificates_result.changed_paths | map('basename') }}"}}
    task = {
        "holdfast.ha.certificate_authority": {"state": "rotating", "recent": 0},
        "run_once": True,
        "register": "certificates_authority_result",
    }
    survey = {
        **SURVEY,
        "vars": SURVEY["vars"]
        | {"certificates_ca_content": "{{ certificates_authority_result.authorities[inventory_hostname].ca_content }}"},
    }
    code, printed = several.play(task, survey, show, check=True)
    assert code == 0, printed
    assert printed.count("ca.crt") == len(HOSTS)
    assert "host.crt" not in printed
    assert [phase_of(several, name) for name in (".pki", ".pki2")] == ["settled", "settled"]


@pytest.fixture
def modelled(several: Controller) -> Controller:
    """Hosts have what the playbooks need to know of them; no service runs there."""
    tls = {"directory": "{{ folder }}/{{ inventory_hostname }}"}
    names = {"key": "host.key", "cert": "host.crt", "client_cert": "client.crt", "ca": "ca.crt"}
    tls |= {name: f"{tls['directory']}/{file}" for name, file in names.items()}
    own = {"common_name": "{{ inventory_hostname }}", "client": True, "ip": ["127.0.0.1", "::1"]}
    own["dns"] = ["{{ inventory_hostname }}", "localhost"]
    ha = {"cluster": "a", "components": [], "members": [], "address": "127.0.0.1", "tls": tls, "certificate": own}
    inventory = json.loads((several.folder / "hosts.yml").read_text())
    inventory["holdfast"]["vars"] |= {"ha": ha, "certificates_key_group": ROLE["vars"]["certificates_key_group"]}
    inventory["holdfast_cluster_a"] = {"hosts": dict.fromkeys(HOSTS)}
    (several.folder / "hosts.yml").write_text(json.dumps(inventory))
    return several


def test_the_playbooks_take_the_steps_of_every_authority(modelled: Controller) -> None:
    """Among them that with an authority whose key is lost, and whose hosts can't be tried as its clients at the end."""
    (modelled.folder / ".pki2" / "ca.key").unlink()
    step = str(PLAYBOOKS / "authority_step.yml")
    follow = {"hosts": "holdfast", "gather_facts": False, "tasks": [ROLE]}
    followed = {"import_playbook": step, "vars": {"rotate__step": "followed"}}
    plays = [{"import_playbook": step, "vars": {"rotate__step": "rotating"}}, *[follow, followed] * 3]
    code, printed = modelled.run(plays, check=True)
    assert code == 0, printed
    assert [phase_of(modelled, name) for name in (".pki", ".pki2")] == ["settled", "settled"]
    code, printed = modelled.run(plays)
    assert code == 0, printed
    assert printed.count("1 hosts have followed. Next: the authority is") == len(HOSTS)
    assert [modelled.presents(host)[:11] for host in HOSTS] == ["Holdfast CA", "Other CA 20"]
    assert [modelled.trusts(host) for host in HOSTS] == [1, 1]
    (modelled.folder / "db2" / "host.crt").unlink()
    code, printed = modelled.run([followed])
    assert code != 0
    assert "db2: lacks the present host.crt" in printed
    assert "db1: lacks" not in printed


def phase_of(several: Controller, name: str) -> str:
    found = AuthorityDirectory(several.folder / name, "secret" if name == ".pki2" else "").read()
    assert found is not None
    return found.phase.value


# One that has ended


def ended(pki: Path, passphrase: str = "") -> None:
    """Have the authority end yesterday."""
    key = AuthorityDirectory(pki, passphrase).issuing().key
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
