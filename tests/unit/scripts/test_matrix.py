# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import yaml

from scripts import matrix as sut


def test_the_oldest_ansible_core_is_the_one_that_is_required():
    required = yaml.safe_load((sut.ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))["requires_ansible"]
    assert required == f">={next(iter(sut.PYTHONS))}.0"


def test_unknown_words_are_refused(capsys):
    assert sut.main(["2.18", "sanity"]) == 2
    assert "2.18: give 2.19" in capsys.readouterr().err


def test_the_table_names_the_log_of_what_failed():
    log = sut.FOLDER / "2.19-unit.log"
    results = [
        sut.Result("2.19.1", "3.11.7", "sanity", True, 61.4, log),
        sut.Result("2.19.1", "3.11.7", "unit", False, 5, log),
    ]
    assert sut.table(results).splitlines()[1:] == [
        "2.19.1        3.11.7  sanity  ok      61",
        "2.19.1        3.11.7  unit    FAILED  5        .cache/matrix/2.19-unit.log",
    ]
