# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A first deploy whose controller dies converges with the next run, and loses no row once a cluster exists.

Each case starts from bare nodes, so this takes about half an hour.
"""

from __future__ import annotations

import pytest
from lab_cluster import (
    ROOT,
    SITE,
    assert_healthy,
    converge,
    kill_playbook_when,
    on_node,
    recreate_nodes,
    run_playbook,
    sql,
)

STEPS = (2, 4, 8, 11, 14, 17, 20, 23, 26, 30)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_of_the_first_deploy(step: int) -> None:
    recreate_nodes()
    assert kill_playbook_when(lambda output: output.count("\nTASK [") >= step, SITE, seconds=300)
    converge()
    assert_healthy()


def test_killed_in_the_middle_of_a_package_installation() -> None:
    recreate_nodes()

    def unpacking(_output: str) -> bool:
        return "dpkg" in on_node("db2", "ps", "-eo", "comm", check=False).split()

    assert kill_playbook_when(unpacking, SITE, seconds=300)
    converge()
    assert_healthy()


def test_rows_survive_an_interrupted_run() -> None:
    converge()
    assert run_playbook(ROOT / "lab/client.yml").code == 0
    sql("DROP TABLE IF EXISTS kept; CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")
    on_node("db1", "rm", "-f", "/etc/patroni/config.yml")
    assert kill_playbook_when(lambda output: "[holdfast.ha.patroni : Configure and run" in output, SITE, seconds=120)
    converge()
    assert sql("SELECT count(*) FROM kept") == "1000"
