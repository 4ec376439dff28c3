# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any, cast

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import Cluster, Member
from ansible_collections.holdfast.ha.plugins.modules import patroni_info

STORED = {"synchronous_mode": "quorum", "postgresql": {"parameters": {"app.jwt_secret": "S3CRET", "work_mem": "4MB"}}}


class FakeApi:
    def answers(self) -> list[Any]:
        return []

    def read_configuration(self) -> dict[str, Any]:
        return STORED


def test_the_configuration_is_told_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(members=(Member("db1", "leader", "running"),), agreed=True)
    monkeypatch.setattr(patroni_info, "merge_answers", lambda _answers: cluster)
    config = patroni_info.gather(cast("Any", FakeApi()), ["db1"])["config"]
    assert "S3CRET" not in str(config)
    assert config["synchronous_mode"] == "quorum"
    assert config["postgresql"]["parameters"]["work_mem"] == "4MB"
