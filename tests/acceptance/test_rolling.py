# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""update.yml, restart.yml and reboot.yml on the lab, with clients that count every row. Needs the lab, four hours.

`lab.next_version` gives the packages a next version; what is installed then stays, and the source is gone at the end.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest
from backup_lab import PLAYBOOKS, backups
from lab_cluster import (
    BALANCERS,
    DATABASES,
    ENGINE,
    ENVIRONMENT,
    ROOT,
    SITE,
    VIP,
    Run,
    assert_converged,
    assert_healthy,
    attempt,
    await_evidence,
    command,
    kill_playbook_when,
    on_node,
    run_playbook,
    wait_until,
)

CLUSTER = (*DATABASES, *BALANCERS, "backup1")
UPDATE, RESTART, REBOOT = (PLAYBOOKS / f"{verb}.yml" for verb in ("update", "restart", "reboot"))
UNITS = {
    **dict.fromkeys(DATABASES, ("etcd", "patroni", "holdfast-pgbouncer", "pgbackrest")),
    **dict.fromkeys(BALANCERS, ("haproxy", "keepalived")),
    "backup1": ("pgbackrest",),
}
LANES = [(name, unit) for name, units in UNITS.items() for unit in units]
SERIES, KILLS = 2, 5
SEED = 22
KILLED_WITHIN = (20.0, 80.0)
"""Seconds after its begin in which an update is killed; one of all hosts takes longer than all of them."""
PATRONICTL = ("patronictl", "-c", "/etc/patroni/config.yml")
NEXT = "+holdfast"


# The lab


def everywhere(*arguments: str) -> None:
    """Run a command on all hosts of the cluster side by side."""
    with ThreadPoolExecutor(len(CLUSTER)) as pool:
        list(pool.map(lambda name: on_node(name, *arguments), CLUSTER))


def next_version(*packages: str, security: bool = False) -> None:
    """Give packages a next version, all of the stack without names. The hosts know it after apt-get update."""
    told = ["--security"] if security else []
    subprocess.run([sys.executable, "-m", "lab.next_version", "up", *told, *packages], cwd=ROOT, check=True)


def installed(name: str) -> dict[str, str]:
    """The version of each package on a host."""
    rows = on_node(name, "dpkg-query", "--show", "--showformat=${Package} ${Version}\n").splitlines()
    return dict(row.split(" ", 1) for row in rows)


def starts() -> dict[tuple[str, str], str]:
    """When each service of the stack started, on the clock of its host."""
    show = ("systemctl", "show", "--property=ExecMainStartTimestampMonotonic", "--value")
    return {(name, unit): on_node(name, *show, f"{unit}.service").strip() for name, unit in LANES}


def postmasters() -> dict[str, str]:
    """When each PostgreSQL started."""
    ask = ("runuser", "-u", "postgres", "--", "psql", "-XAtc", "SELECT pg_postmaster_start_time()")
    return {name: on_node(name, *ask).strip() for name in DATABASES}


def boots() -> dict[str, str]:
    """The number of each host's boot: the start of its first process."""
    return {name: on_node(name, "systemctl", "show", "--property=UserspaceTimestamp", "--value") for name in CLUSTER}


def state() -> tuple[Any, ...]:
    """What no run may touch that is refused or only looks."""
    return starts(), postmasters(), boots(), {name: installed(name) for name in CLUSTER}


# The runs


def options(**variables: Any) -> list[str]:
    """Extra variables for the command line."""
    return ["-e", json.dumps(variables)]


def watched(directory: Path, **budgets: float) -> list[str]:
    """Have clients watch the run, and put their report into a directory."""
    return options(evidence=True, evidence_report=str(directory), evidence_budgets=budgets)


UNWATCHED = options(evidence=False)


def run(playbook: Path, *arguments: str) -> Run:
    """Run a verb, which must succeed."""
    done = run_playbook(playbook, *arguments)
    assert done.code == 0, done.output[-6000:]
    return done


