# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils.component import (
    MASK,
    MASK_CHANGED,
    Changes,
    FoundPath,
    FoundUnit,
    Kind,
    Ownership,
    PathChange,
    Purge,
    WantedPath,
    WantedUnit,
    absence,
    needs_daemon_reload,
    parse_units,
    plan_paths,
    plan_purge,
    plan_unit,
    purged_units,
    unit_of,
    unit_trial,
    unread_values,
)

CASES = yaml.safe_load(Path(__file__).with_name("component_cases.yml").read_text(encoding="utf-8"))
RUNNING = {
    "load_state": "loaded",
    "active_state": "active",
    "unit_file_state": "enabled",
    "started_at": 100.0,
    "state_changed_at": 200.0,
}
SHOWN = """\
Id=haproxy.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no
InactiveExitTimestamp=Mon 2026-01-05 10:11:12.500000 UTC
StateChangeTimestamp=Mon 2026-01-05 10:11:13.000000 UTC

Id=other.service
LoadState=not-found
ActiveState=inactive
UnitFileState=
NeedDaemonReload=yes
InactiveExitTimestamp=
StateChangeTimestamp=n/a
"""


def identify(case: dict[str, Any]) -> str:
    return case["name"].replace(" ", "-")


@pytest.mark.parametrize("case", CASES["units"], ids=identify)
def test_plan_unit(case: dict[str, Any]) -> None:
    wanted = WantedUnit("a.service", **case.get("wanted", {}))
    found = FoundUnit(**{**RUNNING, **case.get("found", {})})
    changes = Changes(frozenset(case.get("changing", [])), case.get("modified", {}))

    plan = plan_unit(wanted, found, changes)

    assert list(plan.verbs) == case["verbs"]
    assert plan.stale == case.get("stale", False)


def ownership(item: dict[str, Any]) -> Ownership:
    return Ownership(item.get("owner", "root"), "root", item.get("mode", 0o644))


@pytest.mark.parametrize("case", CASES["paths"], ids=identify)
def test_plan_paths(case: dict[str, Any]) -> None:
    kinds = {side: Kind(case[side]["kind"]) for side in ("wanted", "found")}
    owned = {side: None if kinds[side] is Kind.NOTHING else ownership(case[side]) for side in kinds}
    wanted = WantedPath("/etc/a", kinds["wanted"], owned["wanted"], case["wanted"].get("content"))
    found = FoundPath(kinds["found"], owned["found"], case["found"].get("content"))

    assert bool(plan_paths([wanted], {"/etc/a": found})) == case["changes"]


def test_a_secret_is_not_in_the_diff() -> None:
    owner = Ownership("root", "root", 0o600)
    wanted = WantedPath("/etc/a", Kind.FILE, owner, "new-secret", secret=True)
    diff = PathChange(wanted, FoundPath(Kind.FILE, owner, "old-secret")).as_diff()

    assert "secret\n" not in diff["before"] + diff["after"]
    assert MASK in diff["before"]
    assert MASK_CHANGED in diff["after"]


def test_a_secret_file_with_another_mode_only_is_not_in_the_diff_either() -> None:
    wanted = WantedPath("/etc/a", Kind.FILE, Ownership("root", "root", 0o600), "the-secret", secret=True)
    diff = PathChange(wanted, FoundPath(Kind.FILE, Ownership("root", "root", 0o644), "the-secret")).as_diff()

    assert "the-secret" not in str(diff)


def test_parse_units() -> None:
    units = parse_units(SHOWN)

    assert units["haproxy.service"].state_changed_at - units["haproxy.service"].started_at == 0.5
    assert units["other.service"] == FoundUnit(needs_daemon_reload=True)


@pytest.mark.parametrize(
    ("paths", "units", "needed"),
    [
        (["/etc/systemd/system/a.service"], [FoundUnit()], True),
        (["/etc/a"], [FoundUnit(needs_daemon_reload=True)], True),
        (["/etc/a"], [FoundUnit()], False),
    ],
)
def test_needs_daemon_reload(paths: list[str], units: list[FoundUnit], needed: bool) -> None:
    assert needs_daemon_reload(paths, units) == needed


