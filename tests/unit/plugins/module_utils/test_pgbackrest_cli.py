# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import PgBackRestError
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import (
    KEEPS_MEMORY,
    Answer,
    Deadline,
    PartlyError,
    PgBackRest,
    client_of,
    converge_backup,
    converge_stanza,
)
from ansible_collections.holdfast.ha.plugins.modules import pgbackrest_backup

NOW = 1_800_000_000
COMMANDS = frozenset({"info", "repo-ls", "stanza-create", "stanza-upgrade", "stanza-delete"}) | {
    "start",
    "stop",
    "check",
    "backup",
    "version",
    "server-ping",
}

# exit code, output
Reply = tuple[int, str]
OK: Reply = (0, "")
EMPTY: Reply = (0, "{}")


def info(code: int, backups: Sequence[str] = (), locked: bool = False) -> Reply:
    stanza = {
        "name": "lab",
        "status": {"code": code, "message": f"status {code}", "lock": {"backup": {"held": locked}}},
        "db": [{"id": 1, "system-id": 1, "version": "17"}],
        "backup": [
            {
                "label": label,
                "type": "full",
                "timestamp": {"start": NOW - 60, "stop": NOW - 30},
                "info": {"size": 1, "repository": {"delta": 1}},
                "database": {"id": 1},
            }
            for label in backups
        ],
    }
    return 0, json.dumps([stanza])


def in_each(*replies: Reply) -> Reply:
    """One answer for a stanza that is in repository 1 as in the first of the answers, in 2 as in the second."""
    stanzas = [json.loads(text)[0] for _code, text in replies]
    merged: dict[str, Any] = {**stanzas[0], "repo": [], "db": [], "backup": []}
    for key, stanza in enumerate(stanzas, 1):
        merged["repo"].append({"key": key, "cipher": "none", "status": stanza["status"]})
        merged["db"] += [{**database, "repo-key": key} for database in stanza["db"]]
        merged["backup"] += [{**each, "database": {"id": 1, "repo-key": key}} for each in stanza["backup"]]
    return 0, json.dumps([merged])


MISSING = info(1)
READY = info(2)
BACKED_UP = info(0, ["F1"])


@dataclass
class FakeHost:
    """Answers commands in the scripted order, and remembers them."""

    script: list[tuple[str, Reply]]
    commands: list[str] = field(default_factory=list)
    arguments: list[list[str]] = field(default_factory=list)

    def __call__(self, argv: Sequence[str]) -> tuple[int, str, str]:
        command = next(word for word in argv if word in COMMANDS)
        assert self.script, f"unexpected {command}"
        expected, (code, output) = self.script.pop(0)
        assert command == expected
        self.commands.append(command)
        self.arguments.append(list(argv))
        return (code, output, "") if code == 0 else (code, "", f"P00  ERROR: [{code:03}]: {output}")


class FakeDeadline(Deadline):
    """A deadline whose clock only moves while it sleeps."""

    def __init__(self, seconds: float) -> None:
        self.clock = 0.0
        super().__init__(seconds, now=lambda: self.clock, sleep=self._pass)

    def _pass(self, seconds: float) -> None:
        self.clock += seconds


# name, check, script, actions, result of the check
STANZA_CASES: list[tuple[str, str, list[tuple[str, Reply]], tuple[str, ...], str]] = [
    ("present and proven", "always", [("info", READY), ("check", OK)], (), "passed"),
    ("present, not asked", "changed", [("info", READY)], (), "not_run"),
    (
        "created",
        "changed",
        [
            ("info", MISSING),
            ("repo-ls", EMPTY),
            ("repo-ls", EMPTY),
            ("stanza-create", OK),
            ("check", OK),
            ("info", READY),
        ],
        ("create",),
        "passed",
    ),
    (
        "created without a proof",
        "never",
        [("info", MISSING), ("repo-ls", EMPTY), ("repo-ls", EMPTY), ("stanza-create", OK), ("info", READY)],
        ("create",),
        "not_run",
    ),
    (
        "interrupted creation",
        "never",
        [
            ("info", info(3)),
            ("repo-ls", (0, '{"archive.info": {}}')),
            ("repo-ls", EMPTY),
            ("stop", OK),
            ("stanza-delete", OK),
            ("stanza-create", OK),
            ("info", READY),
        ],
        ("delete", "create"),
        "not_run",
    ),
    (
        "an interrupted creation is still at work",
        "never",
        [
            ("info", info(3)),
            ("repo-ls", (0, '{"archive.info": {}}')),
            ("repo-ls", EMPTY),
            ("stop", OK),
            ("stanza-delete", (50, "unable to acquire lock")),
            ("start", OK),
            ("info", READY),
        ],
        (),
        "not_run",
    ),
    (
        "the primary is starting",
        "never",
        [
            ("info", MISSING),
            ("repo-ls", EMPTY),
            ("repo-ls", EMPTY),
            ("stanza-create", (56, "unable to find primary cluster")),
            ("stanza-create", (49, "unable to connect")),
            ("stanza-create", OK),
            ("info", READY),
        ],
        ("create",),
        "not_run",
    ),
    (
        "the database is a new one, no backup is at stake",
        "always",
        [
            ("info", READY),
            ("check", (28, "do not match the database")),
            ("stanza-upgrade", OK),
            ("check", OK),
            ("info", READY),
        ],
        ("upgrade",),
        "passed",
    ),
    ("a backup runs", "always", [("info", READY), ("check", (50, "unable to acquire lock"))], (), "backup_running"),
    (
        "archiving comes late",
        "always",
        [("info", READY), ("check", (82, "WAL segment was not archived")), ("check", OK)],
        (),
        "passed",
    ),
]


