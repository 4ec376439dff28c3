# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rotate.yml on the lab under load, and values changed in the vault. Needs the lab, two hours."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.secrets_file import new_secret
from backup_lab import PLAYBOOKS
from lab_cluster import (
    BALANCERS,
    DATABASES,
    ENGINE,
    ROOT,
    SECRETS,
    SITE,
    VIP,
    Run,
    assert_converged,
    assert_healthy,
    attempt,
    await_evidence,
    converge,
    kill_playbook_when,
    leader,
    on_node,
    run_playbook,
)
from test_rolling import assert_no_row_lost, assert_refused, options, postmasters, report, watched

ROTATE, MAKE = PLAYBOOKS / "rotate.yml", PLAYBOOKS / "secrets.yml"
PROBE = (ROOT / "tests/acceptance/login_probe.py").read_text(encoding="utf-8")
PAGE = """
import base64, http.client, sys
page = http.client.HTTPConnection("127.0.0.1", 8404, timeout=5)
login = base64.b64encode(f"holdfast:{sys.argv[1]}".encode()).decode()
page.request("GET", "/", headers={"Authorization": f"Basic {login}"})
print(page.getresponse().status)
"""
ADDRESSES = {name: f"198.51.100.1{number}" for number, name in enumerate(DATABASES, 1)}
# By secret: where it is tried, as whom.
LOGINS = {
    "etcd_root": ("etcd", "root"),
    "etcd_patroni": ("etcd", "patroni"),
    "etcd_lease_watcher": ("etcd", "lease_watcher"),
    "patroni_rest": ("rest", "holdfast"),
    "postgresql_superuser": ("postgres:5432", "postgres"),
    "postgresql_replication": ("replication:5432", "replicator"),
    "postgresql_rewind": ("postgres:5432", "rewinder"),
    "pgbouncer": ("pgbouncer:6432", "holdfast"),
}
ALONE = (*LOGINS, "haproxy_stats", "app")
KILLS, SEED = 10, 25
STEPS = ("open", "move", "change", "settle", "withdraw", "prove")


def values() -> dict[str, str]:
    """The secrets in the file, roles' passwords among them."""
    document = yaml.safe_load(SECRETS.read_text(encoding="utf-8"))
    return {**document["ha_secrets"], **document["ha_role_passwords"]}


def former() -> dict[str, str]:
    """The former values in the file."""
    document = yaml.safe_load(SECRETS.read_text(encoding="utf-8"))
    return {**document.get("ha_secrets_previous", {}), **document.get("ha_role_passwords_previous", {})}


def tried(name: str, value: str) -> set[str]:
    """What the services on all database hosts say of a value."""
    if name == "app":
        return {of_client(value, port) for port in (5000, 5001, 6432)}
    service, user = LOGINS[name]
    asked = (on_node(host, "python3", "-c", PROBE, service, user, value, ADDRESSES[host]) for host in DATABASES)
    return {answer.strip() for answer in asked}


def of_client(password: str, port: int) -> str:
    """What a pool says of the application's password."""
    told = ["psql", "-XAtqw", "-h", VIP, "-p", str(port), "-U", "app", "-d", "app", "-c", "SELECT 1"]
    done = attempt("client1", "env", f"PGPASSWORD={password}", "PGPASSFILE=/dev/null", "PGSSLMODE=require", *told)
    if done.returncode == 0:
        return "accepted"
    return "refused" if "authentication failed" in done.stderr else done.stderr


def make(*names: str) -> dict[str, str]:
    """Give secrets new values; return the former ones."""
    before = values()
    done = run_playbook(MAKE, "-e", f"rotate={','.join(names)}", "-e", "secrets_plaintext=true")
    assert done.code == 0, done.output[-4000:]
    assert former().items() <= before.items()
    return before


def rotate(*names: str, directory: Path, more: Sequence[str] = ()) -> dict[str, Any]:
    """Rotate under load, with no failed transaction of a pooled client; return what the clients saw."""
    done = run_playbook(ROTATE, "-e", f"rotate={','.join(names)}", *more, *watched(directory, pooled_errors=0))
    assert done.code == 0, done.output[-6000:]
    found = report(directory)
    assert_no_row_lost(found)
    return found


def assert_rotated(before: dict[str, str], *names: str) -> None:
    """The new values work, the former ones don't, and the file has forgotten those."""
    for name in names:
        assert before[name] != values()[name]
        if name in LOGINS or name == "app":
            assert tried(name, values()[name]) == {"accepted"}, name
            assert tried(name, before[name]) == {"refused"}, name
    assert former() == {}
    assert leftovers() == []


def leftovers() -> list[str]:
    """Stand-ins that are still there."""
    statement = r"SELECT rolname FROM pg_roles WHERE rolname LIKE '%\_next'"
    ask = ("runuser", "-u", "postgres", "--", "psql", "-XAtc", statement)
    return [name for host in DATABASES for name in on_node(host, *ask).split()]


