# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role certificates against hosts that say they are another one, as a user runs it."""

from __future__ import annotations

import grp
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils import secrets_file

pytest.importorskip("cryptography")

from cryptography import x509
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="gives files to root")

COLLECTIONS = next(path for path in Path(secrets_file.__file__).parents if path.name == "ansible_collections").parent
LIAR = """#!/usr/bin/python
import json
print(json.dumps({"changed": False, "ansible_facts": %r}))
"""


@dataclass
class Controller:
    """An inventory with one host, lb1, on this machine, and plays of the role on it."""

    folder: Path

    def run(self, facts: dict[str, Any] | None = None) -> tuple[int, str]:
        """Run the role; before it a module of the host returns facts. Return the exit code and what was printed."""
        (self.folder / "library").mkdir(exist_ok=True)
        (self.folder / "library" / "liar.py").write_text(LIAR % (facts or {}))
        role = {
            "ansible.builtin.import_role": {"name": "holdfast.ha.certificates", "tasks_from": "configure"},
            "vars": {
                "certificates_common_name": "{{ ha.certificate.common_name }}",
                "certificates_dns": "{{ ha.certificate.dns }}",
                "certificates_directory": str(self.folder / "tls"),
                "certificates_key_group": grp.getgrgid(0).gr_name,
            },
        }
        play = [{"hosts": "all", "gather_facts": False, "tasks": [{"liar": {}}, role]}]
        (self.folder / "play.yml").write_text(json.dumps(play))
        command = [sys.executable, "-m", "ansible.cli.playbook", "-i", str(self.folder / "hosts.yml"), "play.yml"]
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_INJECT_FACT_VARS": "true",
        }
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=self.folder)
        return done.returncode, done.stdout + done.stderr

    def subject(self) -> str:
        certificate = x509.load_pem_x509_certificate((self.folder / "tls" / "host.crt").read_bytes())
        return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def controller(tmp_path: Path) -> Controller:
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    host = {**local, "ha": {"certificate": {"common_name": "lb1", "dns": ["lb1"]}}}
    (tmp_path / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"lb1": host}}}))
    return Controller(tmp_path)


def test_a_host_gets_what_the_inventory_says_and_nothing_twice(controller: Controller) -> None:
    code, printed = controller.run()
    assert code == 0, printed
    assert controller.subject() == "lb1"
    code, printed = controller.run({"ansible_distribution": "Debian"})
    assert code == 0, printed
    assert "changed=0" in printed


@pytest.mark.parametrize(
    "facts",
    [
        {"ha": {"certificate": {"common_name": "backup1", "dns": ["db1", "db2"]}}},
        {"certificates_ca_directory": "elsewhere"},
    ],
    ids=lambda facts: next(iter(facts)),
)
def test_a_host_that_says_who_it_is_gets_nothing(controller: Controller, facts: dict[str, Any]) -> None:
    before = controller.files() | {"library", "play.yml"}
    lies = {name: str(controller.folder / value) if value == "elsewhere" else value for name, value in facts.items()}
    code, printed = controller.run(lies)
    assert code != 0
    assert f"its facts have {next(iter(facts))}" in " ".join(printed.split())
    assert controller.files() == before