def report(directory: Path) -> dict[str, Any]:
    """What the clients of a run saw, which is shown (pytest -s)."""
    found: dict[str, Any] = json.loads((directory / "evidence.json").read_text())
    for part in (*found["steps"], found["whole"]):
        clients = part["clients"]
        seen = (f"{kind} {one['longest_wait']} s, {one['failed']} failed" for kind, one in clients.items())
        print(f"{part['host'] or 'whole'}: {part['lost']} lost; {'; '.join(seen)}")
    return found


def assert_no_row_lost(found: dict[str, Any]) -> None:
    """Every acknowledged row is there, once."""
    whole = found["whole"]
    assert whole["acknowledged"] > 0
    assert (whole["lost"], whole["missing"], whole["duplicated"]) == (0, 0, 0)


def nothing_left() -> None:
    """One more run of each verb changes nothing."""
    for playbook in (UPDATE, RESTART, REBOOT):
        done = run(playbook)
        assert "Nothing to " in done.output
        assert not any(done.changed.values()), done.changed


@pytest.fixture(scope="module", autouse=True)
def current() -> Iterator[None]:
    """Hosts on which nothing waits, and afterwards no source of next versions."""
    run(UPDATE, *UNWATCHED)
    yield
    subprocess.run([sys.executable, "-m", "lab.next_version", "down"], cwd=ROOT, check=True)
    everywhere("apt-get", "--quiet", "update")
    assert_converged()


