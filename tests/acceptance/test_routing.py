# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where connections through the virtual IP arrive, and who is refused."""

from __future__ import annotations

import subprocess
from collections import Counter

import pytest
import yaml
from lab_cluster import DATABASES, SECRETS, VIP, assert_healthy, attempt, leader, on_node, sql, wait_until


def server(port: int) -> str:
    return "db" + sql("SELECT host(inet_server_addr())", port)[-1]


def refusal() -> str:
    """What the read port says to a client that it cannot serve, "" when it serves."""
    ask = ("psql", "-XAt", "-h", VIP, "-p", "5001", "-U", "app", "-d", "app", "-c", "SELECT 1")
    return attempt("client1", *ask).stderr


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
        wait_until(lambda: "closed the connection" in refusal(), seconds=30, what="the read port has no server left")
    finally:
        for name in standbys:
            on_node(name, "systemctl", "start", "patroni.service")
    assert_healthy()


TLS = ("--endpoints=https://127.0.0.1:2379", "--cacert=/etc/holdfast/tls/ca.crt")
CERTIFICATE = ("--cert=/etc/holdfast/tls/client.crt", "--key=/etc/holdfast/tls/host.key")


def ask_etcd(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ("etcdctl", "--command-timeout=3s", *arguments, "get", "--prefix", "--keys-only", "/service/")
    return attempt("db1", *command)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--endpoints=http://127.0.0.1:2379",), "error reading server preface: EOF"),
        (TLS, "tls: certificate required"),
        ((*TLS, *CERTIFICATE), "etcdserver: permission denied"),
    ],
    ids=["plaintext", "no-client-certificate", "no-password"],
)
def test_etcd_refuses(arguments: tuple[str, ...], reason: str) -> None:
    answer = ask_etcd(*arguments)
    assert answer.stdout == ""
    assert reason in answer.stderr


def test_etcd_serves_who_has_all_three() -> None:
    password = yaml.safe_load(SECRETS.read_text(encoding="utf-8"))["ha_secrets"]["etcd_root"]
    assert "/service/lab/" in ask_etcd(*TLS, *CERTIFICATE, f"--user=root:{password}").stdout


@pytest.mark.parametrize(("mode", "refused"), [("disable", True), ("require", False)])
def test_postgresql_demands_tls(mode: str, refused: bool) -> None:
    connection = f"host={VIP} port=5000 user=app dbname=app sslmode={mode}"
    answer = attempt("client1", "psql", "-XAtc", "SELECT 1", connection)
    assert ("no encryption" in answer.stderr, answer.stdout.strip()) == ((True, "") if refused else (False, "1"))
