# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the role packages protects services from upgrades by others."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils.protection import (
    EXCEPTIONS,
    MARK,
    POLICY,
    reboots,
    upgradable,
)

from tests.unit.roles.render import evaluate, render

ROLE = Path(__file__).resolve().parents[3] / "roles" / "packages"
UNITS = ["etcd.service", "postgresql@*.service", "holdfast-*.service", "example.timer"]
PATTERNS = ["etcd-server", "libstdc\\+\\+6", "postgresql-.*"]
INPUTS: dict[str, Any] = {"packages_units": UNITS, "packages_patterns": PATTERNS}
FORBIDDEN, ALLOWED = 101, 104


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy-rc.d"
    path.write_text(render("packages", "policy-rc.d.j2", INPUTS))
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("etcd.service restart", FORBIDDEN),
        ("etcd restart 5", FORBIDDEN),
        ("--quiet etcd restart 5", FORBIDDEN),
        ("etcd.service start", FORBIDDEN),
        ("etcd.service stop", FORBIDDEN),
        ("etcd.service try-restart", FORBIDDEN),
        ("etcd.service force-reload", FORBIDDEN),
        ("etcd.service reload", ALLOWED),
        ("etcd.service status", ALLOWED),
        ("etcd.service reload|restart", FORBIDDEN),
        ("postgresql@17-main.service start", FORBIDDEN),
        ("postgresql@17-main restart", FORBIDDEN),
        ("postgresql.service restart", ALLOWED),
        ("holdfast-pgbouncer.service restart", FORBIDDEN),
        ("example.timer restart", FORBIDDEN),
        ("example restart", ALLOWED),
        ("etcd-other.service restart", ALLOWED),
        ("myetcd.service restart", ALLOWED),
        ("ssh.service restart", ALLOWED),
        ("ssh stop 5", ALLOWED),
        ("ssh (restart) 5", FORBIDDEN),  # invoke-rc.d asks so for a disabled service, which it would not start
        ("--list ssh", 0),
        ("ssh", ALLOWED),
        ("", ALLOWED),
    ],
)
def test_the_policy_forbids_what_breaks_connections(policy: Path, words: str, answer: int) -> None:
    arguments = [word.replace("|", " ") for word in words.split()]
    done = subprocess.run([policy, *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (answer, "")


def test_the_policy_is_recognised_as_the_role_s(policy: Path) -> None:
    variables = yaml.safe_load((ROLE / "vars/main.yml").read_text())
    assert MARK in policy.read_text()
    assert (variables["packages__policy"], variables["packages__needrestart"]) == (str(POLICY), str(EXCEPTIONS))


def test_unattended_upgrades_leaves_the_packages_alone() -> None:
    text = render("packages", "unattended-upgrades.conf.j2", INPUTS)
    (block,) = re.findall(r"Package-Blacklist \{(.*?)\};", text, re.DOTALL)
    dump = "\n".join(f"Unattended-Upgrade::Package-Blacklist:: {line.strip()}" for line in block.strip().splitlines())
    names = ["etcd-server", "etcd-server-extra", "libstdc++6", "postgresql-17", "postgresql", "openssl"]
    assert upgradable(names, dump) == ["etcd-server-extra", "postgresql", "openssl"]
    assert reboots(text) is False


def test_needrestart_leaves_the_units_alone() -> None:
    text = render("packages", "needrestart.conf.j2", INPUTS)
    patterns = re.findall(r"^\$nrconf\{override_rc\}->\{qr'(.*)'\} = 0;$", text, re.MULTILINE)
    assert len(patterns) == len(UNITS)

    def kept(unit: str) -> bool:
        return any(re.search(pattern, unit) for pattern in patterns)

    assert all(map(kept, ["etcd.service", "postgresql@17-main.service", "holdfast-pgbouncer.service"]))
    assert not any(map(kept, ["etcd-service", "my.etcd.service", "etcd.services", "postgresql.service", "ssh.service"]))


@pytest.mark.parametrize(("found", "laid_down"), [("absent", True), ("own", True), ("foreign", False)])
def test_a_policy_of_the_user_is_left_alone(found: str, laid_down: bool) -> None:
    known = {"missing": [], "broken": [], "versions": {}, "policy": found}
    present, absent = (
        task["holdfast.ha.component"] for task in yaml.safe_load((ROLE / "tasks/protect.yml").read_text())
    )
    files = evaluate("packages", present["files"], INPUTS | {"packages_known": known})
    removed = evaluate("packages", absent["absent"], INPUTS | {"packages_known": known})
    assert (str(POLICY) in [item["path"] for item in files]) is laid_down
    assert removed == [item["path"] for item in files]
    assert len(files) == 2 + laid_down


def test_the_protection_precedes_the_installation() -> None:
    tasks = yaml.safe_load((ROLE / "tasks/main.yml").read_text())
    included = [task["ansible.builtin.include_tasks"] for task in tasks if "ansible.builtin.include_tasks" in task]
    assert included == ["protect.yml", "install.yml"]