@dataclass(frozen=True)
class Whole:
    """An update of all hosts that nothing interrupted: what it said, what its clients saw, whether all restarted."""

    done: Run
    found: dict[str, Any]
    restarted: bool


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Update everything to a next version under load."""
    directory = tmp_path_factory.mktemp("update")
    next_version()
    before, servers = starts(), postmasters()
    done = run_playbook(UPDATE, *watched(directory, pooled_errors=0))
    after = starts()
    restarted = all(before[lane] != after[lane] for lane in LANES) and not servers.items() & postmasters().items()
    return Whole(done, report(directory), restarted)


# Nothing to do, and only looking


def test_nothing_to_do_changes_nothing() -> None:
    before = state()
    nothing_left()
    assert state() == before


def test_check_lists_next_versions_and_touches_nothing() -> None:
    next_version("patroni", "haproxy")
    everywhere("apt-get", "--quiet", "update")
    before = state()
    done = run(UPDATE, "--check")
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    for package, hosts in (("patroni", DATABASES), ("haproxy", BALANCERS)):
        told = [line for line in lines if re.search(rf"upgrades {package} \S+ → \S+\{NEXT}\d+$", line)]
        assert len(told) == len(hosts), done.output[-4000:]
    assert any(line.startswith("3. ") and "primary goes to " in line for line in lines)
    assert "Predicted without writes for the switchover:" in done.output
    assert state() == before


# The whole stack, under load


def test_an_update_of_everything_costs_pooled_clients_nothing_but_time(whole: Whole) -> None:
    assert whole.done.code == 0, whole.done.output[-6000:]
    assert_no_row_lost(whole.found)
    assert [part["host"] for part in whole.found["steps"]][-1] == "backup1"
    assert {part["host"] for part in whole.found["steps"]} == {*CLUSTER}
    assert whole.restarted
    nothing_left()
    assert_healthy()


def test_a_reboot_of_every_host(tmp_path: Path) -> None:
    before = boots()
    done = run_playbook(REBOOT, "-e", "reboot_all=true", "-e", "reboot_recent=0", *watched(tmp_path, pooled_errors=0))
    found = report(tmp_path)
    assert done.code == 0, done.output[-6000:]
    assert_no_row_lost(found)
    assert not before.items() & boots().items()
    assert_healthy()


def test_only_the_host_that_asks_for_a_reboot_reboots() -> None:
    before = boots()
    on_node("db2", "touch", "/run/reboot-required")
    done = run(REBOOT, *UNWATCHED)
    assert "reboot, 1 of 6 hosts in this order" in done.output
    assert [name for name, boot in boots().items() if boot != before[name]] == ["db2"]
    nothing_left()


# Parts of it


def test_some_hosts_only() -> None:
    next_version("etcd-server", "haproxy")
    before = starts()
    done = run(UPDATE, "-e", "rolling_only=db2,lb2", *UNWATCHED)
    changed = {lane for lane, started in starts().items() if started != before[lane]}
    assert {("db2", "etcd"), ("lb2", "haproxy")} <= changed
    assert {name for name, _unit in changed} == {"db2", "lb2"}
    assert re.search(r"  - .*db1.*: has \d+ packages? to upgrade.*; it was not named", done.output)
    run(UPDATE, *UNWATCHED)
    nothing_left()


def test_a_pinned_version_is_the_only_upgrade() -> None:
    next_version("haproxy", "keepalived")
    everywhere("apt-get", "--quiet", "update")
    policy = on_node("lb1", "apt-cache", "policy", "haproxy")
    version = re.search(r"Candidate: (\S+)", policy)
    assert version is not None
    kept = {name: installed(name)["keepalived"] for name in BALANCERS}
    run(UPDATE, *options(update_versions={"haproxy": version[1]}), *UNWATCHED)
    assert {installed(name)["haproxy"] for name in BALANCERS} == {version[1]}
    assert {name: installed(name)["keepalived"] for name in BALANCERS} == kept
    run(UPDATE, *UNWATCHED)
    nothing_left()


# Interrupted


def policies() -> dict[str, str]:
    """Who may restart services on each host, by the file that packages ask."""
    return {name: on_node(name, "cat", "/usr/sbin/policy-rc.d") for name in CLUSTER}


@pytest.mark.parametrize("series", range(SERIES))
def test_an_update_that_is_killed_again_and_again_is_completed(tmp_path: Path, series: int) -> None:
    chance = random.Random(SEED + series)
    next_version()
    before = policies()
    for number in range(KILLS):
        kill_an_update(tmp_path / str(number), chance.uniform(*KILLED_WITHIN))
    done = run_playbook(UPDATE, *watched(tmp_path / "completed"))
    assert done.code == 0, done.output[-6000:]
    assert_no_row_lost(report(tmp_path / "completed"))
    assert_healthy()
    assert policies() == before


def kill_an_update(directory: Path, moment: float) -> None:
    """Kill the controller of an update after some seconds. What its clients had acknowledged is there."""
    begun = time.monotonic()

    def now(_output: str) -> bool:
        return time.monotonic() - begun >= moment

    assert kill_playbook_when(now, UPDATE, *watched(directory), seconds=1800)
    log = (ROOT / ".lab/interrupted.log").read_text()
    print(f"killed after {moment:.0f} s, in the task {re.findall(r'TASK .(.*)]', log)[-1]}")
    await_evidence(directory)
    if (directory / "evidence.json").exists():
        assert_no_row_lost(report(directory))


def test_nothing_is_left_after_the_kills() -> None:
    """But a reboot, if the packages ask for one."""
    run(REBOOT, *UNWATCHED)
    nothing_left()


@contextmanager
def running(log: Path, playbook: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run beside the test, which has ended when the block has."""
    with log.open("wb") as out:
        process = subprocess.Popen(command(playbook, *arguments), cwd=ROOT, env=ENVIRONMENT, stdout=out, stderr=out)
        try:
            yield process
        finally:
            process.wait()


def test_a_second_controller_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    next_version("etcd-server", "haproxy")
    log = tmp_path / "first.log"
    with running(log, UPDATE, *UNWATCHED) as first:
        wait_until(lambda: "TASK [Hold the lock]" in log.read_text(), seconds=600, what="the work on the first host")
        second = run_playbook(REBOOT, "-e", "reboot_all=true", "-e", "reboot_recent=0", *UNWATCHED)
        looked = run_playbook(UPDATE, "--check")
        assert first.poll() is None, "the first run ended before the second one was refused"
    for refused in (second, looked):
        told = " ".join(refused.output.split())
        assert refused.code != 0
        assert f"process {first.pid} works on this cluster since" in told, told[-4000:]
        assert "update.yml from " in told
        assert not any(refused.changed.values())
    assert first.returncode == 0, log.read_text()[-6000:]
    nothing_left()


