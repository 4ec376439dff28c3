# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import replace

from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.judge import Journal, breaches
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.report import as_text, write

from tests.unit.plugins.plugin_utils.soak.test_judge import CALM
from tests.unit.plugins.plugin_utils.soak.test_plan import plan


def test_a_soak_that_passed() -> None:
    text = as_text(plan(watched=True), CALM, [])
    assert text.startswith("# Soak of main: passed\n")
    assert "lease's longest silence     3 to 4 s (revoked after 8 s or more), 230 looks\n" in text
    assert "1 beside the 2 handovers\n" in text
    assert "pgbench began again         1 times: its connections were broken\n" in text
    assert text.endswith("## How pgbench's connections broke\n\n- server closed the connection")


def test_a_soak_that_failed_says_why_in_both_files(tmp_path) -> None:
    seen = replace(
        CALM,
        lost=2,
        journals={"db1": Journal(silences=("db2 has not renewed for 4 s or more",), demotions=("demoting self",))},
    )
    write(plan(), seen, list(breaches(seen)), tmp_path)
    text, data = (tmp_path / "soak.md").read_text(), json.loads((tmp_path / "soak.json").read_text())
    assert "- 120.0 s: 2 of 1200 acknowledged rows are missing [no loss]\n" in text
    assert "- db1: db2 has not renewed for 4 s or more\n- db1: demoting self\n" in text
    assert "(no lease watcher)" in text
    assert data["passed"] is False
    assert [breach["rule"] for breach in data["breaches"]] == ["no loss"]
    assert data["schedule"][0]["kind"] == "burn"
    assert "secret" not in json.dumps(data)
