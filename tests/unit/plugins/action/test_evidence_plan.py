# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that have not joined yet are not asked."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.holdfast.ha.plugins.action.evidence import ActionModule

from tests.unit.plugins.plugin_utils.drill import cluster


@pytest.mark.parametrize("without", [[], ["db3"], ["db3", "unknown"]])
def test_a_host_that_has_not_joined_is_left_out(without: list[str]) -> None:
    whole = cluster.plan()
    task = SimpleNamespace(_drill_plan=lambda arguments, variables: whole)
    arguments = {"cluster": "lab", "client": None, "directory": None, "budgets": None, "title": "the work"}
    made = ActionModule._evidence_plan(task, arguments | {"hosts": [], "longest": 9.0, "without": without}, {})
    names = [node.name for node in whole.nodes]
    assert "db3" in names
    assert [node.name for node in made.drill.nodes] == [name for name in names if name not in without]
