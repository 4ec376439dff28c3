# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher and a real etcd. Only "not earlier than" is exact here; "at last" has the patience of a busy machine."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import lease_watcher
import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import EtcdClient, Tls
from lease_watcher.core import Leadership, Rules
from lease_watcher.fencing import Fencing
from lease_watcher.gateway import Gateway, GatewayError
from lease_watcher.handover import Handover
from lease_watcher.presence import Presence
from lease_watcher.service import Watcher

from tests.unit.roles.lease_watcher.etcd_cluster import (
    CONFIG,
    PASSWORD,
    PREFIX,
    TIMEOUT,
    Cluster,
    Member,
    encode,
    wait_until,
)

TTL = 20
SECONDS = 2
PATIENCE = 0.5  # seconds for an answer of the leader's Patroni
LATE = 15.0  # seconds after which even a starved machine should have got there
RULES = Rules(seconds=SECONDS, stall=1.5, interval=0.2)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster.started(tmp_path_factory.mktemp("etcd"))
    yield cluster
    cluster.stop()


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    """A healthy cluster without a leader of Patroni's."""
    for member in running.members:
        if member.process is None:
            member.start(running.program, running.members)
        member.signal(signal.SIGCONT)
    running.wait_until_healthy()
    running.delete("leader")
    return running


def watch(cluster: Cluster, member: Member, rules: Rules = RULES, store: Any = None) -> Watcher:
    said: list[str] = []
    presence = Presence(cluster.tls.ca, PATIENCE)
    watcher = Watcher(store or cluster.gateway(member), rules, Fencing([], 1, []), presence, tell=said.append)
    watcher.said = said  # type: ignore[attr-defined]
    return watcher


