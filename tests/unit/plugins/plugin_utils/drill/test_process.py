# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines as processes of their own, with hosts that refuse every connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import engine as drill_engine
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore import engine as explore_engine
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak import engine as soak_engine
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.plan import SoakPlan

from tests.unit.plugins.plugin_utils.drill.cluster import plan
from tests.unit.plugins.plugin_utils.explore.test_plan import plan as explore_plan

COLLECTIONS = next(path.parent for path in Path(drill_engine.__file__).parents if path.name == "ansible_collections")


@pytest.mark.parametrize("engine", [drill_engine, soak_engine, explore_engine], ids=["drill", "soak", "explore"])
def test_hosts_that_refuse_are_named_in_the_result(tmp_path: Path, engine: Any) -> None:
    made: Any = plan(directory=str(tmp_path))
    made = replace(made, nodes=tuple(replace(node, address="127.0.0.1", port=1) for node in made.nodes))
    if engine is soak_engine:
        made = SoakPlan(drill=made, minutes=2, seed=1, clients=16, scale=10)
    if engine is explore_engine:
        made = replace(explore_plan(), drill=made)
    with subprocess.Popen(
        [sys.executable, "-m", engine.__name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(asdict(made)) + "\n")
        process.stdin.flush()
        said = [json.loads(line) for line in process.stdout]
    assert process.returncode == 1
    assert said[-1]["result"]["passed"] is False
    assert "SSH to 127.0.0.1: [Errno 111] Connection refused" in said[-1]["result"]["failure"]