@pytest.mark.parametrize(
    ("check", "script", "actions", "result"), [pytest.param(*case[1:], id=case[0]) for case in STANZA_CASES]
)
def test_converge_stanza(check: str, script: list[tuple[str, Reply]], actions: tuple[str, ...], result: str) -> None:
    host = FakeHost(list(script))
    outcome = converge_stanza(PgBackRest(host), "lab", check, FakeDeadline(30), dry_run=False)
    assert outcome.actions == actions
    assert outcome.check == result
    assert not host.script


# name, script, error
STANZA_FAILURES: list[tuple[str, list[tuple[str, Reply]], str]] = [
    ("a lasting failure ends at once", [("info", READY), ("check", (87, "archive_mode must be enabled"))], "code 87"),
    ("a stop file is an operator's will", [("info", READY), ("check", (62, "stop file exists"))], "stop file exists"),
    ("a command hangs", [("info", READY), ("check", (124, ""))], "code 124"),
    ("info fails", [("info", (31, "option invalid"))], "info failed with code 31: .*option invalid"),
    (
        "backups without info files",
        [("info", info(3)), ("repo-ls", EMPTY), ("repo-ls", (0, '{"20260105-010000F": {}}'))],
        "still holds the backup sets 20260105-010000F",
    ),
    (
        "another database's backups",
        [("info", BACKED_UP), ("check", (28, "do not match the database"))],
        "1 backups repository 1 holds, newest F1; .*restore.yml.*pgbackrest_stanza_upgrade=true",
    ),
    (
        "a passing failure that lasts",
        [("info", READY), *[("check", (82, "not archived"))] * 31],
        "code 82: .*not archived",
    ),
]


@pytest.mark.parametrize(("script", "error"), [pytest.param(*case[1:], id=case[0]) for case in STANZA_FAILURES])
def test_converge_stanza_fails(script: list[tuple[str, Reply]], error: str) -> None:
    host = FakeHost(list(script))
    with pytest.raises(PgBackRestError, match=error):
        converge_stanza(PgBackRest(host), "lab", "always", FakeDeadline(30), dry_run=False)
    assert not host.script


def test_an_upgrade_that_is_allowed_keeps_the_former_backups() -> None:
    mismatch = ("check", (28, "do not match the database"))
    host = FakeHost([("info", BACKED_UP), mismatch, ("stanza-upgrade", OK), ("check", OK), ("info", BACKED_UP)])
    outcome = converge_stanza(PgBackRest(host), "lab", "always", FakeDeadline(30), dry_run=False, upgrade=True)
    assert outcome.actions == ("upgrade",)
    assert outcome.after[0].backups
    assert not host.script


def test_a_second_repository_gets_the_stanza() -> None:
    leftovers = (0, '{"archive.info": {}}')
    script: list[tuple[str, Reply]] = [
        ("info", in_each(BACKED_UP, info(3))),
        ("repo-ls", leftovers),
        ("repo-ls", EMPTY),
        ("stop", OK),
        ("stanza-delete", OK),
        ("stanza-create", OK),
        ("check", OK),
        ("info", in_each(BACKED_UP, READY)),
    ]
    host = FakeHost(script)
    outcome = converge_stanza(PgBackRest(host), "lab", "changed", FakeDeadline(30), dry_run=False)
    assert (outcome.actions, outcome.check) == (("delete", "create"), "passed")
    assert [stanza.message for stanza in outcome.after] == ["status 0", "status 2"]
    about_one = [argv for argv in host.arguments if {"repo-ls", "stanza-delete"} & set(argv)]
    assert all("--repo=2" in argv for argv in about_one)