def test_a_second_controller_may_wait(tmp_path: Path) -> None:
    next_version("haproxy")
    log = tmp_path / "first.log"
    with running(log, UPDATE, *UNWATCHED) as first:
        wait_until(lambda: "TASK [Hold the lock]" in log.read_text(), seconds=600, what="the work on the first host")
        run(RESTART, "-e", "rolling_lock_wait=900", *UNWATCHED)
        assert first.poll() is not None
    assert first.returncode == 0, log.read_text()[-6000:]


# Upgrades by others


class Client:
    """A pooled client that writes a row each tenth of a second, and notes what fails."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.rows = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Self:
        self._ask("DROP TABLE IF EXISTS others; CREATE TABLE others (at timestamptz)")
        assert not self.errors
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self, statement: str) -> None:
        told = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", VIP, "-p", "6432", "-U", "app", "-d", "app"]
        done = attempt("client1", *told, "-c", statement)
        if done.returncode:
            self.errors.append(done.stderr.strip())

    def _write(self) -> None:
        while not self._over.wait(0.1):
            self._ask("INSERT INTO others VALUES (now())")
            self.rows += 1


def waiting() -> str:
    """What the status says, white space joined."""
    return " ".join(run_playbook(PLAYBOOKS / "status.yml").output.split())


def test_unattended_upgrades_restart_nothing_and_the_status_tells_what_waits(tmp_path: Path) -> None:
    everywhere("apt-get", "--quiet", "--yes", "install", "unattended-upgrades")
    next_version(security=True)
    everywhere("apt-get", "--quiet", "update")
    before = state()
    with Client() as client:
        everywhere("unattended-upgrade", "--verbose")
    assert client.errors == []
    assert client.rows > 0
    assert (starts(), postmasters(), boots()) == before[:3]
    assert {name: installed(name).get("patroni") for name in DATABASES} == {
        name: before[3][name]["patroni"] for name in DATABASES
    }
    assert re.search(r"\d+ packages of the stack wait on .*, \d+ for security", waiting())
    done = run_playbook(UPDATE, "-e", "update_scope=security", *watched(tmp_path, pooled_errors=0))
    found = report(tmp_path)
    assert done.code == 0, done.output[-6000:]
    assert_no_row_lost(found)
    nothing_left()


def test_apt_on_all_hosts_at_once_restarts_nothing_and_restart_yml_catches_up(tmp_path: Path) -> None:
    next_version()
    everywhere("apt-get", "--quiet", "update")
    before, servers = starts(), postmasters()
    upgrade = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes", "upgrade")
    with Client() as client:
        everywhere(*upgrade)
    assert client.errors == []
    assert (starts(), postmasters()) == (before, servers)
    assert NEXT in installed("db1")["patroni"]
    told = waiting()
    for unit in ("etcd.service", "holdfast-pgbouncer.service", "keepalived.service"):
        assert re.search(rf"{unit} on [^:]*: needs a restart: ", told), told[-6000:]
    done = run_playbook(RESTART, *watched(tmp_path, pooled_errors=0))
    found = report(tmp_path)
    assert done.code == 0, done.output[-6000:]
    assert_no_row_lost(found)
    after = starts()
    # HAProxy's package reloaded it: its new process is the new program already.
    assert [lane for lane in LANES if after[lane] == before[lane] and lane[1] != "haproxy"] == []
    assert not servers.items() & postmasters().items()
    nothing_left()


def test_changed_units_of_what_clients_use_wait_for_restart_yml(tmp_path: Path) -> None:
    """As after an update of the collection: site.yml alone interrupts nobody."""
    changed = {
        **{(name, "holdfast-pgbouncer"): "/etc/systemd/system/holdfast-pgbouncer.service" for name in DATABASES},
        **{
            (name, unit): f"/etc/systemd/system/{unit}.service.d/holdfast.conf"
            for name, unit in LANES
            if name in BALANCERS
        },
    }
    for (name, _unit), path in changed.items():
        on_node(name, "sh", "-c", f"echo '# of another release' >>{path}")
    before = starts()
    with Client() as client:
        run(SITE)
    assert (client.errors, starts()) == ([], before)
    told = waiting()
    assert [path for path in set(changed.values()) if f"{path} changed since its start" not in told] == []
    done = run_playbook(RESTART, *watched(tmp_path, pooled_errors=0))
    found = report(tmp_path)
    assert done.code == 0, done.output[-6000:]
    assert_no_row_lost(found)
    assert {lane for lane, start in starts().items() if start != before[lane]} == set(changed)
    nothing_left()


# Bad input


@contextmanager
def paused() -> Iterator[None]:
    """Patroni in its maintenance mode."""
    on_node("db1", *PATRONICTL, "pause", "--wait")
    try:
        yield
    finally:
        on_node("db1", *PATRONICTL, "resume", "--wait")


@contextmanager
def off(name: str) -> Iterator[None]:
    """A host without power."""
    subprocess.run([ENGINE, "kill", f"holdfast-{name}"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([ENGINE, "start", f"holdfast-{name}"], check=True, capture_output=True)
        on_node(name, "systemctl", "is-system-running", "--wait", check=False)
        assert_healthy()


def assert_refused(done: Run, *texts: str) -> None:
    """Refused, with these texts, and no task changed anything."""
    told = " ".join(done.output.split())
    assert done.code != 0
    assert [text for text in texts if text not in told] == [], told[-4000:]
    assert not any(done.changed.values()), done.changed


@pytest.mark.parametrize(
    ("playbook", "variables", "texts"),
    [
        (REBOOT, {"reboot_all": True, "rolling_only": "db9"}, ["rolling_only: db9 is no host of a cluster", "give "]),
        (REBOOT, {"reboot_all": True, "rolling_only": "client1"}, ["rolling_only: client1 is no host of a cluster"]),
        (
            UPDATE,
            {"update_versions": {"haproxy": "0.1-1"}, "rolling_wait": 5},
            ["haproxy 0.1-1 is not available here; there is "],
        ),
        (UPDATE, {"update_scope": "all"}, ["update_scope", "all"]),
        (RESTART, {"reboot_all": True}, ["reboot_all"]),
        (UPDATE, {"rolling_wait": "soon"}, ["rolling_wait", "soon"]),
    ],
)
def test_bad_input_is_refused_before_anything_is_touched(
    playbook: Path, variables: dict[str, Any], texts: list[str]
) -> None:
    before = state()
    assert_refused(run_playbook(playbook, *options(**variables), *UNWATCHED), *texts)
    assert state() == before


def test_some_hosts_by_the_limit_are_refused() -> None:
    done = run_playbook(REBOOT, "--limit", "db1", "-e", "reboot_all=true", "-e", "reboot_recent=0", *UNWATCHED)
    assert_refused(done, "--limit")


def test_a_paused_patroni_is_refused() -> None:
    before = state()
    with paused():
        done = run_playbook(REBOOT, *options(reboot_all=True, reboot_recent=0, rolling_wait=5, evidence=False))
    assert_refused(done, "Refused before anything was touched", "Patroni is paused")
    assert state() == before


def test_a_host_that_is_down_is_refused() -> None:
    """Of a balancer, whose absence nothing else suffers from."""
    before = starts()
    with off("lb2"):
        done = run_playbook(REBOOT, *options(reboot_all=True, reboot_recent=0, rolling_wait=5, evidence=False))
    assert_refused(done, "Refused before anything was touched", "lb2: unreachable")
    after = starts()
    assert [lane for lane in LANES if lane[0] != "lb2" and after[lane] != before[lane]] == []


def test_a_running_backup_is_waited_for(tmp_path: Path) -> None:
    """It begins after the plan was made, and has ended before its host reboots."""
    before, kept, log = boots()["backup1"], backups()[-1], tmp_path / "run.log"
    with running(
        log, REBOOT, *options(reboot_all=True, reboot_recent=0, rolling_only="backup1", evidence=False)
    ) as process:
        wait_until(lambda: "TASK [Hold the lock]" in log.read_text(), seconds=300, what="the host's turn")
        on_node("backup1", "systemctl", "start", "--no-block", "pgbackrest-backup@full.service")
    assert process.returncode == 0, log.read_text()[-6000:]
    assert boots()["backup1"] != before
    assert backups()[-1].label != kept.label
    assert backups()[-1].type == "full"
    assert_healthy()
