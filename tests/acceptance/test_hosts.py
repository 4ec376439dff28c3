# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts come, leave and take another's place, while clients write. Needs the lab, two hours.

Spare hosts are bare at first. The lab is whole afterwards.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from backup_lab import PLAYBOOKS, backups, stopwatch
from lab_cluster import (
    BALANCERS,
    DATABASES,
    ENGINE,
    ENVIRONMENT,
    INVENTORY,
    ROOT,
    SITE,
    VIP,
    Run,
    attempt,
    await_evidence,
    kill_playbook_when,
    leader,
    on_node,
    run_playbook,
    wait_until,
)

from lab import inventory

REMOVE, REPLACE, STATUS = (PLAYBOOKS / f"{name}.yml" for name in ("remove_host", "replace_host", "status"))
WATCH, PROBE = (Path(__file__).with_name(name) for name in ("watch.yml", "etcd_probe.py"))
SPARES = ROOT / "lab/spares.yml"
OTHER = ROOT / ".lab/other-hosts"
ETCD_ADDRESSES = [f"198.51.100.{number}" for number in (11, 12, 13, 16, 17)]
ETCDCTL = (
    "--endpoints=https://127.0.0.1:2379",
    "--cacert=/etc/holdfast/tls/ca.crt",
    "--cert=/etc/holdfast/tls/client.crt",
    "--key=/etc/holdfast/tls/host.key",
)
SEED = 22
KILLS = 3
KILLED_WITHIN = (5.0, 60.0)
"""Seconds after its begin in which a replacement is killed; one takes longer."""
GROWN = {"db4": ["postgresql"], "etcd4": ["etcd"], "etcd5": ["etcd"]}
LONGEST_WITHOUT_QUORUM = 5.0
"""Seconds without a linearizable read anywhere: an election of a leader that lost power, in the profile balanced."""


def lab_nodes(verb: str, file: Path, *names: str) -> None:
    """Create or remove containers."""
    subprocess.run([sys.executable, "-m", "lab.nodes", verb, str(file), *names], cwd=ROOT, check=True)


def bare(*names: str) -> None:
    """Bare hosts with these names."""
    for name in names:
        file = INVENTORY / "hosts.yml" if name in (*DATABASES, *BALANCERS, "backup1") else SPARES
        lab_nodes("down", file, name)
        lab_nodes("up", file, name)


def off(name: str) -> None:
    """Cut a host's power, and wait until Patroni has given it up: before, it might still be alive."""
    subprocess.run([ENGINE, "kill", f"holdfast-{name}"], check=True, capture_output=True)
    wait_until(lambda: name not in members(), seconds=90, what=f"the end of {name}'s key in etcd")


def run(playbook: Path, *arguments: str, hosts: Path = OTHER) -> Run:
    """Run a playbook that must succeed."""
    done = run_playbook(playbook, *arguments, inventory=hosts)
    assert done.code == 0, done.output[-6000:]
    return done


def settled(hosts: Path = OTHER) -> None:
    """One more run changes nothing, and the cluster is healthy once a restore was verified, if on a new host."""
    again = run(SITE, hosts=hosts)
    assert not any(again.changed.values()), again.changed
    run(PLAYBOOKS / "restore_verify.yml", hosts=hosts)
    run(STATUS, "-e", "status_wait=120", hosts=hosts)


def members() -> dict[str, str]:
    """Patroni's members and their states."""
    told = on_node(running_database(), "patronictl", "-c", "/etc/patroni/config.yml", "list", "--format", "json")
    return {member["Member"]: member["State"] for member in json.loads(told)}


def running_database() -> str:
    """A database host that runs."""
    for name in (*DATABASES, "db4", "db5"):
        done = attempt(name, "systemctl", "is-active", "patroni.service")
        if done.returncode == 0:
            return name
    raise AssertionError("no database host runs")


def assert_nothing_lost(directory: Path) -> None:
    """What the clients of a run saw, which is shown (pytest -s): every acknowledged row is there, once."""
    found = json.loads((directory / "evidence.json").read_text())["whole"]
    waits = {kind: (one["longest_wait"], one["failed"]) for kind, one in found["clients"].items()}
    print(f"acknowledged {found['acknowledged']}, lost {found['lost']}, longest wait and failures {waits}")
    assert found["acknowledged"] > 0
    assert (found["lost"], found["missing"], found["duplicated"]) == (0, 0, 0)


def watched(playbook: Path, directory: Path, *arguments: str, hosts: Path = OTHER) -> None:
    """Run a verb while clients write and read."""
    with stopwatch(" ".join((playbook.stem, *arguments))):
        run(playbook, *arguments, "-e", "evidence=true", "-e", f"evidence_report={directory}", hosts=hosts)
    assert_nothing_lost(directory)


def watched_site(directory: Path, *names: str, hosts: Path = OTHER) -> None:
    """Run site.yml while clients write and read; names: the hosts that join."""
    ENVIRONMENT.update(HOLDFAST_REPORT=str(directory), HOLDFAST_HOSTS=",".join(names))
    with stopwatch(f"site.yml with {', '.join(names)}"):
        run(WATCH, hosts=hosts)
    assert_nothing_lost(directory)


