# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fcntl
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.module_utils import rolling_lock
from ansible_collections.holdfast.ha.plugins.module_utils.rolling_lock import (
    HeldError,
    Lock,
    LockFile,
    Now,
    acquire,
    in_force,
    parse,
    released,
)
from ansible_collections.holdfast.ha.plugins.module_utils.safe_path import UnsafePathError
from ansible_collections.holdfast.ha.plugins.modules import rolling_lock as module

from tests.unit.planting import Host, make_host, needs_root

NOW = Now(1000.0, "boot")
THEIRS = Lock("theirs", "update.yml", "eve@admin2", 900.0, 1060.0, "boot")
MINE = Lock("mine", "reboot.yml", "ann@admin1", 1000.0, 1300.0, "boot")
WANTED = {"run": "mine", "verb": "reboot.yml", "controller": "ann@admin1"}


@pytest.mark.parametrize(
    ("lock", "valid"),
    [
        (None, False),
        (THEIRS, True),
        (replace(THEIRS, until=1000.0), False),
        (replace(THEIRS, boot="the one before"), False),
    ],
)
def test_in_force(lock: Lock | None, valid: bool) -> None:
    assert (in_force(lock, NOW) is not None) is valid
    assert released(lock, "mine", NOW) is not valid


def test_a_run_renews_its_own() -> None:
    held = replace(MINE, begun=700.0, until=1010.0)
    assert acquire(held, MINE, NOW) == replace(MINE, begun=700.0)
    assert released(held, "mine", NOW)


def test_another_is_refused() -> None:
    with pytest.raises(HeldError) as refused:
        acquire(THEIRS, MINE, NOW)
    for part in ("update.yml", "eve@admin2", "since 1970-01-01 00:15:00 UTC", "until 1970-01-01 00:17:40", "wait 60 s"):
        assert part in str(refused.value)


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"[]", b"{}", b'{"run": 1}', b"null"])
def test_other_content_is_no_lock(content: bytes | None) -> None:
    assert parse(content) is None


class Clock:
    """The host's time, which passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> Now:
        return self.now

    def monotonic(self) -> float:
        return self.now.time

    def sleep(self, seconds: float) -> None:
        self.now = replace(self.now, time=self.now.time + seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def host() -> Iterator[Host]:
    yield from make_host()


@pytest.fixture
def path(host: Host) -> Path:
    return host.root / "run" / "rolling.json"


@needs_root
def test_held_renewed_and_released(path: Path, clock: Clock) -> None:
    file = LockFile(str(path), clock)
    assert file.hold(WANTED, 300, 0, check_mode=False) == MINE
    status = path.stat()
    assert (status.st_uid, oct(status.st_mode & 0o7777)) == (0, "0o644")
    clock.sleep(100)
    renewed = file.hold(WANTED, 300, 0, check_mode=False)
    assert (renewed.begun, renewed.until) == (1000.0, 1400.0)
    assert file.release("theirs", check_mode=False) == renewed
    assert file.release("mine", check_mode=False) is None
    assert not path.exists()
    assert file.release("mine", check_mode=False) is None


@needs_root
@pytest.mark.parametrize(("patience", "waits"), [(59, False), (61, True)])
def test_patience(path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, patience: float, waits: bool) -> None:
    monkeypatch.setattr(time, "monotonic", clock.monotonic)
    monkeypatch.setattr(time, "sleep", clock.sleep)
    file = LockFile(str(path), clock)
    file.hold({**WANTED, "run": "theirs"}, 60, 0, check_mode=False)
    if not waits:
        with pytest.raises(HeldError):
            file.hold(WANTED, 300, patience, check_mode=False)
        return
    assert file.hold(WANTED, 300, patience, check_mode=False).begun == 1060.0


@needs_root
def test_a_lock_of_the_boot_before_is_void(path: Path, clock: Clock) -> None:
    LockFile(str(path), clock).hold({**WANTED, "run": "theirs"}, 60, 0, check_mode=False)
    clock.now = replace(clock.now, boot="next")
    assert LockFile(str(path), clock).hold(WANTED, 300, 0, check_mode=False).run == "mine"


@needs_root
def test_check_mode_writes_and_waits_not(path: Path, clock: Clock) -> None:
    file = LockFile(str(path), clock)
    assert file.hold(WANTED, 300, 0, check_mode=True).run == "mine"
    assert not path.parent.exists()
    file.hold({**WANTED, "run": "theirs"}, 60, 0, check_mode=False)
    with pytest.raises(HeldError):
        file.hold(WANTED, 300, 100, check_mode=True)
    assert clock.now.time == 1000.0
    file.release("theirs", check_mode=True)
    assert path.exists()


@needs_root
def test_of_many_at_once_one_has_it(path: Path) -> None:
    start, got = threading.Barrier(8), []

    def take(run: str) -> None:
        start.wait()
        try:
            got.append(LockFile(str(path), lambda: NOW).hold({**WANTED, "run": run}, 60, 0, check_mode=False).run)
        except HeldError:
            got.append("")

    threads = [threading.Thread(target=take, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run for run in got if run] == [json.loads(path.read_text())["run"]]


@needs_root
def test_a_process_waits_for_the_one_that_looks(path: Path) -> None:
    file = LockFile(str(path), lambda: NOW)
    file.hold(WANTED, 60, 0, check_mode=False)
    with (path.parent / f"{path.name}.lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        thread = threading.Thread(target=file.release, args=("mine", False))
        thread.start()
        thread.join(0.2)
        assert path.exists()
    thread.join()
    assert not path.exists()


@needs_root
def test_links_are_not_followed(host: Host, path: Path) -> None:
    path.parent.mkdir()
    for name in (path.name, f".{path.name}.new", f"{path.name}.lock"):
        (path.parent / name).symlink_to(host.secret)
    before = host.untouched()
    with pytest.raises(OSError, match=r"rolling\.json\.lock"):
        LockFile(str(path), lambda: NOW).hold(WANTED, 60, 0, check_mode=False)
    (path.parent / f"{path.name}.lock").unlink()
    LockFile(str(path), lambda: NOW).hold(WANTED, 60, 0, check_mode=False)
    assert not path.is_symlink()
    assert host.untouched() == before


@needs_root
def test_a_directory_of_others_is_refused(host: Host) -> None:
    with pytest.raises(UnsafePathError, match="others than root can write there"):
        LockFile(str(host.service / "rolling.json"), lambda: NOW).hold(WANTED, 60, 0, check_mode=False)


def run(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        module.main()
    return dict(json.loads(capsys.readouterr().out))


@needs_root
def test_the_module(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(module, "LockFile", lambda: LockFile(str(path)))
    held = run(capsys, state="held", **WANTED)
    assert (held["changed"], held["lock"]["run"]) == (False, "mine")
    assert held["lock"]["boot"] == rolling_lock.BOOT_ID.read_text().strip()
    refused = run(capsys, state="held", **{**WANTED, "run": "other"})
    assert (refused["failed"], refused["lock"]["run"]) == (True, "mine")
    assert run(capsys, state="released", run="mine")["lock"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"state": "held", "run": "mine"}, "missing: verb, controller"),
        ({"state": "held", **WANTED, "run": " "}, "run: is empty"),
        ({"state": "held", **WANTED, "seconds": 0}, "seconds: 0 is not above 0"),
        ({"state": "held", **WANTED, "seconds": 90000}, "seconds: 90000 is not above 0 and at most 86400"),
    ],
)
def test_bad_arguments(capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], message: str) -> None:
    assert message in run(capsys, **arguments)["msg"]
