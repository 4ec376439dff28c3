# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import Backup, PgBackRestError, Stanza
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_target import (
    ArchiveEnd,
    choose_backup,
    describe_target,
    furthest,
    last_directory,
    older_point,
    parse_archive_end,
    parse_lineage,
    parse_lsn,
    parse_target,
    parse_time,
    segment_start,
    wanted_timeline,
)

CASES = yaml.safe_load(Path(__file__).with_name("pgbackrest_target_cases.yml").read_text(encoding="utf-8"))
SEGMENT = "000000010000000000000008"


def cases(name: str) -> Any:
    return [pytest.param(case, id=case["name"]) for case in CASES[name]]


def at(clock: str) -> int:
    return int(parse_time(f"2026-01-05 {clock}+00").timestamp())


def backup(label: str, clock: str, lsn: str, error: bool = False, database: int = 2) -> Backup:
    return Backup(label, "full", at(clock) - 30, at(clock), 1000, 100, database, "", "", error, lsn)


STANZA = Stanza(
    name="lab",
    code=0,
    message="ok",
    locked=False,
    cipher="none",
    database_id=2,
    system_id="1",
    postgresql_version="17",
    backups=(
        backup("F1", "01:00:00", "0/2000100"),
        backup("F2", "02:00:00", "0/5000100"),
        backup("BAD", "02:30:00", "0/6000100", error=True),
    ),
    wal=(),
)
END = ArchiveEnd(SEGMENT, at("03:00:00"))


@pytest.mark.parametrize("case", cases("parse"))
def test_parse_target(case: dict[str, Any]) -> None:
    assert parse_target(case["type"], case.get("target"), True, "latest").value == case["value"]


@pytest.mark.parametrize("case", cases("refused"))
def test_parse_target_refuses(case: dict[str, Any]) -> None:
    with pytest.raises(PgBackRestError, match=case["error"]):
        parse_target(case["type"], case.get("target"), True, case.get("timeline", "latest"))


@pytest.mark.parametrize("case", cases("choose"))
def test_choose_backup(case: dict[str, Any]) -> None:
    target = parse_target(case["type"], case.get("target"), True, "latest")
    arguments = (STANZA, target, END, case.get("wanted"), at("04:00:00"))
    if "error" in case:
        with pytest.raises(PgBackRestError, match=case["error"]):
            choose_backup(*arguments)
    else:
        assert choose_backup(*arguments).label == case["set"]


def test_a_former_database_is_restored_only_when_chosen() -> None:
    former = Stanza(**{**vars(STANZA), "backups": (backup("OLD", "01:00:00", "0/2000100", database=1),)})
    target = parse_target("latest", None, True, "latest")
    with pytest.raises(PgBackRestError, match="no usable backup"):
        choose_backup(former, target, END, None, at("04:00:00"))
    assert choose_backup(former, target, END, "OLD", at("04:00:00")).label == "OLD"


def test_describe_target() -> None:
    target = parse_target("lsn", "0/8000000", False, "current")
    described = describe_target(target, STANZA.backups[1], END, "17")
    assert described["postgresql_version"] == "17"
    assert described["set"] == "F2"
    assert (described["archive_end"], described["archive_arrived"]) == (SEGMENT, END.arrived)
    assert (described["type"], described["value"], described["inclusive"]) == ("lsn", "0/8000000", False)


@pytest.mark.parametrize(
    ("kind", "value", "arrived", "chosen"),
    [
        pytest.param("latest", None, (1000, 1059), 1, id="in step"),
        pytest.param("latest", None, (1000, 1061), 2, id="the first was out of reach"),
        pytest.param("latest", None, (1061, 1000), 1, id="the second was"),
        pytest.param("latest", None, (None, 1000), 2, id="nothing in the first"),
        pytest.param("name", "before", (1000, 2000), 2, id="a name may lie at the end"),
        pytest.param("immediate", None, (1000, 2000), 1, id="the end does not matter"),
    ],
)
def test_the_repository_to_restore_from(
    kind: str, value: str | None, arrived: tuple[int | None, ...], chosen: int
) -> None:
    judged = [{"repository": number, "archive_arrived": at} for number, at in enumerate(arrived, 1)]
    assert furthest(parse_target(kind, value, True, "latest"), judged)["repository"] == chosen


def test_the_archive_s_end() -> None:
    listing = f'{{".": {{}}, "{SEGMENT}-0a.zst": {{"time": 7}}, "000000010000000000000007-0b.zst": {{"time": 9}}}}'
    assert parse_archive_end(listing) == ArchiveEnd(SEGMENT, 7)
    assert parse_archive_end('{"00000002.history": {"time": 7}}') == ArchiveEnd()
    assert last_directory(["0000000100000000", "0000000200000000", "00000003.history"]) == "0000000200000000"
    assert last_directory([]) is None
    with pytest.raises(PgBackRestError, match="unreadable answer"):
        parse_archive_end("no JSON")


def test_positions() -> None:
    assert parse_lsn("1/8000028") == (1 << 32) + 0x8000028
    assert segment_start("000000020000000100000003") == (1 << 32) + 3 * 2**24


