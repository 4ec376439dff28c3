# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of an injection, on a cluster that answers from a script."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError

from tests.unit.plugins.plugin_utils.drill.scripted import NEW, OLD, Parts


def test_after_a_harm_the_archive_is_tried_anew(cluster) -> None:
    action = Mock(inject=Mock(side_effect=NotProvenError("it survived")))
    made = Parts(cluster)
    fault = replace(CATALOGUE["postmaster_killed"], action=action)
    made.recorder.flow = lambda: (10.0, "db1")  # type: ignore[method-assign]
    with pytest.raises(NotProvenError):
        made.conductor.conduct(fault, 1)
    cluster.archiving, cluster.archived = False, OLD
    with pytest.raises(GateError, match=f"{NEW} is not archived yet"):
        made.gatekeeper.wait("after")
    assert cluster.switched == 2


def test_the_gate_holds_right_before_the_fault(cluster, monkeypatch) -> None:
    """Something breaks while the first rows are written: the fault is not injected into that."""
    action = Mock()
    made = Parts(cluster)

    def steady() -> tuple[float, str]:
        cluster.broken = {"db3_etcd": {"healthy": False}}
        return 10.0, "db1"

    monkeypatch.setattr(made.recorder, "flow", steady)
    with pytest.raises(GateError, match="etcd on db3 is not healthy"):
        made.conductor.conduct(replace(CATALOGUE["postmaster_killed"], action=action), 1)
    action.inject.assert_not_called()


def test_the_record_ends_with_a_claim_that_is_not_older_than_the_healing(cluster, monkeypatch) -> None:
    made = Parts(cluster)
    claims = iter([99.9, None, 100.2])
    monkeypatch.setattr(made.recorder, "claimed", lambda _leader: next(claims))
    assert made.conductor._last_claim("db1", 100.0) == 100.2