UNITS = "/etc/systemd/system"
JOB = WantedPath(f"{UNITS}/job-a.timer", Kind.FILE, Ownership("root", "root", 0o644), "a")


def purge(*found: str, keep: tuple[str, ...] = ()) -> list[WantedPath]:
    return plan_purge([Purge(found, frozenset(keep))], [JOB])


def test_purging_spares_what_is_declared_or_kept() -> None:
    purged = purge(JOB.path, f"{UNITS}/job-b.timer", f"{UNITS}/job-c.timer", keep=(f"{UNITS}/job-c.timer",))

    assert [(item.path, item.kind) for item in purged] == [(f"{UNITS}/job-b.timer", Kind.NOTHING)]


def test_a_purged_path_is_named_once_however_many_patterns_find_it() -> None:
    purged = plan_purge([Purge(("/etc/x/b",)), Purge(("/etc/x/a", "/etc/x/b"))], [])

    assert [item.path for item in purged] == ["/etc/x/a", "/etc/x/b"]


def test_the_content_of_a_purged_file_is_not_in_the_diff_unless_it_is_a_unit() -> None:
    file = FoundPath(Kind.FILE, Ownership("root", "root", 0o644), "what it held")
    unit, secret = (PathChange(item, file).as_diff() for item in purge(f"{UNITS}/job-b.timer", "/etc/x/job.json"))

    assert "what it held" not in str(secret)
    assert "what it held" in unit["before"]
    assert secret["after"] == unit["after"] == ""


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        (f"{UNITS}/a.timer", "a.timer"),
        (f"{UNITS}/timers.target.wants/a.timer", "a.timer"),
        (f"{UNITS}/a@b.service", "a@b.service"),
        (f"{UNITS}/a@.service", None),
        (f"{UNITS}/a.service.d/b.conf", None),
        (f"{UNITS}/a.service.d/b.service", None),
        ("/etc/x/a.timer", None),
    ],
)
def test_unit_of(path: str, unit: str | None) -> None:
    assert unit_of(path) == unit


def test_purged_units_end_timers_first_and_leave_declared_ones_alone() -> None:
    purged = purge(f"{UNITS}/job-b.service", f"{UNITS}/timers.target.wants/job-b.timer", f"{UNITS}/job-d.service")
    ends = purged_units(purged, ["job-d.service"])

    assert [unit.name for unit in ends] == ["job-b.timer", "job-b.service"]
    assert not any(unit.started or unit.enabled for unit in ends)


CONFIG = """\
restapi:
  authentication:
    username: "holdfast"
    password: "{secret}"
dcs: {{"ttl": {ttl}, "password": "{secret}"}}
"""


