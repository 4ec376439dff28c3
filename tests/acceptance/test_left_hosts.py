# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that left the inventory, or whose name another took, goes on serving: it is named. Needs the lab."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from backup_lab import PLAYBOOKS
from lab_cluster import INVENTORY, SITE, assert_converged, run_playbook

Groups = dict[str, dict[str, dict[str, dict[str, str]]]]


def taken_out(groups: Groups) -> None:
    """Of PostgreSQL; two members of etcd would be refused anyway."""
    del groups["postgresql"]["hosts"]["db3"]


def replaced(groups: Groups) -> None:
    """By the bare host of the client, under another name."""
    for name in ("etcd", "postgresql"):
        del groups[name]["hosts"]["db3"]
        groups[name]["hosts"]["db4"] = {"ansible_host": "198.51.100.41"}
    del groups["client"]


def balancer_taken_out(groups: Groups) -> None:
    del groups["haproxy"]["hosts"]["lb2"]


@pytest.fixture
def changed(request: pytest.FixtureRequest) -> Iterator[Path]:
    """The lab's inventory with other hosts."""
    inventory = INVENTORY.with_name("left-hosts")
    shutil.copytree(INVENTORY, inventory)
    path = inventory / "hosts.yml"
    groups = yaml.safe_load(path.read_text())["all"]["children"]
    groups["etcd"]["hosts"] = dict(groups["etcd"]["hosts"])
    request.param(groups)
    path.write_text(yaml.safe_dump({"all": {"children": groups}}))
    yield inventory
    shutil.rmtree(inventory)


@pytest.mark.parametrize(
    ("changed", "named", "status"),
    [
        (
            taken_out,
            ["Patroni has the member db3", "postgresql is enabled on db3"],
            "a member that the inventory lacks",
        ),
        (replaced, ["etcd has the member db3", "Patroni has the member db3"], "a member that the inventory lacks"),
        (balancer_taken_out, ["198.51.100.22 is a VRRP peer of lb1"], ""),
    ],
    indirect=["changed"],
)
def test_who_left_is_named_before_anything_is_touched(changed: Path, named: list[str], status: str) -> None:
    run = run_playbook(SITE, inventory=changed)
    assert run.code != 0
    assert not any(run.changed.values())
    assert [text for text in named if text not in run.output] == [], run.output[-4000:]
    told = run_playbook(PLAYBOOKS / "status.yml", inventory=changed)
    assert status in told.output
    assert told.code != 0 or not status
    assert_converged()
