# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What etcd's unit runs before etcd, and the module that permits a first start, with three real members."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import etcd_join
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import Join
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import EtcdClient, Tls

from tests.unit.roles.lease_watcher.etcd_cluster import (
    Member,
    encode,
    etcd_program,
    free_ports,
    make_tls,
    wait_until,
)

PROGRAM = Path(__file__).resolve().parents[3] / "roles/etcd/files/etcd_permit.py"
JOIN_SECONDS = 60.0
NEW = "ETCD_INITIAL_CLUSTER_STATE=new\n"


@dataclass
class Unit:
    """A member whose unit runs the program before etcd, as the drop-in says."""

    folder: Path
    member: Member | None = None

    @property
    def data(self) -> Path:
        return self.folder / (self.member.name if self.member else "data")

    @property
    def wal(self) -> Path:
        return self.data / "member" / "wal"

    @property
    def permit(self) -> Path:
        return self.folder / "run" / f"{self.data.name}.permit"

    @property
    def taken(self) -> Path:
        return self.folder / "run" / f"{self.data.name}.taken"

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        self.permit.parent.mkdir(exist_ok=True)
        environment = {"ETCD_DATA_DIR": str(self.data), **settings}
        command = [sys.executable, "-I", str(PROGRAM), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def take(self, seconds: float = 0, **settings: str) -> bool:
        arguments = ("take", str(self.permit), str(self.taken), f"--seconds={seconds}")
        return self.run(*arguments, **settings).returncode == 0

    def start(self, program: str, units: Sequence[Unit], seconds: float = 0) -> bool:
        if not self.take(seconds) or self.run("clear").returncode:
            return False
        lines = self.taken.read_text().splitlines() if self.taken.exists() else []
        self.start_unguarded(program, units, dict(line.split("=", 1) for line in lines))
        return True

    def start_unguarded(self, program: str, units: Sequence[Unit], settings: dict[str, str] | None = None) -> None:
        assert self.member is not None
        chosen = {name: value for name, value in (settings or {}).items() if name == "ETCD_INITIAL_CLUSTER_STATE"}
        self.member.start(program, [unit.member for unit in units if unit.member], chosen)

    def write_data(self, name: str = "0.wal") -> None:
        self.wal.mkdir(parents=True, exist_ok=True)
        (self.wal / name).touch()


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return Unit(tmp_path)


def allow(unit: Unit) -> None:
    unit.permit.parent.mkdir(exist_ok=True)
    unit.permit.write_text(NEW)


def test_data_need_no_permit_and_spend_one(unit):
    unit.write_data()
    assert unit.take()
    allow(unit)
    assert unit.take()
    assert not unit.permit.exists()
    assert not unit.taken.exists()


def test_a_permit_is_good_for_one_start(unit):
    allow(unit)
    assert unit.take()
    assert unit.taken.read_text() == NEW
    assert not unit.take()
    assert not unit.taken.exists()


@pytest.mark.parametrize("made", ["", "data", "data/member/snap", "data/member/wal", "data/member/wal.tmp"])
def test_nothing_else_is_data(unit, made):
    (unit.folder / made).mkdir(parents=True, exist_ok=True)
    assert not unit.take()


def test_a_log_elsewhere_is_data(unit):
    elsewhere = unit.folder / "fast disk"
    elsewhere.mkdir()
    assert not unit.take(ETCD_WAL_DIR=str(elsewhere))
    (elsewhere / "0.wal").touch()
    assert unit.take(ETCD_WAL_DIR=str(elsewhere))


@pytest.mark.parametrize("comes", [allow, Unit.write_data], ids=["permit", "volume"])
def test_a_start_waits_for_data_or_a_permit(unit, comes):
    later = threading.Timer(0.3, comes, [unit])
    later.start()
    assert unit.take(seconds=30)
    later.join()


def test_what_lacks_its_log_is_set_aside(unit):
    for content in ("old", "new"):
        snapshot = unit.data / "member" / "snap" / "db"
        snapshot.parent.mkdir(parents=True)
        snapshot.write_text(content)
        assert unit.run("clear").returncode == 0
    assert [path.name for path in unit.data.iterdir()] == ["member.unfinished"]
    assert (unit.data / "member.unfinished" / "snap" / "db").read_text() == "new"


def test_data_stay_where_they_are(unit):
    unit.write_data()
    assert unit.run("clear").returncode == 0
    assert unit.take()


def parameters(unit: Unit, tls: Tls, ports: Sequence[int], **more: Any) -> dict[str, Any]:
    """The parameters of etcd_member for the member of a unit, one of three; ports are those for clients and peers."""
    return {
        "name": unit.data.name,
        "members": [{"name": f"m{number}", "address": f"127.0.0.{number}"} for number in (1, 2, 3)],
        "client_port": ports[0],
        "peer_port": ports[1],
        "token": "test",
        "data_directory": str(unit.data),
        "wal_directory": None,
        "settings_path": None,
        "permit_path": str(unit.permit),
        "ca_path": tls.ca,
        "certificate_path": tls.cert,
        "private_key_path": tls.key,
        "root_password": "unused",
        "unit": "etcd.service",
        "looked_at": None,
        "timeout": 0,
        **more,
    }


class Module:
    """An AnsibleModule as far as etcd_member needs one, on a host whose unit does not run."""

    check_mode = False

    def __init__(self, params: dict[str, Any], tmpdir: Path) -> None:
        self.params, self.tmpdir = params, str(tmpdir)

    def run_command(self, *_arguments: Any, **_more: Any) -> tuple[int, str, str]:
        return 0, "inactive\n", ""

    def atomic_move(self, source: str, target: str) -> None:
        shutil.move(source, target)


@pytest.mark.parametrize(
    ("deployed", "wal", "data", "refused"),
    [
        ("ETCD_DATA_DIR={0}/data", None, "data", False),
        ("ETCD_DATA_DIR={0}/data", "wal", "data", True),
        ("ETCD_DATA_DIR={0}/data\nETCD_WAL_DIR={0}/wal", None, "data", True),
        ("ETCD_DATA_DIR={0}/data\nETCD_WAL_DIR={0}/wal/", "wal", "data", False),
        ("ETCD_DATA_DIR={0}/data", None, "new", True),
        ("# ETCD_DATA_DIR={0}/data", None, "new", False),
        (None, "wal", "data", False),
    ],
)
@pytest.mark.parametrize("lost", [False, True])
def test_a_stopped_member_s_data_elsewhere_are_not_lost(tmp_path, *, deployed, wal, data, refused, lost):
    settings = tmp_path / "etcd"
    if deployed is not None:
        settings.write_text(deployed.format(tmp_path))
        kept = tmp_path / ("wal" if "WAL" in deployed else "data/member/wal")
        kept.mkdir(parents=True)
        if not lost:
            (kept / "0.wal").touch()
    places = {
        "name": "m1",
        "data_directory": str(tmp_path / data),
        "wal_directory": wal and str(tmp_path / wal),
        "settings_path": str(settings),
    }
    # No member answers on these ports.
    nobody = parameters(Unit(tmp_path), Tls("/none", "/none", "/none"), free_ports(2))
    module = Module(nobody | places, tmp_path)
    if refused and not lost:
        with pytest.raises(etcd_join.RefusedError, match=r"move its data first"):
            etcd_join.look(module)
    else:
        assert etcd_join.look(module)["has_data"] is (not lost and deployed is not None and "# " not in deployed)


class Cluster:
    """Three members on three addresses, each started through its unit."""

    def __init__(self, folder: Path) -> None:
        self.program, self.folder, self.tls = etcd_program(), folder, make_tls(folder)
        self.client_port, self.peer_port = free_ports(2)
        self.units = [Unit(folder, self._member(number)) for number in (1, 2, 3)]

    def _member(self, number: int) -> Member:
        client, peer = (f"https://127.0.0.{number}:{port}" for port in (self.client_port, self.peer_port))
        return Member(f"m{number}", client, peer, self.folder, self.tls)

    def module(self, unit: Unit, looked_at: list[Any] | None = None, timeout: float = 0) -> Module:
        ports = (self.client_port, self.peer_port)
        return Module(parameters(unit, self.tls, ports, looked_at=looked_at, timeout=timeout), self.folder)

    def look(self, *units: Unit) -> list[Any]:
        return [etcd_join.look(self.module(unit))["found"] for unit in units]

    def permit(self, unit: Unit, looked_at: list[Any], timeout: float = 0) -> str | None:
        return etcd_join.Joiner(self.module(unit, looked_at, timeout)).run()["join"]

    def join(self, unit: Unit, looked_at: list[Any]) -> str | None:
        """Permit the start that the unit waits for, as on a host: a learner gets its vote only once it runs."""
        with ThreadPoolExecutor() as pool:
            start = pool.submit(unit.start, self.program, self.units, JOIN_SECONDS)
            join = self.permit(unit, looked_at, JOIN_SECONDS)
            assert start.result()
        self.wait_until_healthy(unit)
        assert not any(member.learner for member in self.client(unit).members())
        return join

    def bootstrap(self) -> None:
        looked_at = self.look(*self.units)
        for unit in self.units:
            assert self.permit(unit, looked_at) == Join.BOOTSTRAP.value
            assert unit.start(self.program, self.units)
        for unit in self.units:
            self.wait_until_healthy(unit)

    def client(self, unit: Unit) -> EtcdClient:
        assert unit.member is not None
        return EtcdClient(self.tls.client(unit.member.client, 2))

    def wait_until_healthy(self, unit: Unit) -> None:
        wait_until(lambda: self.client(unit).unhealthy_because() is None, f"{unit.data.name} serves")

    def serves_without(self, unit: Unit, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.client(unit).unhealthy_because() is None:
                return True
            time.sleep(0.1)
        return False

    def holds(self, unit: Unit, key: str) -> bool:
        return bool(self.client(unit).call("/v3/kv/range", {"key": encode(key)}).get("kvs"))

    def acknowledge_without_the_third(self, key: str) -> None:
        """Have a key acknowledged by the first two, then lose both, and the data of the first."""
        first, second, third = self.units
        third.member.kill()
        wait_until(
            lambda: self.client(second).call("/v3/kv/put", {"key": encode(key), "value": encode("1")}), "a write"
        )
        first.member.kill()
        second.member.kill()
        shutil.rmtree(first.data)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    one = Cluster(tmp_path)
    try:
        one.bootstrap()
        yield one
    finally:
        for unit in one.units:
            unit.member.kill()


def test_etcd_itself_makes_a_quorum_of_who_lost_what_was_acknowledged(cluster):
    first, _second, third = cluster.units
    cluster.acknowledge_without_the_third("k")
    first.start_unguarded(cluster.program, cluster.units)
    wait_until(lambda: any(first.wal.glob("*.wal")), "a log of the first")
    third.start_unguarded(cluster.program, cluster.units)
    cluster.wait_until_healthy(third)
    assert not cluster.holds(third, "k")


def test_a_member_that_lost_its_data_makes_no_quorum(cluster):
    first, second, third = cluster.units
    cluster.acknowledge_without_the_third("k")
    assert not first.start(cluster.program, cluster.units)
    assert third.start(cluster.program, cluster.units)
    assert not cluster.serves_without(third, seconds=3)
    with pytest.raises(etcd_join.RefusedError, match="no quorum"):
        cluster.permit(first, cluster.look(first, third))
    assert second.start(cluster.program, cluster.units)
    cluster.wait_until_healthy(third)
    assert cluster.join(first, cluster.look(*cluster.units)) == Join.REPLACE.value
    assert cluster.holds(first, "k")


@pytest.mark.parametrize("looked", [1, 2], ids=["alone", "without one of three"])
def test_nobody_is_let_in_empty_while_the_others_are_not_known_to_be(cluster, looked):
    for unit in cluster.units:
        unit.member.kill()
    for unit in cluster.units[:looked]:
        shutil.rmtree(unit.data)
    with pytest.raises(etcd_join.RefusedError, match="m3 was not looked at"):
        cluster.permit(cluster.units[0], cluster.look(*cluster.units[:looked]))
    assert not cluster.units[0].start(cluster.program, cluster.units)


def test_a_member_with_data_is_waited_for(cluster):
    for unit in cluster.units:
        unit.member.kill()
    shutil.rmtree(cluster.units[0].data)
    with pytest.raises(etcd_join.RefusedError, match="m2 has data, but its etcd does not answer; m3 has data"):
        cluster.permit(cluster.units[0], cluster.look(*cluster.units))


def test_a_cluster_that_lost_everything_is_made_anew(cluster):
    for unit in cluster.units:
        unit.member.kill()
        shutil.rmtree(unit.data)
    cluster.bootstrap()


def test_a_first_run_that_ended_after_one_start_is_finished(tmp_path):
    cluster = Cluster(tmp_path)
    first, *others = cluster.units
    try:
        assert cluster.permit(first, cluster.look(*cluster.units)) == Join.BOOTSTRAP.value
        assert first.start(cluster.program, cluster.units)
        wait_until(lambda: any(first.wal.glob("*.wal")), "a log of the first")
        looked_at = cluster.look(*cluster.units)
        # Two are a quorum, which the third might have had part in before.
        for unit, join in zip(others, (Join.BOOTSTRAP, Join.REPLACE), strict=True):
            assert cluster.join(unit, looked_at) == join.value
    finally:
        for unit in cluster.units:
            unit.member.kill()


def test_a_permit_of_an_earlier_run_is_withdrawn(cluster):
    first = cluster.units[0]
    first.member.kill()
    shutil.rmtree(first.data)
    allow(first)
    assert etcd_join.look(cluster.module(first))["changed"]
    assert not first.start(cluster.program, cluster.units)


def test_a_database_without_its_log_is_not_taken_for_the_cluster_s(cluster):
    first = cluster.units[0]
    first.member.kill()
    shutil.rmtree(first.wal)
    assert cluster.join(first, cluster.look(*cluster.units)) == Join.REPLACE.value
    assert (first.data / "member.unfinished" / "snap" / "db").exists()
