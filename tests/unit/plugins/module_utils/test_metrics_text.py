# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils import metrics_text as sut
from ansible_collections.holdfast.ha.plugins.module_utils.metrics_text import Sample, Taken

CASES = yaml.safe_load(Path(__file__).with_name("metrics_text_cases.yml").read_text(encoding="utf-8"))


def sample(name, value, labels):
    return Sample(name, value, tuple(tuple(pair) for pair in labels))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_text(case):
    assert sut.render(sample(*one) for one in case["samples"]) == case["text"]


def test_an_unknown_metric_is_an_error():
    with pytest.raises(KeyError):
        sut.render([Sample("other", 1)])


def test_one_reading_fails_alone():
    def broken():
        yield Sample("rolling", 1)
        raise OSError("no such\n thing")

    readings = {"broken": broken, "good": lambda: [Sample("maintenance", 0)]}
    taken = sut.take(readings, (OSError,))
    assert taken.failed == {"broken": "no such thing"}
    assert taken.samples == (Sample("maintenance", 0),)
    with pytest.raises(OSError, match="no such"):
        sut.take(readings, (ValueError,))


def test_a_survey_s_samples_come_back():
    taken = Taken((Sample("rolling", 1.5), sample("unit_active", 1, [["unit", "x"]])), {"drift": "why"})
    assert sut.parse(sut.dump(taken)) == taken
