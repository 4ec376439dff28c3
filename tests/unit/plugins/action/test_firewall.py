# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""With a new table, a host is asked over a new connection."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.action.firewall import ActionModule

STEPS: list[str] = []
SHELL = SimpleNamespace(tmpdir="/tmp/of-the-task")


class Connection:
    """A connection that can be closed."""

    _shell = SHELL

    def reset(self) -> None:
        STEPS.append("reset")


@pytest.mark.parametrize(
    ("state", "check", "connection", "steps"),
    [
        ("probed", False, Connection(), ["reset", "module"]),
        ("probed", True, Connection(), ["module"]),
        ("probed", False, SimpleNamespace(_shell=SHELL), ["module"]),
        ("confirmed", False, Connection(), ["module"]),
        ("tried", False, Connection(), ["module"]),
        ("undone", False, Connection(), ["module"]),
    ],
)
def test_only_a_probe_needs_a_new_connection(
    monkeypatch: pytest.MonkeyPatch, state: str, check: bool, connection: Any, steps: list[str]
) -> None:
    def execute(_self: ActionModule, task_vars: Any = None) -> dict[str, Any]:
        STEPS.append("module")
        return {"pending": False}

    STEPS.clear()
    monkeypatch.setattr(ActionModule, "_execute_module", execute)
    task = SimpleNamespace(args={"state": state}, async_val=0, check_mode=check)
    action = ActionModule(task, connection, None, None, None, None)
    assert action.run(None, {})["pending"] is False
    assert steps == STEPS
