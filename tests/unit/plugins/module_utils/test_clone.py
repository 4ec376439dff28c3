# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.clone import (
    Found,
    Record,
    Wanted,
    interrupted,
    lost,
    parse_record,
    refusals,
)
from ansible_collections.holdfast.ha.plugins.module_utils.restore import Marker

LATEST = {"type": "latest", "value": None, "inclusive": True, "timeline": "latest", "set": None}
TIME = {**LATEST, "type": "time", "value": "2026-01-05 13:00:00+00:00"}
WANTED = Wanted("/srv/clone", 5433, "lab", LATEST, reserved=("/var/lib/postgresql/lab",), fixed=("archive_mode",))
RECORD = Record("/srv/clone", "lab")
NAMES = ("data", "data.before-7", "data.restore.json", "data.restore.json.new", "data.restoring", "data.restoring-run")
MADE = Found(RECORD, Marker("7", LATEST, "placed"), filled=True, data=True, real="/srv/clone", names=NAMES)
BEGUN = replace(MADE, marker=Marker("7", LATEST, "fetched"), data=False)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        pytest.param({}, Found(), id="bare"),
        pytest.param({}, Found(record=RECORD), id="taken only"),
        pytest.param({}, BEGUN, id="interrupted"),
        pytest.param({"request": TIME}, BEGUN, id="interrupted on the way to another target"),
        pytest.param({}, MADE, id="made"),
        pytest.param({"request": TIME, "anew": True}, MADE, id="replaced"),
        pytest.param({"stanza": "shop", "anew": True}, MADE, id="replaced by another cluster's"),
        pytest.param({"request": None}, MADE, id="removed"),
        pytest.param({"request": None}, Found(), id="removed already"),
        pytest.param({}, replace(MADE, names=("data", "notes")), id="with notes beside it"),
        pytest.param({"listens": True, "clients": ("192.0.2.0/24", "2001:db8::/64")}, Found(), id="over TCP"),
        pytest.param({"parameters": ("work_mem", "pg_stat_statements.max")}, Found(), id="parameters"),
        pytest.param({"directory": "/var/lib/postgresql/lab-clone"}, Found(), id="beside the data directory"),
        pytest.param({"cluster_port": 5432}, Found(), id="another port than the cluster's"),
    ],
)
def test_what_can_be_done(wanted: dict[str, Any], found: Found) -> None:
    assert refusals(replace(WANTED, **wanted), found) == []


@pytest.mark.parametrize(
    ("wanted", "found", "named"),
    [
        ({"directory": "srv/clone"}, Found(), "clone_directory = srv/clone: is no absolute path"),
        ({"directory": "/srv/clone/"}, Found(), "clone_directory = /srv/clone/: is no absolute path"),
        ({"directory": "/srv/../etc"}, Found(), "clone_directory = /srv/../etc: is no absolute path"),
        ({"directory": "/srv/a b"}, Found(), "clone_directory = /srv/a b: is no absolute path"),
        ({"directory": "/srv/%i"}, Found(), "clone_directory = /srv/%i: is no absolute path"),
        ({"directory": "/srv/" + "a" * 60}, Found(), "is longer than 64 characters"),
        ({"directory": "/etc/clone"}, Found(), "overlaps with /etc"),
        ({"directory": "/var/lib/postgresql"}, Found(), "overlaps with /var/lib/postgresql/lab"),
        ({"directory": "/var/lib/postgresql/lab/x"}, Found(), "overlaps with /var/lib/postgresql/lab"),
        ({"directory": "/srv"}, Found(), "overlaps with /srv"),
        ({"directory": "/var/lib"}, Found(), "overlaps with /var/lib"),
        ({"directory": "/home/alice/x"}, Found(), "overlaps with /home"),
        ({"directory": "/data/alice"}, Found(homes=("/nonexistent", "/data/alice")), "overlaps with /data/alice"),
        ({"directory": "/data"}, Found(homes=("/data/alice",)), "overlaps with /data/alice"),
        ({}, Found(real="/var/lib/postgresql/lab/x"), "overlaps with /var/lib/postgresql/lab"),
        ({"port": 80}, Found(), "clone_port = 80: is not within 1024 to 65535"),
        ({"port": 5432, "cluster_port": 5432}, Found(), "clone_port = 5432: is the cluster's own"),
        ({"listens": True}, Found(), "clone_clients = []: no client could log in"),
        ({"clients": ("192.0.2.0/24",)}, Found(), "clone_listen_addresses = '': without it"),
        ({"listens": True, "clients": ("192.0.2.1",)}, Found(), "clone_clients has '192.0.2.1': is no network"),
        ({"listens": True, "clients": ("192.0.2.1/24",)}, Found(), "clone_clients has '192.0.2.1/24': is no network"),
        ({"parameters": ("Archive_Mode",)}, Found(), "clone_parameters has Archive_Mode: keeps the clone apart"),
        ({"parameters": ("work mem",)}, Found(), "clone_parameters has 'work mem': is no parameter"),
        ({}, Found(filled=True), "clone_directory = /srv/clone: is not empty"),
        ({"anew": True}, Found(filled=True), "clone_directory = /srv/clone: is not empty"),
        ({"request": None}, Found(filled=True), "clone_directory = /srv/clone: is not empty"),
        ({"directory": "/srv/other"}, MADE, "clone_port = 5433: is that of the clone in /srv/clone"),
        ({"directory": "/srv/other", "request": None}, MADE, "clone_port = 5433: is that of the clone in /srv/clone"),
        ({"request": None, "directory": "/"}, MADE, "clone_directory = /: is no absolute path"),
        (
            {"request": None},
            replace(MADE, names=("data", "notes")),
            "holds notes, which no clone has made; move it away",
        ),
        ({"anew": True}, replace(MADE, names=("data", "data.old")), "holds data.old, which no clone has made"),
        ({"request": TIME}, MADE, "holds a clone of lab (latest) already"),
        ({"stanza": "shop"}, MADE, "holds a clone of lab (latest) already"),
        ({"stanza": "shop"}, Found(record=RECORD), "holds a clone of lab (nothing yet) already"),
    ],
)
def test_what_is_refused(wanted: dict[str, Any], found: Found, named: str) -> None:
    messages = refusals(replace(WANTED, **wanted), replace(found, real=found.real or wanted.get("directory")))
    assert len(messages) == 1
    assert named in messages[0]


def test_a_clone_whose_data_is_gone_is_lost() -> None:
    assert [lost(found) for found in (Found(), BEGUN, MADE, replace(MADE, data=False))] == [False, False, False, True]


def test_a_clone_that_was_not_placed_is_interrupted() -> None:
    assert [interrupted(found) for found in (Found(), BEGUN, MADE)] == [False, True, False]


def test_a_record() -> None:
    assert parse_record('{"directory": "/srv/clone", "stanza": "lab"}') == RECORD
    assert [parse_record(text) for text in ("", "[]", "{}", '"x"')] == [None] * 4
