# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.modules.restore_verify import problem_of

PASSED = {"result": "passed", "error": "", "backup": "F1", "finished": 20}
FAILED = {"result": "failed", "error": "WAL is missing", "backup": "F1", "finished": 20}


@pytest.mark.parametrize(
    ("record", "failure", "problem"),
    [
        (PASSED, "", None),
        (FAILED, "Job failed.", "backup F1 is not proven to restore: WAL is missing"),
        (PASSED, "Job failed.", "backup F1 is not proven to restore: Job failed."),
        ({**FAILED, "backup": "", "error": "no backup"}, "", "backup ? is not proven to restore: no backup"),
        (None, "Unit not found.", "v.service left no record, see journalctl -u v.service: Unit not found."),
        ({**PASSED, "finished": 9}, "", "v.service left no record, see journalctl -u v.service: "),
    ],
    ids=["passed", "failed", "failed after its record", "no backup", "no record", "an old record"],
)
def test_problem_of(record: dict[str, Any] | None, failure: str, problem: str | None) -> None:
    assert problem_of(record, 10, "v.service", failure) == problem