def drive(watcher: Watcher, until: Callable[[], Any], seconds: float = LATE) -> bool:
    """Let the watcher work until something is true; False when it isn't in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        delay = watcher.step()
        if until():
            return True
        time.sleep(delay)
    return False


def revoked(watcher: Watcher) -> bool:
    return any(line.startswith("revoked") for line in watcher.said)  # type: ignore[attr-defined]


@contextmanager
def renewing(cluster: Cluster, lease: int, every: float = 0.3) -> Iterator[list[float]]:
    """Renew a lease from the side; the times of the renewals."""
    stop, times = threading.Event(), [time.monotonic()]

    def go() -> None:
        while not stop.wait(every):
            begun = time.monotonic()
            if cluster.renew(lease):
                times.append(begun)

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield times
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("beside_etcds_leader", [True, False])
def test_a_silent_leader_loses_its_lease_and_nobody_else_does(cluster, beside_etcds_leader):
    silent, other = cluster.grant(TTL), cluster.grant(TTL)
    cluster.lead("db1", silent)
    cluster.put("members/db2", "{}", other)
    watcher = watch(cluster, cluster.leader() if beside_etcds_leader else cluster.follower())
    renewed = time.monotonic()
    assert cluster.renew(silent)
    assert drive(watcher, lambda: revoked(watcher)), watcher.said
    assert time.monotonic() - renewed >= SECONDS
    assert not cluster.holds("leader")
    assert not cluster.holds("members/db1")
    assert cluster.holds("members/db2")


def test_a_leader_that_renews_keeps_its_lease(cluster):
    lease = cluster.grant(TTL)
    cluster.lead("db1", lease)
    watcher = watch(cluster, cluster.follower())
    with renewing(cluster, lease, every=1.0):
        assert not drive(watcher, lambda: revoked(watcher), seconds=3 * SECONDS)
    assert cluster.holds("leader")


@pytest.mark.parametrize("all_are_up", [True, False])
def test_etcds_leadership_leaves_the_host_of_patronis_leader(cluster, all_are_up):
    lease, leader = cluster.grant(TTL), cluster.leader()
    cluster.lead("db1", lease)
    watcher = watch(cluster, leader, Rules(seconds=TTL - 1, stall=LATE, interval=0.2))
    clients = {member.client: cluster.gateway(member) for member in cluster.members}
    watcher.handover = Handover(clients, "db1", after=1)
    if not all_are_up:
        cluster.follower().kill()
    with renewing(cluster, lease):
        assert drive(watcher, lambda: any("etcd's leadership" in line for line in watcher.said)), watcher.said
    assert (cluster.leader() is leader) == (not all_are_up)
    assert cluster.holds("leader")


class Meddled:
    """A store in whose calls something happens just before."""

    def __init__(self, store: Gateway, before: dict[str, Callable[[], None]]) -> None:
        self._store, self._before = store, before

    def __getattr__(self, name: str) -> Any:
        self._before.get(name, lambda: None)()
        return getattr(self._store, name)


def test_a_renewal_that_arrives_while_revoking_ends_as_one_after_the_expiry(cluster):
    """The leader was told that it has 20 s more. It learns the truth at its next renewal, and gets no second key."""
    lease, heard = cluster.grant(TTL), []
    cluster.lead("db1", lease)
    store = Meddled(cluster.gateway(cluster.follower()), {"revoke": lambda: heard.append(cluster.renew(lease))})
    watcher = watch(cluster, cluster.follower(), store=store)
    assert drive(watcher, lambda: revoked(watcher))
    assert heard == [TTL]
    successor = cluster.grant(TTL)
    assert take(cluster, "db2", successor)
    assert cluster.renew(lease) == 0
    assert not take(cluster, "db1", cluster.grant(TTL))


def take(cluster: Cluster, member: str, lease: int) -> bool:
    """Take the leader key as Patroni does: only where there is none."""
    key = encode(f"{PREFIX}leader")
    body = {
        "compare": [{"key": key, "target": "CREATE", "createRevision": "0"}],
        "success": [{"requestPut": {"key": key, "value": encode(member), "lease": str(lease)}}],
    }
    return bool(cluster.call("/v3/kv/txn", body).get("succeeded"))


def test_two_watchers_at_once_do_it_once_and_spare_the_successor(cluster):
    lease, successor = cluster.grant(TTL), cluster.grant(TTL)
    cluster.lead("db1", lease)
    other = watch(cluster, cluster.members[1])

    def the_other_is_first() -> None:
        assert drive(other, lambda: revoked(other))
        assert take(cluster, "db2", successor)

    late = Meddled(cluster.gateway(cluster.members[0]), {"revoke": the_other_is_first})
    watcher = watch(cluster, cluster.members[0], store=late)
    assert drive(watcher, lambda: revoked(other))
    assert any(line.startswith("found revoked already") for line in watcher.said), watcher.said
    assert cluster.renew(successor) == TTL
    assert cluster.holds("leader")


def test_a_restarted_member_makes_its_watcher_count_anew(cluster):
    lease = cluster.grant(TTL)
    cluster.lead("db1", lease)
    member = cluster.follower()
    watcher = watch(cluster, member)
    assert not drive(watcher, lambda: revoked(watcher), seconds=SECONDS / 2)
    cluster.restart(member)
    back = time.monotonic()
    assert drive(watcher, lambda: revoked(watcher)), watcher.said
    assert time.monotonic() - back >= SECONDS
    assert any("counting anew" in line for line in watcher.said)


def test_a_token_that_etcd_forgot_is_replaced_without_a_gap(cluster):
    """etcd forgets a user's tokens when its password is set."""
    gateway = cluster.gateway(cluster.members[0])
    gateway.read()
    root = EtcdClient(cluster.tls.client(cluster.members[0].client, TIMEOUT)).login("root", PASSWORD)
    root.call("/v3/auth/user/changepw", {"name": "lease_watcher", "password": PASSWORD})
    wait_until(lambda: refuses(gateway), "the end of the token")
    gateway.read()