def test_a_second_repository_is_no_way_around_the_former_backups() -> None:
    lost = in_each(MISSING, BACKED_UP)
    script: list[tuple[str, Reply]] = [("info", lost), ("repo-ls", EMPTY), ("repo-ls", EMPTY)]
    mismatch = ("stanza-create", (28, "do not match the database"))
    with pytest.raises(PgBackRestError, match="1 backups repository 2 holds"):
        converge_stanza(PgBackRest(FakeHost([*script, mismatch])), "lab", "always", FakeDeadline(30), dry_run=False)
    rest: list[tuple[str, Reply]] = [("stanza-upgrade", (55, "missing")), ("stanza-create", OK), ("info", lost)]
    host = FakeHost([*script, mismatch, *rest])
    outcome = converge_stanza(PgBackRest(host), "lab", "never", FakeDeadline(30), dry_run=False, upgrade=True)
    assert outcome.actions == ("create", "upgrade")


@pytest.mark.parametrize(("first", "partly"), [(BACKED_UP, True), (info(99), False)])
def test_a_repository_out_of_reach(first: Reply, partly: bool) -> None:
    unread: list[tuple[str, Reply]] = [("repo-ls", (49, "no route")), ("repo-ls", (49, "no route"))]
    host = FakeHost([("info", in_each(first, info(99))), *unread])
    with pytest.raises(PgBackRestError, match="no route") as caught:
        converge_stanza(PgBackRest(host), "lab", "always", FakeDeadline(30), dry_run=False)
    assert isinstance(caught.value, PartlyError) == partly


@pytest.mark.parametrize("failing", [1, 2])
def test_a_repository_that_fails_keeps_no_other_from_its_backup(failing: int) -> None:
    none, one = in_each(READY, READY), in_each(BACKED_UP, BACKED_UP)
    backups: dict[int, list[tuple[str, Reply]]] = {
        repository: [("info", none), ("backup", (56, "broken"))]
        if repository == failing
        else [("info", none), ("backup", OK), ("info", one)]
        for repository in (1, 2)
    }
    host = FakeHost([("info", none), *backups[1], *backups[2]])
    params = {"stanza": "lab", "type": "full", "max_age": None, "timeout": 30, "repository": None}
    outcomes, errors = pgbackrest_backup.converge(PgBackRest(host), params, dry_run=False)
    assert [outcome.repository for outcome in outcomes] == [3 - failing]
    assert [error.partition(":")[0] for error in errors] == [f"repository {failing}"]
    taken = [word for argv in host.arguments if "backup" in argv for word in argv if word.startswith("--repo=")]
    assert taken == ["--repo=1", "--repo=2"]
    assert pgbackrest_backup.result(outcomes, "full")["changed"] is True


def test_check_mode_asks_the_repository_only() -> None:
    host = FakeHost([("info", MISSING), ("repo-ls", EMPTY), ("repo-ls", EMPTY)])
    outcome = converge_stanza(PgBackRest(host), "lab", "always", FakeDeadline(30), dry_run=True)
    assert outcome.actions == ("create",)
    assert outcome.check == "not_run"


# name, script, step, label of the serving backup
BACKUP_CASES: list[tuple[str, list[tuple[str, Reply]], str, str]] = [
    ("one serves", [("info", BACKED_UP)], "keep", "F1"),
    ("none serves", [("info", READY), ("backup", OK), ("info", BACKED_UP)], "take", "F1"),
    ("another one serves in the end", [("info", info(2, locked=True)), ("info", BACKED_UP)], "keep", "F1"),
    (
        "the lock is held elsewhere",
        [("info", READY), ("backup", (50, "lock")), ("info", READY), ("backup", OK), ("info", BACKED_UP)],
        "take",
        "F1",
    ),
]


@pytest.mark.parametrize(("script", "step", "label"), [pytest.param(*case[1:], id=case[0]) for case in BACKUP_CASES])
def test_converge_backup(script: list[tuple[str, Reply]], step: str, label: str) -> None:
    host = FakeHost(list(script))
    outcome = converge_backup(PgBackRest(host), "lab", "full", None, FakeDeadline(30), dry_run=False, now=lambda: NOW)
    assert outcome.step == step
    assert outcome.backup is not None
    assert outcome.backup.label == label
    assert not host.script


# name, script, error
BACKUP_FAILURES: list[tuple[str, list[tuple[str, Reply]], str]] = [
    ("the lock stays", [("info", info(2, locked=True))] * 31, "another backup still holds the lock after 30 s"),
    ("the deadline ends it", [("info", READY), ("backup", (124, ""))], "the full backup was ended after 30 s"),
    ("pgBackRest fails", [("info", READY), ("backup", (56, "no primary"))], "backup failed with code 56"),
]


@pytest.mark.parametrize(("script", "error"), [pytest.param(*case[1:], id=case[0]) for case in BACKUP_FAILURES])
def test_converge_backup_fails(script: list[tuple[str, Reply]], error: str) -> None:
    host = FakeHost(list(script))
    with pytest.raises(PgBackRestError, match=error):
        converge_backup(PgBackRest(host), "lab", "full", None, FakeDeadline(30), dry_run=False, now=lambda: NOW)


