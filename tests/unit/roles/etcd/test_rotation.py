# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of a real etcd's users change while clients work, which log in again whenever etcd forgets their token."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import etcd_convergence
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import EtcdClient, WrongPasswordError
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.module_utils.login_trial import Values, try_etcd

from tests.unit.roles.lease_watcher.etcd_cluster import PASSWORD, PREFIX, Cluster, Member, encode, wait_until

USERS = {"etcd_root": "root", "etcd_patroni": "patroni", "etcd_lease_watcher": "lease_watcher"}
NEW = {name: f"the-new-one-of-{name}" for name in USERS}
PUT = {"key": encode(f"{PREFIX}status"), "value": encode("x")}
FORGOTTEN = ("invalid auth token", "revision of auth store is old", "user name is empty")
"""What etcd says to a client whose login it no longer knows."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster.started(tmp_path)
    yield cluster
    cluster.stop()


@dataclass
class Patroni:
    """A client with the login in its configuration, which it uses when it has to log in."""

    member: Member
    cluster: Cluster
    login: tuple[str, str] = ("patroni", PASSWORD)
    done: int = 0
    logins: int = 0
    refused: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    client: EtcdClient | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        while not self.stopped.is_set():
            self.step()
            time.sleep(0.01)

    def step(self) -> None:
        try:
            if self.client is None:
                self.logins += 1
                fresh = EtcdClient(self.cluster.tls.client(self.member.client, 10))
                self.client = fresh.login(*self.login)
            assert self.client is not None
            self.client.call("/v3/kv/put", PUT)
            self.done += 1
        except WrongPasswordError as error:
            self.refused.append(str(error))
        except EndpointError as error:
            self.client = None
            if not any(text in error.message for text in FORGOTTEN):
                self.errors.append(error.message)


@contextmanager
def working(cluster: Cluster) -> Iterator[list[Patroni]]:
    """One client per member, that works meanwhile."""
    clients = [Patroni(member, cluster) for member in cluster.members]
    threads = [threading.Thread(target=client.work) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        for client in clients:
            client.stopped.set()
        for thread in threads:
            thread.join()


def goes_on(clients: list[Patroni]) -> None:
    """Wait until each client has written some more."""
    before = [client.done for client in clients]
    wait_until(lambda: all(client.done > done + 3 for client, done in zip(clients, before, strict=True)), "more writes")


def converge(cluster: Cluster, **params: Any) -> list[str]:
    """Do what the module etcd_cluster does; return its actions."""
    tls = cluster.tls
    given = {"endpoints": [member.client for member in cluster.members], "others": {}, "timeout": 30, "users": []}
    given |= {"ca_path": tls.ca, "certificate_path": tls.cert, "private_key_path": tls.key, "passwords": {}}
    return list(etcd_convergence.Cluster({**given, **params}, check_mode=False).run()["actions"])


def trials(cluster: Cluster, former: str = PASSWORD) -> Any:
    client = EtcdClient(cluster.tls.client(cluster.members[0].client, 10))
    return try_etcd(client, USERS, Values(NEW, dict.fromkeys(USERS, former)))[0]


def test_clients_never_meet_a_refused_login(cluster: Cluster) -> None:
    users = list(USERS.values())
    standins = [{"name": f"{user}_next", "like": user} for user in users]
    passwords = {f"{user}{ending}": NEW[name] for name, user in USERS.items() for ending in ("", "_next")}
    with working(cluster) as clients:
        goes_on(clients)
        assert trials(cluster).accepted == dict.fromkeys(USERS, False)

        opened = converge(cluster, root_password=PASSWORD, users=standins, passwords=passwords)
        assert "grant role patroni to user patroni_next" in opened
        assert converge(cluster, root_password=PASSWORD, users=standins, passwords=passwords) == []
        found = trials(cluster)
        assert (found.standing, found.foreign) == (dict.fromkeys(USERS, True), dict.fromkeys(USERS, False))
        goes_on(clients)

        for client in clients:
            client.login = ("patroni_next", NEW["etcd_patroni"])
        goes_on(clients)
        before = [client.logins for client in clients]
        changed = {
            "root_password": NEW["etcd_root"],
            "former_root_password": PASSWORD,
            "users": [{"name": user, "like": user} for user in users if user != "root"],
            "passwords": passwords,
        }
        assert converge(cluster, **changed) == [f"set the password of user {user}" for user in (*users[1:], "root")]
        goes_on(clients)
        assert all(client.logins > count for client, count in zip(clients, before, strict=True))
        assert converge(cluster, **changed) == []

        for client in clients:
            client.login = ("patroni", NEW["etcd_patroni"])
        absent = [f"{user}_next" for user in users]
        gone = converge(cluster, root_password=NEW["etcd_root"], absent_users=absent)
        assert gone == [f"delete user {user}" for user in absent]
        goes_on(clients)
    assert [client.refused + client.errors for client in clients] == [[], [], []]
    found = trials(cluster)
    no, yes = dict.fromkeys(USERS, False), dict.fromkeys(USERS, True)
    assert (found.accepted, found.former, found.standing) == (yes, no, no)


def test_a_password_that_changes_at_once_locks_clients_out(cluster: Cluster) -> None:
    """Without a stand-in the clients' next login is refused: the test above could not fail otherwise."""
    with working(cluster) as clients:
        goes_on(clients)
        wanted = {"users": [{"name": "patroni", "like": "patroni"}], "passwords": {"patroni": "another one, at once"}}
        converge(cluster, root_password=PASSWORD, **wanted)
        wait_until(lambda: all(client.refused for client in clients), "refused logins")


def test_a_user_that_does_not_exist_yet_is_no_changed_one(cluster: Cluster) -> None:
    client = EtcdClient(cluster.tls.client(cluster.members[0].client, 10))
    users = {"etcd_root": "root", "etcd_other": "other"}
    found, _admin = try_etcd(client, users, Values({"etcd_root": PASSWORD, "etcd_other": "x"}))
    assert found.accepted == {"etcd_root": True, "etcd_other": None}
    unknown, _admin = try_etcd(client, users, Values({"etcd_root": "x", "etcd_other": "x"}))
    assert unknown.accepted == {"etcd_root": False, "etcd_other": False}


def test_a_root_whose_password_nobody_has_is_an_error(cluster: Cluster) -> None:
    with pytest.raises(WrongPasswordError):
        converge(cluster, root_password="neither this", former_root_password="nor that")
