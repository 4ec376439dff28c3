# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.pgbackrest_plan import KEYS, plan

DATABASES = [{"name": f"db{at}", "address": f"192.0.2.1{at}", "port": 5432} for at in (2, 1)]
REPOSITORY = {"name": "backup1", "address": "192.0.2.31"}
DOCUMENT: dict[str, Any] = {
    "name": "db1",
    "kinds": ["database"],
    "stanza": "lab",
    "repository": REPOSITORY,
    "databases": DATABASES,
    "repositories": [],
    "plain_repository": {"type": "posix", "path": "/var/lib/pgbackrest", "bundle": True},
    "tls_address": "*",
    "tls_files": ["/ca", "/cert", "/key"],
    "log_path": "/var/log/pgbackrest",
    "spool_path": "/var/spool/pgbackrest",
    "push_queue_max": "",
    "canary": True,
    "schedules": {"full": "Sun", "incr": "hourly"},
    "process_max": 0,
    "restore_process_max": 0,
    "config": "/etc/pgbackrest.conf",
    "version": "",
    "processors": 4,
    "installed": {"version": "2.55.1"},
}
BACKUP = {"name": "backup1", "kinds": ["repository"]}
SFTP = {"type": "sftp", "path": "/srv", "sftp_private_key": "\n-----BEGIN\n\n"}
SYSTEMD = "/etc/systemd/system"
LIBRARY = "/usr/local/lib/holdfast"
CANARY = [f"{LIBRARY}/canary.sql", f"{SYSTEMD}/holdfast-canary.service", f"{SYSTEMD}/holdfast-canary.timer"]
TIMER = f"{SYSTEMD}/pgbackrest-backup@%s.timer"
LINK = f"{SYSTEMD}/timers.target.wants/pgbackrest-backup@%s.timer"


def planned(**changes: Any) -> dict[str, Any]:
    return plan({**DOCUMENT, **changes})


def paths(items: list[dict[str, Any]]) -> list[str]:
    return [item["path"] for item in items]


def states(units: list[dict[str, Any]]) -> dict[str, bool]:
    return {item["name"]: item.get("state", "started") == "started" for item in units}


def test_a_database_host_archives_and_writes_the_canary() -> None:
    found = planned()
    assert paths(found["directories"]) == ["/var/log/pgbackrest", "/var/spool/pgbackrest", LIBRARY]
    programs = [f"{LIBRARY}/pgbackrest-push", f"{LIBRARY}/pgbackrest-get"]
    service = f"{SYSTEMD}/pgbackrest.service"
    assert paths(found["files"]) == [service, *programs, *CANARY]
    stops = ["/run/pgbackrest/lab.stop", "/run/pgbackrest/all.stop"]
    timers = [path % name for path in (TIMER, LINK) for name in ("full", "diff", "incr")]
    backup = [f"{SYSTEMD}/pgbackrest-backup@.service", f"{LIBRARY}/pgbackrest-each"]
    assert found["absent"] == [*stops, *timers, *backup, *KEYS]
    assert states(found["units"]) == {
        "pgbackrest.service": True,
        "holdfast-canary.timer": True,
        **{f"pgbackrest-backup@{name}.timer": False for name in ("full", "diff", "incr")},
    }
    assert found["units"][0]["reload_on"] == ["/etc/pgbackrest.conf", "/ca", "/cert", "/key"]


def test_a_repository_host_has_the_directories_and_the_scheduled_backups() -> None:
    found = planned(**BACKUP, repositories=[{}, SFTP, {"path": "/more"}])
    assert paths(found["directories"]) == ["/var/log/pgbackrest", "/var/lib/pgbackrest", "/more"]
    _service, *others, key = found["files"]
    backup = f"{SYSTEMD}/pgbackrest-backup@.service"
    assert paths(others) == [backup, TIMER % "full", TIMER % "incr", f"{LIBRARY}/pgbackrest-each"]
    content = {"content": "-----BEGIN\n", "secret": True}
    assert key == {"path": KEYS[1], "group": "postgres", "mode": "0640", **content}
    absent = [TIMER % "diff", LINK % "diff", *(path for path in KEYS if path != KEYS[1]), *CANARY]
    assert found["absent"][2:] == [*absent, f"{SYSTEMD}/timers.target.wants/holdfast-canary.timer"]
    assert states(found["units"]) == {
        "pgbackrest.service": True,
        "holdfast-canary.timer": False,
        "pgbackrest-backup@full.timer": True,
        "pgbackrest-backup@incr.timer": True,
        "pgbackrest-backup@diff.timer": False,
    }


