# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_PATH = Path(__file__).resolve().parents[3] / "molecule/shared/files/watch_vip.py"
_SPEC = importlib.util.spec_from_file_location("watch_vip", _PATH)
watch_vip = importlib.util.module_from_spec(_SPEC)
sys.modules["watch_vip"] = watch_vip
_SPEC.loader.exec_module(watch_vip)


def spans_of(marks):
    """Spans from a picture of samples, one per second: ``{"lb1": "##..", "lb2": "..##"}``."""
    return [
        span
        for node, picture in marks.items()
        for span in watch_vip.spans(node, ((float(second), mark == "#") for second, mark in enumerate(picture)))
    ]


@pytest.mark.parametrize(
    ("marks", "holders", "overlaps", "unheld"),
    [
        ({"lb1": "####", "lb2": "...."}, ["lb1"], 0, 0.0),
        ({"lb1": "##..", "lb2": "..##"}, ["lb1", "lb2"], 0, 1.0),
        ({"lb1": "##....", "lb2": "....##"}, ["lb1", "lb2"], 0, 3.0),
        ({"lb1": "##", "lb2": "...###"}, ["lb1", "lb2"], 0, 2.0),
        ({"lb1": "###.", "lb2": "..##"}, ["lb1", "lb2"], 1, 0.0),
        ({"lb1": "#####", "lb2": ".#.#."}, ["lb1", "lb2", "lb2"], 2, 0.0),
        ({"lb1": "##..##", "lb2": "......"}, ["lb1", "lb1"], 0, 3.0),
        ({"lb1": "..####", "lb2": "......"}, ["lb1"], 0, 0.0),
        ({"lb1": "##....", "lb2": "......"}, ["lb1"], 0, 4.0),
        ({"lb1": "...", "lb2": "..."}, [], 0, None),
    ],
)
def test_report(marks, holders, overlaps, unheld):
    samples = {
        node: [(float(second), {"vip": mark == "#"}) for second, mark in enumerate(picture)]
        for node, picture in marks.items()
    }
    seen = watch_vip.report(samples, ["vip"])["addresses"]["vip"]
    assert (seen["holders"], len(seen["overlaps"]), seen["longest_unheld"]) == (holders, overlaps, unheld)


def test_report_without_samples():
    result = watch_vip.report({"lb1": []}, ["vip"])
    assert result["nodes"]["lb1"] == {"samples": 0, "longest_pause": 0.0}
    assert result["addresses"]["vip"]["holders"] == []


def test_spans_of_one_node_never_overlap():
    assert watch_vip.overlaps(spans_of({"lb1": "##..##"})) == []