def test_a_token_from_beyond_the_members_raft_log_is_replaced(cluster):
    """Where etcd lost its data, a request waits until it has come as far as when its token was given."""
    lease = cluster.grant(TTL)
    cluster.lead("db1", lease)
    gateway = cluster.gateway(cluster.members[0])
    gateway.read()
    gateway._token = f"{gateway._token.partition('.')[0]}.{10**9}"
    watcher = watch(cluster, cluster.members[0], store=gateway)
    assert drive(watcher, lambda: any("the leader is db1" in line for line in watcher.said)), watcher.said
    assert any("timed out" in line for line in watcher.said)


def refuses(gateway: Gateway) -> bool:
    try:
        gateway._post("/v3/lease/timetolive", {"ID": "1"})
        gateway._post("/v3/kv/range", {"key": encode(f"{PREFIX}leader")})
    except GatewayError as error:
        return "invalid auth token" in str(error)
    return False


def test_without_a_quorum_etcds_leader_alone_proves_nothing(cluster):
    lease = cluster.grant(TTL)
    cluster.lead("db1", lease)
    leader = cluster.leader()
    watcher = watch(cluster, leader)
    watcher.step()
    others = [member for member in cluster.members if member is not leader]
    for other in others:
        other.signal(signal.SIGSTOP)
    try:
        assert not drive(watcher, lambda: revoked(watcher), seconds=3 * SECONDS)
    finally:
        for other in others:
            other.signal(signal.SIGCONT)
    cluster.wait_until_healthy()
    assert not revoked(watcher)
    assert cluster.holds("leader")


def test_a_deposed_leaders_memory_of_the_lease_proves_nothing(cluster):
    """etcd's leader freezes, its successor gets the renewals; thawed, the old one doesn't know of them for a moment."""
    lease = cluster.grant(TTL)
    cluster.lead("db1", lease)
    frozen = cluster.leader()
    watcher = watch(cluster, frozen, Rules(seconds=SECONDS, stall=1000.0, interval=0.01))
    watcher.step()
    frozen.signal(signal.SIGSTOP)
    cluster.clients.pop(frozen.name, None)
    try:
        wait_until(lambda: cluster.leader() is not frozen, "another leader of etcd")
        with renewing(cluster, lease) as times:
            wait_until(lambda: time.monotonic() - times[0] > 2 * SECONDS, "some seconds of renewals")
            frozen.signal(signal.SIGCONT)
            assert not drive(watcher, lambda: revoked(watcher), seconds=2.0), watcher.said
    finally:
        frozen.signal(signal.SIGCONT)
    assert cluster.holds("leader")


@pytest.mark.parametrize("between", ["two rounds", "the two reads of one round"])
def test_a_lease_id_that_is_used_again_is_another_lease(cluster, between):
    lease = cluster.grant(TTL, lease=4242)
    cluster.lead("db1", lease)
    at = []

    def use_again() -> None:
        cluster.call("/v3/lease/revoke", {"ID": str(lease)})
        cluster.grant(TTL, lease=lease)
        cluster.lead("db1", lease)
        at.append(time.monotonic())

    count = itertools.count()
    meddle = {"time_to_live": lambda: use_again() if next(count) == 5 else None} if "reads" in between else {}
    watcher = watch(cluster, cluster.follower(), store=Meddled(cluster.gateway(cluster.follower()), meddle))
    if meddle:
        assert drive(watcher, lambda: at)
    else:
        assert not drive(watcher, lambda: revoked(watcher), seconds=0.75 * SECONDS)
        use_again()
    assert drive(watcher, lambda: revoked(watcher)), watcher.said
    assert time.monotonic() - at[0] >= SECONDS


def test_a_new_etcd_leader_extends_the_lease_and_the_counting_starts_anew(cluster):
    lease = cluster.grant(TTL)
    cluster.lead("db1", lease)
    old = cluster.leader()
    member = cluster.follower()
    watcher = watch(cluster, member)
    assert not drive(watcher, lambda: revoked(watcher), seconds=0.75 * SECONDS)
    old.kill()
    cluster.clients.pop(old.name, None)
    gone = time.monotonic()
    assert drive(watcher, lambda: revoked(watcher)), watcher.said
    assert time.monotonic() - gone >= SECONDS


