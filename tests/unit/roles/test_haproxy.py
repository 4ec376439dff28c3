# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's configuration."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.render import render


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, ["status 200"]),
        ({"status": "200-399"}, ["status 200-399"]),
        ({"body": "it's up"}, ["status 200", r"string 'it'\''s up'"]),
        ({"body_pattern": '"role": "(a|b)"'}, ["status 200", """rstring '"role": "(a|b)"'"""]),
        (
            {"body": "up", "drains": "it's off"},
            ["status 200", r"error-status L7OKC ! string 'it'\''s off'", "string 'up'"],
        ),
        ({"body": "up", "body_pattern": "a's"}, ["status 200", "string 'up'", r"rstring 'a'\''s'"]),
    ],
)
def test_a_check_expects_what_was_told(told: dict[str, Any], expected: list[str]) -> None:
    server = {"name": "web1", "address": "192.0.2.1", "port": 80}
    pool: dict[str, Any] = {"name": "web", "port": 80, "check": {"type": "http", **told}, "servers": [server]}
    lines = render("haproxy", "haproxy.cfg.j2", {"haproxy_pools": [pool]}).splitlines()
    assert [line.partition("expect ")[2] for line in lines if "http-check expect" in line] == expected


def test_a_limit_for_clients_connections_is_none_of_the_checks() -> None:
    server = {"name": "db1", "address": "192.0.2.1", "port": 5432, "check_port": 8008}
    pool: dict[str, Any] = {"name": "rw", "port": 5000, "check": {"type": "http"}, "servers": [server]}
    together = sections(pool)
    assert together.keys() == {"rw"}
    apart = sections({**pool, "timeouts": {"connect": "250ms"}, "backend_options": ["default-server rise 3"]})
    assert apart.keys() == {"rw", "rw.checks"}
    assert {"timeout connect 250ms", "default-server rise 3"} <= apart["rw"]
    assert {"option httpchk", "default-server rise 3"} <= apart["rw.checks"]
    assert "option httpchk" not in apart["rw"]
    assert "timeout connect 250ms" not in apart["rw.checks"]
    assert "server db1 192.0.2.1:5432 track rw.checks/db1 on-marked-down shutdown-sessions tcp-ut 10s" in apart["rw"]
    assert "server db1 192.0.2.1:5432 check port 8008" in apart["rw.checks"]


@pytest.mark.parametrize(
    ("variables", "timeouts", "expected"),
    [
        ({"haproxy_timing": {"reconnect_interval": "250ms", "reconnect_retries": 12}}, {}, ["250ms", "12"]),
        ({"haproxy_timing": {"reconnect_interval": "250ms"}}, {"connect": "4s"}, ["4s"]),
        ({"haproxy_timing": {"reconnect_interval": "250ms"}, "haproxy_timeout_connect": "5s"}, {}, []),
        ({"haproxy_timing": {}}, {}, []),
        ({"haproxy_reconnect_interval": "70ms", "haproxy_reconnect_retries": 9}, {}, ["70ms", "9"]),
    ],
)
def test_how_soon_a_server_that_refuses_is_tried_again(
    variables: dict[str, Any], timeouts: dict[str, str], expected: list[str]
) -> None:
    server = {"name": "db1", "address": "192.0.2.1"}
    pool = {"name": "rw", "port": 5000, "reconnect": True, "servers": [server], "timeouts": timeouts}
    own = sections(pool, variables)["rw"]
    found = sorted(line.split()[-1] for line in own if line.startswith(("timeout connect", "retries")))
    assert found == sorted(expected)


def test_a_pool_without_checks_has_no_backend_for_them() -> None:
    server = {"name": "web1", "address": "192.0.2.1"}
    pool = {"name": "web", "port": 80, "check": {"type": "none"}, "servers": [server], "timeouts": {"connect": "1s"}}
    assert sections(pool).keys() == {"web"}


def test_a_name_that_such_a_backend_has_is_refused() -> None:
    pool = {"name": "web.checks", "port": 80, "servers": [{"name": "web1", "address": "192.0.2.1"}]}
    refused = render("haproxy", "errors.j2", {"haproxy_pools": [pool], "haproxy__endpoints": []})
    assert "haproxy_pools: the name web.checks ends in .checks" in refused


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        (["3 rw 1 db1 a 2", "3 rw 2 db2 b 0"], ["3 rw.checks 1 db1 a 2", "3 rw.checks 2 db2 b 0"]),
        (["3 rw 1 db1 a 2", "4 rw.checks 1 db1 a 2"], []),
    ],
)
def test_checks_that_move_begin_with_the_states_of_their_pool(
    known: list[str], expected: list[str], tmp_path: Path
) -> None:
    paths = {"haproxy__socket": str(tmp_path / "socket"), "haproxy__state_file": str(tmp_path / "state")}
    told = ["1", "# be_id be_name srv_id srv_name srv_addr srv_op_state", *known]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(paths["haproxy__socket"])
        listener.listen()

        def answer() -> None:
            with listener.accept()[0] as asked:
                asked.recv(99)
                asked.sendall("\n".join([*told, "", ""]).encode())

        threading.Thread(target=answer, daemon=True).start()
        subprocess.run([sys.executable, "-c", render("haproxy", "save-state.py.j2", paths)], check=True)
    written = (tmp_path / "state").read_text().splitlines()
    assert [line for line in written if line] == [*told, *expected]


