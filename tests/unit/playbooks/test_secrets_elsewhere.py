# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets come from another store as docs/secrets-elsewhere.md says."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from scripts.age import AGE

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs/secrets-elsewhere.md").read_text(encoding="utf-8")
(STORING,) = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
(LOOKUPS,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
DEBUG = "ansible.builtin.debug -a 'msg={{ ha_secrets | to_json | hash(\"sha256\") }}'"
SHOW = f"ansible -i inventory/mine shop-db1 -c local -m {DEBUG}"
"""A task on a host that sees the secrets; the topology has accepted them."""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with an inventory that has no secrets."""
    mine = tmp_path / "inventory/mine"
    shutil.copytree(ROOT / "inventory/dedicated", mine)
    for path in mine.rglob("secrets*"):
        path.unlink()
    (tmp_path / "playbooks").symlink_to(ROOT / "playbooks")
    return tmp_path


def run(project: Path, script: str) -> str:
    """Run a script in the project; returns what it printed."""
    age = AGE.find()
    if not age:
        (pytest.skip if os.environ.get(AGE.without) else pytest.fail)(f"run `make age`, or set {AGE.without}=1")
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "HOME": str(project),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), str(Path(age).parent), os.environ["PATH"]]),
    }
    script = script.replace("/dev/shm/secrets.yml", f"{project}/plain.yml")
    done = subprocess.run(
        ["bash", "-ec", script], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def seen(project: Path) -> str:
    """The hash of the secrets as a task sees them."""
    found = re.search(r'msg"?: "?([0-9a-f]{64})', run(project, SHOW))
    assert found
    return found[1]


def digest(secrets: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(secrets, ensure_ascii=False).encode()).hexdigest()


def stored(project: Path) -> str:
    """Store the secrets as the page does; returns their hash."""
    store, shredded = STORING.replace("shred -u", "cp -t kept"), "mkdir kept\n"
    run(project, shredded + store)
    return digest(yaml.safe_load((project / "kept/plain.yml").read_text(encoding="utf-8"))["ha_secrets"])


def test_a_variable_looks_them_up_with_age(project: Path) -> None:
    expected = stored(project)
    assert (project / "secrets/mine.yml.age").read_bytes().startswith(b"age-encryption.org/v1")
    (project / "inventory/mine/group_vars/all/secrets.yml").write_text(LOOKUPS)
    assert seen(project) == expected
