# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where connections through the virtual IP arrive, and who is refused."""

from __future__ import annotations

from collections import Counter

import pytest
from lab_cluster import DATABASES, VIP, assert_healthy, leader, on_node, sql, wait_until


def server(port: int) -> str:
    return "db" + sql("SELECT host(inet_server_addr())", port)[-1]


def test_writes_land_on_the_leader() -> None:
    assert sql("CREATE TEMP TABLE t (id int); INSERT INTO t VALUES (1); SELECT pg_is_in_recovery()") == "f"


def test_reads_are_spread_over_both_standbys_only() -> None:
    answers = Counter(server(5001) for _attempt in range(12))
    assert set(answers) == set(DATABASES) - {leader()}
    assert min(answers.values()) >= 4


def test_with_no_standby_the_read_port_closes_and_comes_back() -> None:
    standbys = sorted(set(DATABASES) - {leader()})
    for name in standbys:
        on_node(name, "systemctl", "stop", "patroni.service")
    try:
        ask = ("psql", "-h", VIP, "-p", "5001", "-U", "app", "-d", "app", "-c", "SELECT 1")
        wait_until(
            lambda: on_node("client1", *ask, check=False) == "", seconds=30, what="the read port has no server left"
        )
    finally:
        for name in standbys:
            on_node(name, "systemctl", "start", "patroni.service")
    assert_healthy()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--endpoints=http://127.0.0.1:2379",),
        ("--endpoints=https://127.0.0.1:2379", "--cacert=/etc/holdfast/tls/ca.crt"),
        (
            "--endpoints=https://127.0.0.1:2379",
            "--cacert=/etc/holdfast/tls/ca.crt",
            "--cert=/etc/holdfast/tls/client.crt",
            "--key=/etc/holdfast/tls/host.key",
        ),
    ],
    ids=["plaintext", "no-client-certificate", "no-password"],
)
def test_etcd_refuses(arguments: tuple[str, ...]) -> None:
    etcdctl = ("etcdctl", *arguments, "--command-timeout=3s", "get", "--prefix", "/service/")
    assert on_node("db1", *etcdctl, check=False) == ""


def test_a_client_without_tls_is_refused() -> None:
    connection = f"host={VIP} port=5000 user=app dbname=app sslmode=disable"
    assert on_node("client1", "psql", "-XAtc", "SELECT 1", connection, check=False) == ""