def test_a_socket_that_never_ends_does_not_fill_the_memory(tmp_path: Path) -> None:
    paths = {"haproxy__socket": str(tmp_path / "socket"), "haproxy__state_file": str(tmp_path / "state")}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(paths["haproxy__socket"])
        listener.listen()

        def answer() -> None:
            with listener.accept()[0] as asked, contextlib.suppress(OSError):
                for _part in range(32):
                    asked.sendall(b"1 " * 524288)

        threading.Thread(target=answer, daemon=True).start()
        command = [sys.executable, "-c", render("haproxy", "save-state.py.j2", paths)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "answers without an end" in done.stderr
    assert not (tmp_path / "state").exists()


def sections(pool: dict[str, Any], variables: dict[str, Any] | None = None) -> dict[str, set[str]]:
    """Return the lines of each backend."""
    text = render("haproxy", "haproxy.cfg.j2", {"haproxy_pools": [pool], **(variables or {})})
    parts = [part.splitlines() for part in re.split(r"(?m)^(?=frontend|backend)", text)]
    return {part[0].split()[1]: {line.strip() for line in part} for part in parts if part[0].startswith("backend")}


KNOWN = "acl holdfast_clients var(sess.holdfast_client) -m ip "
UNLESS = " unless holdfast_clients"


@pytest.mark.parametrize(
    ("clients", "acls", "condition"),
    [
        (None, [], None),
        ([], [], ""),
        (["192.0.2.0/24", "2001:db8::/64"], [KNOWN + "192.0.2.0/24", KNOWN + "2001:db8::/64"], UNLESS),
        # HAProxy takes 64 words in a line.
        ([f"192.0.{n}.0/24" for n in range(99)], [f"{KNOWN}192.0.{n}.0/24" for n in range(99)], UNLESS),
    ],
)  # fmt: skip
def test_a_pool_lets_its_clients_in_and_nobody_else(
    clients: list[str] | None, acls: list[str], condition: str | None
) -> None:
    pool: dict[str, Any] = {"name": "web", "port": 80, "servers": [{"name": "web1", "address": "192.0.2.1"}]}
    told = pool if clients is None else {**pool, "clients": clients}
    lines = [line.strip() for line in render("haproxy", "haproxy.cfg.j2", {"haproxy_pools": [told]}).splitlines()]
    found = [line for line in lines if line.startswith(("acl ", "tcp-request con"))]
    seen = [] if condition is None else ["tcp-request connection set-var(sess.holdfast_client) src"]
    reject = [[*acls, f"tcp-request {layer} reject{condition}"] for layer in ("connection", "content")]
    released = ["tcp-request content set-bandwidth-limit unreached"]
    assert found == [*seen, *([] if condition is None else reject[0] + reject[1]), *released]


def test_no_other_frontend_leads_more_clients_to_a_pool() -> None:
    server = {"name": "db1", "address": "192.0.2.1", "port": 5432}
    strict = {"name": "rw", "port": 5000, "clients": ["192.0.2.0/24"], "timeouts": {"connect": "1s"}}
    options = {"bind_options": "accept-proxy", "frontend_options": ["use_backend rw", "use_backend rw.checks"]}
    pools = [{**strict, "servers": [server]}, {"name": "web", "port": 80, "servers": [server], **options}]
    text = render("haproxy", "haproxy.cfg.j2", {"haproxy_pools": pools, "haproxy_fallbacks": {"web": "rw"}})
    parts = [[line.strip() for line in part.splitlines()] for part in re.split(r"(?m)^(?=frontend|backend)", text)]
    found = {part[0]: [line for line in part if line.startswith(("tcp-request con", "use_backend"))] for part in parts}
    # The address that is judged is the connection's, kept before a PROXY header is read.
    assert found["frontend web"][0] == "tcp-request connection set-var(sess.holdfast_client) src"
    assert found["backend rw"][0] == "tcp-request content reject unless holdfast_clients"
    assert found["backend rw.checks"] == ["tcp-request content reject"]


def test_metrics_are_only_for_clients_with_a_certificate() -> None:
    assert "prometheus-exporter" not in render("haproxy", "haproxy.cfg.j2", {})
    text = render("haproxy", "haproxy.cfg.j2", {"haproxy_metrics_addresses": ["192.0.2.1"]})
    (section,) = [part for part in text.split("\n\n") if "prometheus-exporter" in part]
    (bind,) = [line.strip() for line in section.splitlines() if line.strip().startswith("bind")]
    files = "crt /etc/holdfast/tls/host.crt ca-file /etc/holdfast/tls/ca.crt"
    assert bind == f"bind 192.0.2.1:8406 ssl {files} verify required"
    assert section.startswith("frontend metrics")
    assert "ssl-load-extra-del-ext" in text