def test_the_watchers_user_may_do_what_it_must_and_nothing_else(cluster):
    lease, foreign = cluster.grant(TTL), cluster.grant(TTL)
    cluster.lead("db1", lease)
    cluster.put("sync", "{}", foreign)
    gateway = cluster.gateway(cluster.members[0])
    assert gateway.read().leadership is not None
    for path, body in (
        ("/v3/kv/put", {"key": encode(f"{PREFIX}config"), "value": ""}),
        ("/v3/kv/put", {"key": encode("/elsewhere"), "value": ""}),
        ("/v3/kv/range", {"key": encode(f"{PREFIX}sync")}),
        ("/v3/auth/user/list", {}),
    ):
        with pytest.raises(GatewayError, match="permission denied"):
            gateway._call(path, body)
    with pytest.raises(GatewayError, match="permission denied"):
        gateway.revoke(foreign)
    assert cluster.holds("sync")
    assert gateway.revoke(lease)
    assert not gateway.revoke(lease)


@pytest.mark.parametrize(
    "config",
    [
        CONFIG.replace("}", ', "pause": true}'),
        CONFIG.replace('"quorum"', "false"),
        CONFIG.replace('"loop_wait": 1', '"loop_wait": 10'),
        "not JSON",
    ],
)
def test_patronis_own_configuration_is_heeded_as_it_is_now(cluster, config):
    lease = cluster.grant(TTL)
    cluster.lead("db1", lease, config)
    watcher = watch(cluster, cluster.follower())
    assert not drive(watcher, lambda: revoked(watcher), seconds=2 * SECONDS)
    cluster.put("config", CONFIG)
    assert drive(watcher, lambda: revoked(watcher)), watcher.said


@pytest.mark.parametrize(("command", "fenced"), [(["test", "{member}", "=", "db1"], True), (["false"], False)])
def test_a_node_that_is_confirmed_off_is_not_waited_for(cluster, command, fenced):
    lease = cluster.grant(TTL)
    cluster.lead("db1", lease)
    watcher = watch(cluster, cluster.follower(), Rules(seconds=10, stall=1.5, interval=0.2, fencing_after=SECONDS))
    watcher.fencing = Fencing(command, 1, ["db1"])
    assert drive(watcher, lambda: revoked(watcher), seconds=3 * SECONDS) is fenced, watcher.said