NAMES = ["00000002.history", "0000000A.history", "0000000100000000"]
# Timeline 10 began on 1 at 0/4000000; 2 is a branch that was left.
LINEAGE = parse_lineage(10, "1\t0/4000000\tbefore 2026-01-05 02:10:00+00\n")


@pytest.mark.parametrize(("timeline", "number"), [("latest", 10), ("current", None), ("2", 2), ("1", 1)])
def test_the_wanted_timeline(timeline: str, number: int | None) -> None:
    assert wanted_timeline(parse_target("latest", None, True, timeline), NAMES) == number


def test_a_repository_that_is_younger_than_the_timeline() -> None:
    names = ["0000000500000000", "0000000500000001"]
    assert wanted_timeline(parse_target("latest", None, True, "latest"), names) == 5


def test_a_timeline_that_is_not_archived() -> None:
    with pytest.raises(PgBackRestError, match="timeline 7 is not in the archive, which has up to 10"):
        wanted_timeline(parse_target("latest", None, True, "7"), NAMES)


# timeline of the second backup, where it ended, the chosen one's label
@pytest.mark.parametrize(
    ("timeline", "lsn", "label"),
    [("0000000A", "0/5000100", "B2"), ("00000002", "0/5000100", "B1"), ("00000001", "0/5000100", "B1")],
    ids=["on it", "on a branch that was left", "after it was left"],
)
def test_a_backup_must_lie_on_the_way(timeline: str, lsn: str, label: str) -> None:
    backups = (
        replace(backup("B1", "01:00:00", "0/2000100"), wal_stop="000000010000000000000002"),
        replace(backup("B2", "02:00:00", lsn), wal_stop=f"{timeline}0000000000000005"),
    )
    target = parse_target("latest", None, True, "latest")
    stanza = replace(STANZA, backups=backups)
    assert choose_backup(stanza, target, END, None, at("04:00:00"), lineage=LINEAGE).label == label


def test_no_backup_lies_on_the_way() -> None:
    stray = replace(backup("B1", "01:00:00", "0/2000100"), wal_stop="000000020000000000000002")
    target = parse_target("latest", None, True, "latest")
    with pytest.raises(PgBackRestError, match="no backup lies on the way to timeline 10: B1 belong"):
        choose_backup(replace(STANZA, backups=(stray,)), target, END, None, at("04:00:00"), lineage=LINEAGE)


def taken(label: str, clock: str, timeline: str = "00000001") -> Backup:
    segment = f"{timeline}0000000000000002"
    return replace(backup(label, clock, "0/2000100"), wal_start=segment, wal_stop=segment)


BACKUPS = (taken("A", "01:00:00"), taken("B", "02:00:00"), taken("C", "03:00:00", "00000002"))
CANARY = ArchiveEnd("000000020000000000000009", at("04:00:00"))
# backups, whose turn was last, label, target when chance chooses the latest moment
POINTS = [
    pytest.param(BACKUPS, "", "A", "time 2026-01-05 01:58:00+00:00", id="before a later backup of its timeline"),
    pytest.param(BACKUPS, "A", "B", "immediate", id="the last of its timeline"),
    pytest.param(BACKUPS, "B", "A", "time 2026-01-05 01:58:00+00:00", id="after the last comes the first"),
    pytest.param(BACKUPS, "Z", "A", "time 2026-01-05 01:58:00+00:00", id="the former one has expired"),
    pytest.param(BACKUPS[2:], "", "C", "time 2026-01-05 03:59:59+00:00", id="the only one, before the canary"),
    pytest.param((replace(BACKUPS[0], error=True), *BACKUPS[1:]), "", "B", "immediate", id="a damaged one"),
]


@pytest.mark.parametrize(("backups", "last", "label", "target"), POINTS)
def test_the_next_older_point(backups: tuple[Backup, ...], last: str, label: str, target: str) -> None:
    point = older_point(backups, last, CANARY, lambda first, latest: latest, timed=True)
    assert point is not None
    assert (point.backup.label, str(point.target), point.target.timeline) == (label, target, "current")


def test_the_earliest_moment_is_the_backup_s_end() -> None:
    point = older_point(BACKUPS, "", CANARY, lambda first, latest: first, timed=True)
    assert str(point and point.target) == "time 2026-01-05 01:00:00+00:00"


@pytest.mark.parametrize(
    ("backups", "written"),
    [((), CANARY), (BACKUPS[:1], CANARY), (BACKUPS[2:], ArchiveEnd("000000020000000000000009", None))],
    ids=["no backup", "only one, whose timeline was left", "only one, and no canary"],
)
def test_no_older_point(backups: tuple[Backup, ...], written: ArchiveEnd) -> None:
    assert older_point(backups, "", written, lambda first, latest: latest, timed=True) is None


def test_an_older_point_without_a_time() -> None:
    point = older_point(BACKUPS, "", CANARY, lambda first, latest: latest, timed=False)
    assert str(point and point.target) == "immediate"
