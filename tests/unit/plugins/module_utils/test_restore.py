# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils.restore import (
    Found,
    Marker,
    RestoreError,
    parse_marker,
    plan,
    request_of,
    room_problem,
)

CASES = yaml.safe_load(Path(__file__).with_name("restore_cases.yml").read_text(encoding="utf-8"))


def cases(name: str) -> Any:
    return [pytest.param(case, id=case["name"]) for case in CASES[name]]


def request(kind: str, value: str | None = None) -> dict[str, Any]:
    return request_of({"type": kind, "value": value, "inclusive": True, "timeline": "latest", "set": "F1"}, None)


@pytest.mark.parametrize("case", cases("plan"))
def test_plan(case: dict[str, Any]) -> None:
    wanted = request(case.get("type", "time"), "now")
    marked = request("time", "then") if case.get("request") == "other" else wanted
    found = Found(
        marker=Marker("1", marked, case["phase"]) if case.get("phase") else None,
        **{name: case.get(name, False) for name in ("data", "staged", "aside", "running")},
    )
    if "error" in case:
        with pytest.raises(RestoreError, match=case["error"]):
            plan(case["state"], found, wanted)
    else:
        assert list(plan(case["state"], found, wanted, case.get("keep", True))) == case["steps"]


def test_a_newer_backup_is_no_other_request() -> None:
    target = {"type": "latest", "value": None, "inclusive": True, "timeline": "latest"}
    assert request_of({**target, "set": "F1"}, None) == request_of({**target, "set": "F2"}, None)
    assert request_of({**target, "set": "F1"}, "F1") != request_of({**target, "set": "F2"}, "F2")


def test_a_marker_survives_its_file() -> None:
    marker = Marker("20260105T130000Z", request("lsn", "0/8000028"), "fetched")
    assert parse_marker(marker.dump()) == marker


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"id": "1", "request": {}, "phase": "unheard of"}'])
def test_an_unreadable_marker_is_none(text: str) -> None:
    assert parse_marker(text) is None


def test_room() -> None:
    assert room_problem(10 * 2**30, 8 * 2**30, "/var/lib") is None
    assert "/var/lib has 8.5 GiB free, 9.0 GiB are needed" in str(room_problem(17 * 2**29, 8 * 2**30, "/var/lib"))
