# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent import alerts as sut

from tests.unit.plugins.plugin_utils.drill.polling import within


def alert(name: str, state: str = "active", **labels: str) -> dict[str, Any]:
    """An alert as Alertmanager tells it."""
    return {"labels": {"alertname": name, **labels}, "status": {"state": state, "silencedBy": []}}


DOWN = alert("HostDown", cluster="main", host="db1", severity="page")


@pytest.mark.parametrize(
    ("told", "firing"),
    [
        ([], []),
        ([DOWN], [["HostDown", "page", "db1", False]]),
        ([DOWN, alert("HostDown", cluster="other", host="db9")], [["HostDown", "page", "db1", False]]),
        ([alert("RulesFail")], [["RulesFail", "", "", False]]),
        ([alert("NoSpare", "suppressed", cluster="main")], [["NoSpare", "", "", True]]),
        (
            [alert("UnitDown", state, cluster="main", unit=state) for state in ("suppressed", "active", "suppressed")],
            [["UnitDown", "", "", False]],
        ),
    ],
    ids=["none", "one", "of another cluster", "of none", "quiet", "loud and quiet"],
)
def test_what_fires(told: list[dict[str, Any]], firing: list[list[Any]]) -> None:
    assert sut.firing(told, "main") == firing


@pytest.mark.parametrize("said", ["no list", [{"labels": {}}], None, EndpointError("url", None, "refused")])
def test_an_answer_that_is_none(said: Any, monkeypatch) -> None:
    monkeypatch.setattr(sut, "INTERVAL", 0.01)
    wire, answers = Mock(), iter([said, [DOWN], [DOWN]])
    sampler = sut.AlertSampler(wire, Mock(request=Mock(side_effect=answers)), "main")
    assert within(5.0, lambda: wire.record.call_count > 1)
    sampler.stop()
    assert [call.args[1][1] for call in wire.record.call_args_list[:2]] == [None, [["HostDown", "page", "db1", False]]]
