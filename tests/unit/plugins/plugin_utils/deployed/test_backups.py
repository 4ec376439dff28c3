# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed import backups as sut

ROOT = Path(__file__).resolve().parents[5]


@pytest.mark.parametrize(
    ("before", "after", "less"),
    [
        ({"full": "2", "full-type": "count"}, {"full": "2"}, []),
        ({"full": "2"}, {"full": "3", "diff": "0"}, []),
        ({"full": "10"}, {"full": "9"}, ["full"]),
        ({"full": "2", "diff": "7"}, {"full": "2"}, []),
        ({"full": "2"}, {"full": "2", "diff": "7"}, ["diff"]),
        ({"full": "2", "archive": "3"}, {"full": "2", "archive": ""}, []),
        ({"full": "2", "archive": ""}, {"full": "2", "archive": "3"}, ["archive"]),
        ({"full": "2", "full-type": "count"}, {"full": "90", "full-type": "time"}, ["full_type"]),
        ({"full": "2"}, {"full": "what no server takes"}, []),
    ],
)
def test_what_keeps_less(before, after, less):
    assert sut.keeps_less(before, after) == less


@pytest.mark.parametrize(
    ("before", "after", "fewer"),
    [
        (14, 1, True),
        (14, "1", True),
        (14, "14", False),
        (14, 30, False),
        ({"daily": 30}, {"daily": 7}, True),
        ({"daily": 30, "weekly": 4}, {"weekly": 4}, True),
        ({}, {"daily": 7}, True),
        ({"daily": 30}, {"daily": 30, "weekly": 1}, False),
        ({"daily": 30}, {}, False),
        ({"daily": 30}, {"daily": None}, False),
        ({"daily": 30}, 7, False),
        ({}, {}, False),
    ],
)
def test_what_keeps_fewer_snapshots(before, after, fewer):
    assert sut.keeps_fewer(before, after) is fewer


def test_wal_is_pushed_by_the_command_that_the_playbook_sets():
    push = yaml.safe_load((ROOT / "playbooks" / "vars" / "patroni.yml").read_text(encoding="utf-8"))
    assert f"'{sut.PUSH}' ~" in push["patroni_archive_command"]