class TestAMemberSetAside:
    """A leader that answers nobody need not be asked by the standbys; its member key says so."""

    @staticmethod
    def lead(cluster: Cluster, url: str) -> int:
        lease = cluster.grant(TTL)
        data = {"api_url": url, "state": "running", "tags": {"clonefrom": True}}
        cluster.lead("db1", lease, data=json.dumps(data))
        return lease

    def test_silent_and_revoked_it_has_no_interface_to_ask(self, cluster):
        with listening(cluster.tls, answers=False) as url:
            lease = self.lead(cluster, url)
            watcher = watch(cluster, cluster.follower())
            assert drive(watcher, lambda: revoked(watcher)), watcher.said
        assert not cluster.holds("leader")
        key = cluster.get("members/db1")
        assert json.loads(key["value"]) == {"state": "running", "tags": {"clonefrom": True}}
        assert int(key["lease"]) not in {0, lease}

    def test_one_that_answers_is_asked_by_the_standbys_too(self, cluster):
        with listening(cluster.tls, answers=True) as url:
            self.lead(cluster, url)
            watcher = watch(cluster, cluster.follower())
            assert drive(watcher, lambda: revoked(watcher)), watcher.said
        assert not cluster.holds("members/db1")

    def test_one_whose_port_is_closed_is_quick_to_ask(self, cluster):
        with listening(cluster.tls, answers=False) as url:
            pass
        self.lead(cluster, url)
        watcher = watch(cluster, cluster.follower())
        assert drive(watcher, lambda: revoked(watcher)), watcher.said
        assert not cluster.holds("members/db1")

    def test_an_answer_that_is_still_awaited_when_the_leader_renews_says_nothing_later(self, cluster):
        presence, leadership = Presence(cluster.tls.ca, PATIENCE), Leadership("db1", lease=7, created=100)
        with listening(cluster.tls, answers=False) as silent, listening(cluster.tls, answers=True) as url:
            presence.ask(leadership, silent)
            presence.forget()
            presence.ask(leadership, url)
            time.sleep(2 * PATIENCE)
            assert not presence.is_silent(leadership)
            presence.ask(leadership, silent)
            wait_until(lambda: presence.is_silent(leadership), "the silence is noticed")

    @pytest.mark.parametrize("meanwhile", ["leader", "members/db1"])
    def test_what_was_written_meanwhile_stands(self, cluster, meanwhile):
        lease = self.lead(cluster, "https://127.0.0.1:1")
        gateway = cluster.gateway(cluster.follower())
        leadership, member = gateway.read().leadership, gateway.member("db1")
        if meanwhile == "leader":
            cluster.delete("leader")
        cluster.put(meanwhile, "written anew", lease)
        assert not gateway.set_aside(leadership, member)
        assert cluster.get(meanwhile)["value"] == "written anew"
        assert int(cluster.get("members/db1")["lease"]) == lease


@contextmanager
def listening(tls: Tls, *, answers: bool) -> Iterator[str]:
    """A REST interface on a loopback port; without an answer it takes connections, as a frozen host's kernel does."""
    if not answers:
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield f"https://127.0.0.1:{server.getsockname()[1]}/patroni"
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.cert, tls.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_port}/patroni"
        finally:
            server.shutdown()
            thread.join()


class TestTheProcess:
    """The service as systemd runs it."""

    @pytest.fixture
    def process(self, cluster: Cluster, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        tls, member = cluster.tls, cluster.follower()
        access = {"endpoint": member.client, "ca": tls.ca, "cert": tls.cert, "key": tls.key}
        config = {
            "rules": {"seconds": SECONDS, "stall": 1.5, "interval": 0.2},
            "access": {**access, "username": "lease_watcher", "password": PASSWORD},
            "prefix": PREFIX,
            "fencing": {"command": [], "timeout": TIMEOUT, "members": ["db1"]},
            "handover": {"endpoints": [], "member": "db1", "after": 60},
        }
        path = tmp_path / "config.json"
        path.write_text(json.dumps(config))
        command = [sys.executable, "-B", "-m", "lease_watcher", str(path)]
        folder = Path(lease_watcher.__file__).parent.parent
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
            yield process
            process.kill()

    def test_frozen_and_thawed_it_forgets_what_it_saw(self, cluster, process):
        lease = cluster.grant(TTL)
        cluster.lead("db1", lease)
        said = said_by(process)
        wait_until(lambda: any("the leader is db1" in line for line in said), "a first look")
        process.send_signal(signal.SIGSTOP)
        with renewing(cluster, lease) as times:
            wait_until(lambda: time.monotonic() - times[0] > 2 * SECONDS, "a long freeze")
            process.send_signal(signal.SIGCONT)
            wait_until(lambda: time.monotonic() - times[0] > 4 * SECONDS, "some seconds after it")
        assert cluster.holds("leader")
        assert not [line for line in said if line.startswith("revoked")]
        wait_until(lambda: any(line.startswith("revoked") for line in said), "the revocation")
        assert time.monotonic() - times[-1] >= SECONDS
        assert not cluster.holds("leader")


def said_by(process: subprocess.Popen[str]) -> list[str]:
    """The lines of a process, as they come."""
    said: list[str] = []
    threading.Thread(target=lambda: said.extend(process.stdout or ()), daemon=True).start()
    return said
