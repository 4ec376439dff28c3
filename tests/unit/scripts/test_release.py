# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is published: its contents, and that its playbooks are found from a project that has only an inventory."""

from __future__ import annotations

import subprocess

import pytest

from scripts import release as sut
from tests.unit.docs.shell_blocks import commands

PAGE = sut.ROOT / "docs/installation.md"
PLAYBOOKS = sorted(path.stem for path in (sut.ROOT / "playbooks").glob("*.yml"))


@pytest.fixture(scope="module")
def artefact(tmp_path_factory):
    return sut.build(tmp_path_factory.mktemp("release"))


def test_the_artefact_holds_what_a_user_needs_and_nothing_else(artefact):
    names = sut.contents(artefact)
    assert sut.missing(names) == []
    assert sut.unwanted(names) == []
    assert "inventory/three_nodes/topology.ha.yml" in names
    assert not [name for name in names if name.startswith(("docs/site/", "inventory/lab/"))]


@pytest.mark.parametrize(
    "name",
    ["tests/unit/test_x.py", ".gitignore", "inventory/mine/group_vars/all/secrets.yml", "inventory/mine/.pki/ca.key"],
)
def test_what_does_not_belong_there_is_noticed(name):
    assert sut.unwanted(["plugins/modules/component.py", name]) == [name]


def test_the_page_names_the_artefact(artefact):
    built = (sut.OUTPUT / artefact.name).relative_to(sut.ROOT)
    assert f"ansible-galaxy collection install ../holdfast.ha/{built}" in [command.text for command in commands(PAGE)]
    assert f"/build/{artefact.name}" in PAGE.read_text(encoding="utf-8")


def test_the_installed_playbooks_are_found_by_their_full_names(artefact, tmp_path):
    collections, project = tmp_path / ".ansible/collections", tmp_path / "project"
    sut.install(artefact, collections)
    project.mkdir()
    environment = sut.outside(collections)
    copying = [command.text for command in commands(PAGE) if command.words[0] in ("mkdir", "cp")]
    sut.call("sh", "-ec", "\n".join(copying), cwd=project, environment=environment | {"HOME": str(tmp_path)})
    names = [f"holdfast.ha.{playbook}" for playbook in PLAYBOOKS]
    command = [sut.BIN / "ansible-playbook", "-i", "inventory/mine", "--syntax-check", *names]
    sut.call(
        sut.BIN / "ansible-playbook",
        "-i",
        "inventory/mine",
        "holdfast.ha.secrets",
        "-e",
        "secrets_plaintext=true",
        cwd=project,
        environment=environment,
    )
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line] == [
        f"playbook: {collections}/ansible_collections/holdfast/ha/playbooks/{playbook}.yml" for playbook in PLAYBOOKS
    ]