def test_one_repository_needs_no_program_for_several() -> None:
    found = planned(**BACKUP)
    assert f"{LIBRARY}/pgbackrest-each" in found["absent"]
    assert (found["several"], len(found["repositories"])) == (False, 1)


@pytest.mark.parametrize("canary", [False, "no", ""])
def test_the_canary_goes_when_it_is_off(canary: object) -> None:
    found = planned(canary=canary)
    assert set(CANARY) < set(found["absent"])
    assert not states(found["units"])["holdfast-canary.timer"]


@pytest.mark.parametrize(
    ("host", "served", "peers"),
    [
        ({}, ["db1"], ["backup1"]),
        (BACKUP, ["db1", "db2"], ["db1", "db2"]),
        ({"name": "db2", "kinds": ["database", "repository"]}, ["db2", "db1"], ["db1"]),
    ],
)
def test_a_database_on_the_host_comes_first(host: dict[str, Any], served: list[str], peers: list[str]) -> None:
    found = planned(**host)
    assert [item["name"] for item in found["served"]] == served
    assert [item["name"] for item in found["peers"]] == peers


def test_an_element_is_completed_by_the_only_repository() -> None:
    first, second = planned(repositories=[{}, {**SFTP, "bundle": False}])["repositories"]
    assert {key: first[key] for key in ("type", "path", "bundle")} == DOCUMENT["plain_repository"]
    assert (second["path"], second["bundle"], second["sftp_private_key_file"]) == ("/srv", False, KEYS[1])
    own = planned(repositories=[{**SFTP, "sftp_private_key_file": "/key", "sftp_private_key": ""}])
    assert own["repositories"][0]["sftp_private_key_file"] == "/key"
    assert set(KEYS) <= set(own["absent"])


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({}, "*"),
        ({"repository": {"name": "backup1", "address": "2001:db8::31"}}, "::"),
        ({"databases": [{"name": "db1", "address": "2001:db8::11", "port": 5432}]}, "::"),
        ({"tls_address": "192.0.2.11", "repository": {"name": "b", "address": "::2"}}, "192.0.2.11"),
    ],
)
def test_the_server_listens_where_the_cluster_calls_it(changes: dict[str, Any], address: str) -> None:
    assert planned(**changes)["listens"] == address


@pytest.mark.parametrize(
    ("given", "installed", "size"),
    [
        ("", {}, ""),
        ("64GiB", {"volume_size": 2**30}, "64GiB"),
        ("60%", {"volume_size": 2**30}, "614MiB"),
        ("1%", {"volume_size": 2**30}, "64MiB"),
        ("60%", {}, ""),
    ],
)
def test_the_queue_takes_a_size_or_a_share_of_the_volume(given: str, installed: dict[str, int], size: str) -> None:
    found = planned(push_queue_max=given, installed=installed)
    assert (found["push_queue_max"], found["has_share"]) == (size, given.endswith("%"))
    assert not planned(**BACKUP, push_queue_max=given)["has_share"]


@pytest.mark.parametrize(
    ("given", "processors", "processes"),
    [
        ({}, 1, (1, 1, 1)),
        ({}, 2, (2, 1, 2)),
        ({}, 12, (6, 6, 12)),
        ({"process_max": "3"}, 12, (3, 3, 3)),
        ({"process_max": 3, "restore_process_max": 8}, 12, (3, 3, 8)),
    ],
)
def test_processes(given: dict[str, Any], processors: int, processes: tuple[int, int, int]) -> None:
    found = planned(**given, installed={"processors": processors})["processes"]
    assert (found["backup"], found["archive"], found["restore"]) == processes
    assert planned(**given, processors=processors)["processes"] == found


@pytest.mark.parametrize(
    ("given", "installed", "taken", "knows_blocks", "prefers_standby"),
    [
        ("", {}, "2.55", True, True),
        ("", {"version": "2.53.1"}, "2.53.1", True, False),
        ("2.45", {"version": "2.53.1"}, "2.45", False, False),
        ("2.54", {}, "2.54", True, True),
    ],
)
def test_a_version_knows_what_came_with_it(
    given: str, installed: dict[str, str], taken: str, knows_blocks: bool, prefers_standby: bool
) -> None:
    found = planned(version=given, installed=installed, repositories=[SFTP])
    assert found["version"] == taken
    assert (found["knows_blocks"], found["prefers_standby"]) == (knows_blocks, prefers_standby)
    assert found["lacks_sftp"] is not knows_blocks
    assert not planned(version=given, installed=installed)["lacks_sftp"]


def test_a_ninth_repository_is_refused() -> None:
    with pytest.raises(ValueError, match="pgbackrest_repositories has 9 elements: keep 8 at most"):
        planned(repositories=[{"path": f"/srv/{number}"} for number in range(9)])