def refresh_client() -> None:
    """Give the client the passwords of the file."""
    assert run_playbook(ROOT / "lab/client.yml").code == 0


@pytest.fixture(scope="module", autouse=True)
def afterwards() -> Iterator[None]:
    """The lab as it was found, with other passwords."""
    assert_healthy()
    yield
    refresh_client()
    assert_converged()


# Each alone, and all together


@pytest.mark.parametrize("name", ALONE)
def test_one_secret_under_load(name: str, tmp_path: Path) -> None:
    servers = postmasters()
    before = make(name)
    rotate(name, directory=tmp_path)
    refresh_client()
    assert_rotated(before, name)
    assert postmasters() == servers
    assert set(converge().changed.values()) == {0}


def page(balancer: str, password: str) -> str:
    """What a balancer's statistics page answers to a password."""
    return on_node(balancer, "python3", "-c", PAGE, password).strip()


def test_a_guarded_statistics_page(tmp_path: Path) -> None:
    guarded = ("-e", "{haproxy_stats_addresses: [0.0.0.0]}")
    assert run_playbook(SITE, *guarded).code == 0
    try:
        before = make("haproxy_stats")["haproxy_stats"]
        assert {page(name, before) for name in BALANCERS} == {"200"}
        rotate("haproxy_stats", directory=tmp_path, more=guarded)
        assert {page(name, before) for name in BALANCERS} == {"401"}
        assert {page(name, values()["haproxy_stats"]) for name in BALANCERS} == {"200"}
    finally:
        converge()


def test_all_passwords_under_load(tmp_path: Path) -> None:
    servers = postmasters()
    before = make("passwords")
    looked = run_playbook(ROTATE, "-e", "rotate=passwords", "--check", *options(evidence=False))
    assert looked.code == 0, looked.output[-4000:]
    assert [text for text in ("1. open", "5. withdraw", "postgresql_replication") if text not in looked.output] == []
    assert not any(looked.changed.values())
    assert {name for name in LOGINS if tried(name, before[name]) != {"accepted"}} == set()
    found = rotate("passwords", directory=tmp_path)
    assert [step for step in STEPS if step not in json.dumps(found["steps"])] == []
    refresh_client()
    assert_rotated(before, *ALONE)
    assert postmasters() == servers
    assert_converged()
    again = run_playbook(ROTATE, "-e", "rotate=passwords", *options(evidence=False))
    assert again.code == 0
    assert "Nothing to rotate" in again.output
    assert not any(again.changed.values())


# Interrupted


