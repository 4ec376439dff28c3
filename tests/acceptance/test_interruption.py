# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A first deploy whose controller dies converges with the next run, and loses no row once a cluster exists.

The cases up to the packages start from bare nodes, the later ones from nodes that have their packages: about half an
hour in all.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from lab_cluster import (
    ROOT,
    SITE,
    assert_healthy,
    converge,
    keep_nodes,
    kill_playbook_when,
    on_node,
    recreate_nodes,
    run_playbook,
    sql,
)

from lab.nodes import Node

BEFORE_PACKAGES = (2, 4)
AFTER_PACKAGES = (7, 9, 11, 14, 18, 21, 28, 33)
INTO_A_STEP = 0.4


def assert_built() -> None:
    """site.yml builds the cluster; the backups' verification is restore_verify.yml's."""
    converge()
    assert_healthy(120, "-e", "restore_verify_state=absent")


def kill_at(step: int) -> None:
    """Kill the controller some tenths of a second after it has begun a step."""
    reached: list[float] = []

    def in_it(output: str) -> bool:
        if not reached and output.count("\nTASK [") >= step:
            reached.append(time.monotonic())
        return bool(reached) and time.monotonic() - reached[0] >= INTO_A_STEP

    assert kill_playbook_when(in_it, SITE, seconds=400)


@pytest.fixture(scope="module")
def with_packages() -> Callable[[Node], str]:
    """Nodes on which a first deploy died just after the packages, so that not each case has to install them."""
    recreate_nodes()
    assert kill_playbook_when(lambda output: "TASK [holdfast.ha.certificates" in output, SITE, seconds=400)
    return keep_nodes()


@pytest.mark.parametrize("step", BEFORE_PACKAGES)
def test_killed_at_a_step_before_the_packages_are_there(step: int) -> None:
    recreate_nodes()
    kill_at(step)
    assert_built()


def test_killed_in_the_middle_of_a_package_installation() -> None:
    recreate_nodes()

    def unpacking(_output: str) -> bool:
        return "dpkg" in on_node("db2", "ps", "-eo", "comm", check=False).split()

    assert kill_playbook_when(unpacking, SITE, seconds=400)
    assert_built()


@pytest.mark.parametrize("step", AFTER_PACKAGES)
def test_killed_at_a_later_step(step: int, with_packages: Callable[[Node], str]) -> None:
    recreate_nodes(with_packages)
    kill_at(step)
    assert_built()


def test_rows_survive_an_interrupted_run() -> None:
    converge()
    assert run_playbook(ROOT / "lab/client.yml").code == 0
    sql("DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")
    on_node("db1", "rm", "-f", "/etc/patroni/config.yml")
    assert kill_playbook_when(lambda output: "[holdfast.ha.patroni : Configure and run" in output, SITE, seconds=120)
    converge()
    assert sql("SELECT count(*) FROM kept") == "1000"
    # The nodes are new ones: the next file finds the lab as make lab leaves it.
    assert run_playbook(ROOT / "playbooks/restore_verify.yml").code == 0
    assert_healthy()