def test_check_mode_takes_no_backup() -> None:
    host = FakeHost([("info", READY)])
    outcome = converge_backup(PgBackRest(host), "lab", "full", None, FakeDeadline(30), dry_run=True, now=lambda: NOW)
    assert outcome.step == "take"
    assert outcome.backup is None


def test_commands_run_as_the_owner_with_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    host = FakeHost([("backup", OK)])
    PgBackRest(host, config="/etc/own.conf").run("backup", "--type=full", stanza="lab", timeout=60)
    expected = "runuser -u postgres -- timeout 60 pgbackrest --config=/etc/own.conf --stanza=lab backup --type=full"
    assert host.arguments == [expected.split()]


def test_the_owner_itself_needs_no_runuser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    host = FakeHost([("version", (0, "pgBackRest 2.55.1"))])
    assert PgBackRest(host).version() == "2.55.1"
    assert host.arguments == [["pgbackrest", "version"]]


@pytest.mark.parametrize(("free", "told"), [(2**20, True), (2**40, False)])
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, told: bool) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _path: SimpleNamespace(free=free))
    error = f"[064]: raised from local-2 protocol: unable to write '{tmp_path}/20260105-030000F/pg_data/base/1.pgbi'"
    answer = Answer("backup", 64, f"P00  ERROR: {error}", "")
    assert error in answer.error
    assert (f"the disk of {tmp_path} is full, 1 MiB are free" in answer.error) is told


def test_another_error_says_nothing_of_disks() -> None:
    assert "disk" not in Answer("backup", 56, "ERROR: no primary", "").error


def test_what_a_module_runs_keeps_its_memory_and_prints_text() -> None:
    given: list[dict[str, Any]] = []

    def run_command(_argv: list[str], **options: Any) -> tuple[int, str, str]:
        given.append(options)
        return 0, "{}", ""

    module: Any = SimpleNamespace(params={"user": "postgres", "config": None}, run_command=run_command)
    client_of(module).run("info")
    assert given[0]["environ_update"] == {"LC_ALL": "C.UTF-8", **KEEPS_MEMORY}
    assert given[0]["errors"] == "replace"


CONFIG = """
[global]
io-timeout=5
[lab]
pg1-path=/data
pg1-port=5432
pg1-host=198.51.100.11
pg1-host-port=8432
pg2-path=/data
pg2-port=5433
[lab:check]
pg3-path=/elsewhere
"""
ARCHIVED = "INFO: WAL segment 000000010000000000000001 successfully archived to '/repo'"
# what the server of pg1's host answers, and check -> the outcome, who was silent
SILENCE_CASES = [
    pytest.param(OK, OK, (0, ()), id="all answer"),
    pytest.param((49, "timeout"), (0, ARCHIVED), (0, ("198.51.100.11",)), id="a standby is silent"),
    pytest.param((49, "timeout"), OK, (49, ("198.51.100.11",)), id="without a primary check has nothing to archive"),
    pytest.param((49, "timeout"), (27, "no database found"), (49, ("198.51.100.11",)), id="no primary is left"),
    pytest.param((42, "timeout"), (82, "not archived"), (82, ("198.51.100.11",)), id="archiving fails all the same"),
]


@pytest.mark.parametrize(("ping", "reply", "expected"), SILENCE_CASES)
def test_a_silent_host_is_left_out_of_the_check(
    tmp_path: Path, ping: Reply, reply: Reply, expected: tuple[int, tuple[str, ...]]
) -> None:
    (tmp_path / "pgbackrest.conf").write_text(CONFIG)
    host = FakeHost([("server-ping", ping), ("check", reply)])
    client = PgBackRest(host, config=str(tmp_path / "pgbackrest.conf"), listens=lambda _host, _port: True)
    answer, silent = client.check(stanza="lab", timeout=30)
    assert (answer.code, silent) == expected
    given = [word for word in host.arguments[1] if "pg1-" in word or "pg2-" in word]
    assert given == (
        [
            "--pg1-path=/data",
            "--pg1-port=5433",
            "--reset-pg1-host",
            "--reset-pg1-host-port",
            "--reset-pg2-path",
            "--reset-pg2-port",
        ]
        if silent
        else []
    )


def test_where_nobody_answers_the_check_is_not_begun(tmp_path: Path) -> None:
    (tmp_path / "pgbackrest.conf").write_text("[lab]\npg1-path=/data\npg1-host=198.51.100.11\n")
    off = PgBackRest(FakeHost([]), config=str(tmp_path / "pgbackrest.conf"), listens=lambda _host, _port: False)
    answer, silent = off.check(stanza="lab", timeout=30)
    assert "no database host answers: 198.51.100.11" in answer.error
    assert silent == ("198.51.100.11",)