@pytest.fixture(scope="module")
def length(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds that a rotation of everything takes."""
    make("passwords")
    begun = time.monotonic()
    rotate("passwords", directory=tmp_path_factory.mktemp("length"))
    return time.monotonic() - begun


@pytest.mark.parametrize("kill", range(KILLS))
def test_a_killed_rotation_is_continued_by_the_next(kill: int, length: float, tmp_path: Path) -> None:
    """Meanwhile the cluster fails over, and a host restarts."""
    moment = random.Random(SEED + kill).uniform(0.15, 0.95) * length
    before = make("passwords")
    begun = time.monotonic()
    first = tmp_path / "killed"
    killed = kill_playbook_when(
        lambda _output: time.monotonic() - begun >= moment,
        ROTATE,
        "-e",
        "rotate=passwords",
        *watched(first),
        seconds=length + 600,
    )
    await_evidence(first)
    if (first / "evidence.json").exists():
        assert_no_row_lost(report(first))
    if kill % 2:
        with without_power(leader_of_patroni()):
            pass
    assert_healthy()
    print(f"killed after {moment:.0f} of {length:.0f} s: {killed}")
    rotate("passwords", directory=tmp_path / "continued")
    refresh_client()
    assert_rotated(before, *ALONE)
    assert set(converge().changed.values()) == {0}


def leader_of_patroni() -> str:
    """The name of the member that leads, asked from Patroni."""
    found = json.loads(on_node("db1", "patronictl", "-c", "/etc/patroni/config.yml", "list", "--format=json"))
    return next(str(member["Member"]) for member in found if member["Role"] == "Leader")


def test_a_killed_rotation_is_ended_by_site_yml(length: float, tmp_path: Path) -> None:
    before = make("passwords")
    reached = "TASK [Change the passwords]"
    assert kill_playbook_when(
        lambda output: output.count(reached) >= 3,  # of the steps that it is not, too
        ROTATE,
        "-e",
        "rotate=passwords",
        *options(evidence=False),
        seconds=length + 600,
    )
    converge()
    assert former().keys() >= LOGINS.keys()
    rotate("passwords", directory=tmp_path)
    refresh_client()
    assert_rotated(before, *ALONE)


# Hosts that are down


@contextmanager
def without_power(name: str) -> Iterator[None]:
    """A host without power, which comes back with what it had."""
    subprocess.run([ENGINE, "kill", f"holdfast-{name}"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run([ENGINE, "start", f"holdfast-{name}"], check=True, capture_output=True)
        on_node(name, "systemctl", "is-system-running", "--wait", check=False)


def test_a_host_that_is_down_is_named_and_may_be_left_behind(tmp_path: Path) -> None:
    standby = next(name for name in DATABASES if name != leader())
    before = make("etcd_patroni", "postgresql_replication")
    names = "etcd_patroni,postgresql_replication"
    with without_power(standby):
        refused = run_playbook(ROTATE, "-e", f"rotate={names}", *options(evidence=False))
        assert_refused(refused, standby, "rotate_without")
        without = options(rotate=names.split(","), rotate_without=[standby], evidence=False, rolling_wait=60)
        done = run_playbook(ROTATE, *without)
        assert done.code == 0, done.output[-6000:]
    converge()
    assert_healthy()
    assert_rotated(before, *names.split(","))


# Changed in the vault


def change(name: str, value: str) -> None:
    """Change a value in the file by hand."""
    document = yaml.safe_load(SECRETS.read_text(encoding="utf-8"))
    variable = "ha_role_passwords" if name == "app" else "ha_secrets"
    document[variable][name] = value
    SECRETS.write_text(yaml.safe_dump(document), encoding="utf-8")


def changed_in_the_vault(name: str) -> tuple[str, str, Run]:
    """Change a value, and run site.yml; return the old value, the new one and the run."""
    old, new = values()[name], new_secret()
    change(name, new)
    return old, new, run_playbook(SITE)


@pytest.mark.parametrize("name", [name for name in ALONE if name != "etcd_root"])
def test_a_value_changed_in_the_vault_converges(name: str) -> None:
    old, new, done = changed_in_the_vault(name)
    assert done.code == 0, done.output[-6000:]
    if name in LOGINS or name == "app":
        assert tried(name, new) == {"accepted"}
        assert tried(name, old) == {"refused"}
    refresh_client()
    assert leftovers() == []
    assert set(converge().changed.values()) == {0}
    assert_healthy()


@pytest.mark.parametrize("name", ["etcd_root", "pgbackrest_cipher"])
def test_a_value_that_can_t_be_changed_so_is_refused(name: str) -> None:
    old = values()[name]
    try:
        _old, _new, done = changed_in_the_vault(name)
        way = {"etcd_root": "rotate.yml -e rotate=etcd_root", "pgbackrest_cipher": "docs/rotation.md"}
        assert_refused(done, f"ha_secrets.{name}", way[name])
    finally:
        change(name, old)
    assert set(converge().changed.values()) == {0}


def test_a_part_refuses_what_it_would_change_at_one_end() -> None:
    old = values()["etcd_patroni"]
    try:
        change("etcd_patroni", new_secret())
        for playbook in ("etcd.yml", "postgresql.yml"):
            assert_refused(run_playbook(PLAYBOOKS / playbook), "rotate.yml -e rotate=etcd_patroni")
    finally:
        change("etcd_patroni", old)


def test_root_s_former_password_lets_site_yml_change_it() -> None:
    old, new = values()["etcd_root"], new_secret()
    document = yaml.safe_load(SECRETS.read_text(encoding="utf-8"))
    document["ha_secrets"]["etcd_root"], document["ha_secrets_previous"] = new, {"etcd_root": old}
    SECRETS.write_text(yaml.safe_dump(document), encoding="utf-8")
    converge()
    assert (tried("etcd_root", new), tried("etcd_root", old)) == ({"accepted"}, {"refused"})
    done = run_playbook(ROTATE, "-e", "rotate=etcd_root", *options(evidence=False))
    assert done.code == 0, done.output[-4000:]
    assert former() == {}


# Bad input


@pytest.mark.parametrize(
    ("variables", "texts"),
    [
        ({}, ["rotate is not set"]),
        ({"rotate": "etcd_rot"}, ["etcd_rot is unknown", "did you mean 'etcd_root'"]),
        ({"rotate": "pgbackrest_cipher"}, ["can't change in place", "docs/rotation.md"]),
        ({"rotate": "app", "rotate_without": "db9"}, ["rotate_without: db9 is no host of a cluster"]),
        ({"rotate": "app", "rotate_witout": "db1"}, ["rotate_witout", "rotate_without"]),
    ],
)
def test_bad_input_is_refused_before_anything_is_touched(variables: dict[str, Any], texts: list[str]) -> None:
    assert_refused(run_playbook(ROTATE, *options(**variables, evidence=False)), *texts)
