# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of several repositories a target is restored from."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import PgBackRestError
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_archive import judge
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import PgBackRest

NOW = int(time.time())
DIRECTORY = "0000000100000000"


class Repositories:
    """A pgBackRest of two repositories, each with a backup (seconds ago, None for none) and an archive's end."""

    def __init__(self, backups: Sequence[int | None], ends: Sequence[int]) -> None:
        self.backups = dict(enumerate(backups, 1))
        self.ends = dict(enumerate(ends, 1))

    def __call__(self, argv: Sequence[str]) -> tuple[int, str, str]:
        chosen = [int(word.partition("=")[2]) for word in argv if word.startswith("--repo=")]
        if "info" in argv:
            return 0, json.dumps([self.info(chosen or list(self.backups))]), ""
        assert len(chosen) == 1, argv
        entry = {f"{DIRECTORY}00000009-ab.zst": {"type": "file", "time": NOW - self.ends[chosen[0]]}}
        listing: dict[str, Any] = entry if argv[-1].endswith(DIRECTORY) else {DIRECTORY: {"type": "path"}}
        return 0, json.dumps(listing), ""

    def info(self, keys: Sequence[int]) -> dict[str, Any]:
        there = [key for key in keys if self.backups[key] is not None]
        status = {True: {"code": 0, "message": "ok"}, False: {"code": 99, "message": "[HostConnectError] no route"}}
        return {
            "name": "lab",
            "status": {"code": 4, "message": "different across repos"},
            "repo": [{"key": key, "cipher": "none", "status": status[key in there]} for key in keys],
            "db": [{"id": 1, "repo-key": key, "system-id": 1, "version": "17"} for key in there],
            "archive": [
                {"id": "17-1", "database": {"id": 1, "repo-key": key}, "min": None, "max": f"{DIRECTORY}00000009"}
                for key in there
            ],
            "backup": [self.backup(key) for key in there],
        }

    def backup(self, key: int) -> dict[str, Any]:
        end = NOW - (self.backups[key] or 0)
        return {
            "label": f"F{key}",
            "type": "full",
            "timestamp": {"start": end - 9, "stop": end},
            "info": {"size": 1, "repository": {"delta": 1}},
            "database": {"id": 1, "repo-key": key},
            "archive": {"start": f"{DIRECTORY}00000001", "stop": f"{DIRECTORY}00000002"},
        }


def judged(repositories: Repositories, **more: Any) -> dict[str, Any]:
    params = {"stanza": "lab", "type": "latest", "target": None, "exclusive": False, "timeline": "latest", "set": None}
    return judge(PgBackRest(repositories), {**params, "repository": None, **more})


def moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S+00", time.gmtime(NOW - seconds))


@pytest.mark.parametrize(
    ("backups", "ends", "more", "repository"),
    [
        pytest.param((900, 300), (1, 0), {}, 1, id="the first"),
        pytest.param((None, 300), (0, 0), {}, 2, id="the first is out of reach"),
        pytest.param((900, 300), (400, 0), {}, 2, id="the first lacks the last WAL"),
        pytest.param((900, 300), (0, 0), {"repository": 2}, 2, id="the chosen"),
        pytest.param((900, 300), (0, 0), {"set": "F2"}, 2, id="the one with the chosen backup"),
        pytest.param(
            (300, 900), (0, 0), {"type": "time", "target": moment(600)}, 2, id="the one that goes back so far"
        ),
        pytest.param((900, 900), (700, 0), {"type": "time", "target": moment(600)}, 2, id="the one that goes so far"),
        pytest.param((900, 900), (0, 0), {"type": "time", "target": moment(600)}, 1, id="both go so far"),
    ],
)
def test_the_repository(
    backups: tuple[int | None, ...], ends: tuple[int, ...], more: dict[str, Any], repository: int
) -> None:
    target = judged(Repositories(backups, ends), **more)
    assert (target["repository"], target["set"]) == (repository, f"F{repository}")


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (
            {"type": "time", "target": moment(999)},
            "^repository 1: .*oldest backup ends.*; repository 2: .*oldest backup",
        ),
        ({"set": "F3"}, "repository 1: stanza lab has no backup F3; it has F1; repository 2: .* it has F2"),
        ({"repository": 3}, "repository 3 is not configured on this host; choose one of 1, 2"),
        ({"repository": 1, "set": "F2"}, "^stanza lab has no backup F2; it has F1$"),
    ],
)
def test_no_repository_leads_there(more: dict[str, Any], error: str) -> None:
    with pytest.raises(PgBackRestError, match=error):
        judged(Repositories((900, 300), (0, 0)), **more)
