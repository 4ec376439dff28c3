# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys

import pytest

from scripts import check as sut


@pytest.mark.parametrize("target", ["lint", "types", "unit", "docs", "sanity"])
def test_every_target_has_steps(target):
    assert sut.STEPS[target]


def test_unknown_targets_are_refused(capsys):
    assert sut.main(["lnit"]) == 2
    assert "known: lint types unit docs sanity" in capsys.readouterr().err


@pytest.mark.parametrize(("code", "passed", "head"), [(0, True, "ok "), (3, False, "FAILED ")])
def test_a_step_is_run_and_reported(code, passed, head, capsys):
    step = sut.Step("probe", (sys.executable, "-c", f"print('said'); raise SystemExit({code})"))
    returned, output, seconds = sut.run(step)
    assert (returned, output) == (code, "said\n")
    assert sut.report(step, returned, output, seconds) is passed
    shown = capsys.readouterr().out
    assert shown.startswith(head)
    assert ("said" in shown) is not passed