@contextmanager
def sampled_quorum(node: str, seconds: int = 1500) -> Iterator[None]:
    """Ask etcd's members on every half second for a linearizable read; never long without one."""
    log = "/root/etcd-probe.log"
    on_node(node, "rm", "-f", log, f"{log}.stop")
    start = ("systemd-run", "--unit=etcd-probe", "--collect", "python3", "-c", PROBE.read_text(), log, str(seconds))
    on_node(node, *start, *ETCD_ADDRESSES)
    try:
        yield
    finally:
        on_node(node, "touch", f"{log}.stop")
        wait_until(
            lambda: attempt(node, "systemctl", "is-active", "etcd-probe.service").returncode != 0,
            seconds=20,
            what="the end of the probe",
        )
    samples = [json.loads(line) for line in on_node(node, "cat", log).splitlines()]
    good = [sample["at"] for sample in samples if sample["healthy"]]
    gap = max(later - earlier for earlier, later in itertools.pairwise(good))
    least = min(len(sample["healthy"]) for sample in samples)
    print(f"etcd: {len(samples)} samples, at least {least} healthy, at most {gap:.1f} s without a linearizable read")
    assert gap <= LONGEST_WITHOUT_QUORUM


@pytest.fixture(autouse=True, scope="module")
def whole() -> Iterator[None]:
    """The lab as it was, and no spare host."""
    yield
    for name in ("db4", "db5", "etcd4", "etcd5", "lb3", "backup2"):
        lab_nodes("down", SPARES, name)
    shutil.rmtree(OTHER, ignore_errors=True)
    settled(INVENTORY)


# Growing and shrinking


def test_etcd_grows_to_five_and_the_databases_to_four(tmp_path: Path) -> None:
    bare("db4", "etcd4", "etcd5")
    inventory.write(OTHER, add=GROWN)
    with sampled_quorum("db2"):
        watched_site(tmp_path, *GROWN)
    assert sorted(members()) == ["db1", "db2", "db3", "db4"]
    settled()


def test_etcd_shrinks_to_three_and_the_databases_to_two(tmp_path: Path) -> None:
    with sampled_quorum("db2"):
        # etcd is declared with an odd number of members, so two leave the inventory at once.
        inventory.write(OTHER, add={"db4": GROWN["db4"]})
        for name in ("etcd4", "etcd5"):
            watched(REMOVE, tmp_path / name, "-e", f"remove={name}")
        inventory.write(OTHER)
        watched(REMOVE, tmp_path / "db4", "-e", "remove=db4")
        inventory.write(OTHER, remove={"db3": ["postgresql"]})
        watched(REMOVE, tmp_path / "db3", "-e", "remove=db3")
    assert sorted(members()) == ["db1", "db2"]
    settled()
    watched_site(tmp_path / "back", "db3", hosts=INVENTORY)
    settled(INVENTORY)


# Replacing


def etcd_leader() -> str:
    """The etcd member that leads."""
    for name in DATABASES:
        status = json.loads(on_node(name, "etcdctl", *ETCDCTL, "endpoint", "status", "--write-out=json"))[0]["Status"]
        if status["leader"] == status["header"]["member_id"]:
            return name
    raise AssertionError("no etcd member leads")


def holder() -> str:
    """The balancer with the virtual IP."""
    return next(name for name in BALANCERS if f"{VIP}/" in on_node(name, "ip", "-brief", "address"))


def killed_and_completed(directory: Path, chance: random.Random, *arguments: str) -> None:
    """Kill the controller of a replacement again and again; the same command then completes it."""
    told = (*arguments, "-e", "evidence=true")
    records = [directory / str(number) for number in range(KILLS + 1)]
    kills = 0
    for record in records[:KILLS]:
        kills += kill_after(chance.uniform(*KILLED_WITHIN), *told, "-e", f"evidence_report={record}")
        await_evidence(record)
    assert kills
    run(REPLACE, *told, "-e", f"evidence_report={records[-1]}")
    # A killed run may have ended before its clients wrote, the last one may have found nothing left to watch.
    written = [record for record in records if (record / "evidence.json").exists()]
    assert written
    for record in written:
        assert_nothing_lost(record)


def kill_after(moment: float, *arguments: str) -> bool:
    """Kill the controller of a replacement some seconds after its begin; false where it was completed before."""
    begun = time.monotonic()
    killed = kill_playbook_when(
        lambda _output: time.monotonic() - begun >= moment, REPLACE, *arguments, inventory=OTHER, seconds=600
    )
    log = (ROOT / ".lab/interrupted.log").read_text()
    last = re.findall(r"TASK .(.*)]", log)[-1:]
    print(f"{f'killed after {moment:.0f} s' if killed else 'completed'}; its last task: {last}")
    return killed


def replaced(old: str, new: str, directory: Path, *accept: str, killed: bool = False) -> None:
    """Have another host take the place of a dead one; then a bare host with the old name takes it back.

    The other one lives then, and the controller is killed on this way back.

    killed: it is killed on the way there, too.
    """
    chance = random.Random(f"{SEED} {old}")
    there = ("-e", f"replace={old}", "-e", f"by={new}", *accept)
    bare(new)
    inventory.write(OTHER, replace={old: new})
    off(old)
    if killed:
        killed_and_completed(directory / "there", chance, *there)
    else:
        watched(REPLACE, directory / "there", *there)
    settled()
    bare(old)
    inventory.write(OTHER)
    killed_and_completed(directory / "back", chance, "-e", f"replace={new}", "-e", f"by={old}")
    settled(INVENTORY)


def test_the_primary(tmp_path: Path) -> None:
    replaced(leader(), "db4", tmp_path, killed=True)


def test_the_leader_of_etcd(tmp_path: Path) -> None:
    replaced(etcd_leader(), "db5", tmp_path)


def test_the_balancer_with_the_virtual_ip(tmp_path: Path) -> None:
    replaced(holder(), "lb3", tmp_path, killed=True)


def test_the_repository_host(tmp_path: Path) -> None:
    replaced("backup1", "backup2", tmp_path, "-e", "preflight_accept=backup_repository:lab")
    assert backups()