@pytest.mark.parametrize("secret", ["never-show-me", 'never \\"show: me', "never # show = me"])
@pytest.mark.parametrize(("ttl", "other"), [(20, "never-show-me-2"), (30, "never-show-me")])
def test_only_the_values_of_secret_keys_are_masked(secret: str, ttl: int, other: str) -> None:
    wanted = WantedPath("/x", Kind.FILE, None, CONFIG.format(secret=secret, ttl=20), True, secret_keys=("password",))
    found = FoundPath(Kind.FILE, None, CONFIG.format(secret=other, ttl=ttl))
    diff = PathChange(wanted, found).as_diff()
    assert "never" not in diff["before"] + diff["after"]
    assert '"ttl": 20' in diff["after"]
    assert f'"ttl": {ttl}' in diff["before"]
    assert diff["before"] != diff["after"]


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("/etc/systemd/system/a@full.timer", ["a@full.timer"]),
        ("/etc/systemd/system/etcd.service.d/holdfast.conf", ["etcd.service", "etcd.service.d/holdfast.conf"]),
        ("/etc/systemd/system/etcd.timer.d/holdfast.conf", []),
        ("/etc/systemd/system/timers.target.wants/a.timer", []),
        ("/etc/a.conf", []),
    ],
)
def test_systemd_reads_a_unit_or_a_drop_in_under_its_name(path, files):
    trial = unit_trial(path, "[Timer]\n")
    assert list(trial) == files
    assert list(trial.values())[-1:] == ["[Timer]\n"] * bool(files)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("Failed to parse calendar specification, ignoring: Sun 25:00", 2),
        ("Failed to parse sec value, ignoring: 12 hourz", 3),
        ("Failed to parse RandomizedDelaySec=12 hourz, ignoring: Invalid argument", 3),
        ("Invalid memory limit 'lots', ignoring: Invalid argument", 4),
        ("Unknown key name 'New' in section 'Timer', ignoring.", None),
    ],
)
def test_a_value_that_systemd_passes_over_is_told(said, line):
    content = "[Timer]\nOnCalendar=Sun 25:00\nRandomizedDelaySec=12 hourz\nMemoryMax=lots\nNew=1\n"
    output = f"/tmp/x/a.timer:{line or 5}: {said}\n/etc/systemd/system/b.timer:1: {said}\na.timer: refusing\n"
    expected = [f"{content.splitlines()[line - 1]} ({said.partition(', ignoring')[0]})"] if line else []
    assert unread_values(output, "/tmp/x/a.timer", content) == expected


OPEN, PRIVATE = Ownership("root", "root", 0o644), Ownership("root", "postgres", 0o640)


@pytest.mark.parametrize(
    ("wanted", "found", "shown"),
    [
        (WantedPath("/x", Kind.FILE, OPEN, "new"), PRIVATE, False),
        (WantedPath("/x", Kind.FILE, PRIVATE, "new"), PRIVATE, False),
        (WantedPath("/x", Kind.FILE, OPEN, "new", secret=True), OPEN, False),
        (absence("/etc/pgbackrest-repo1.key"), OPEN, False),
        (absence("/etc/systemd/system/a.service"), OPEN, True),
        (absence("/etc/systemd/system/a.service"), PRIVATE, False),
        (WantedPath("/x", Kind.FILE, OPEN, "new"), OPEN, True),
    ],
)
def test_what_was_private_or_goes_is_not_shown(wanted: WantedPath, found: Ownership, shown: bool) -> None:
    diff = PathChange(wanted, FoundPath(Kind.FILE, found, "S3CRET\n")).as_diff()
    assert ("S3CRET" in diff["before"]) is shown


HBA = "hostssl all all 10.0.0.0/8 scram-sha-256\nhost a b c ldap {option}\n"


@pytest.mark.parametrize(
    "option", ["ldapbindpasswd=S3CRET", '"ldapbindpasswd=S3 CRET"', 'radiussecrets="""S3CRET"",""S3"""']
)
def test_a_pg_hba_file_s_other_lines_are_shown(option: str) -> None:
    wanted = WantedPath("/x", Kind.FILE, PRIVATE, HBA.format(option=option), True, secret_keys=("ldapbindpasswd",))
    diff = PathChange(wanted, FoundPath(Kind.FILE, PRIVATE, "local all all peer\n")).as_diff()
    assert "S3" not in diff["after"]
    assert "10.0.0.0/8 scram-sha-256\nhost a b c ldap" in diff["after"]
    assert "local all all peer" in diff["before"]


@pytest.mark.parametrize(("ownership", "shown"), [(PRIVATE, False), (OPEN, True)])
def test_what_is_named_a_secret_in_a_private_file_is_not_shown(ownership: Ownership, shown: bool) -> None:
    wanted = WantedPath("/x", Kind.FILE, ownership, "ttl: 20\npassword: S3CRET\n")
    diff = PathChange(wanted, FoundPath(Kind.NOTHING)).as_diff()
    assert ("S3CRET" in diff["after"]) is shown
    assert "ttl: 20" in diff["after"]
