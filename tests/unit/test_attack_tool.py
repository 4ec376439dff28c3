# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the attacks on the lab send is right, and a refusal is told from success and from trouble."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attack_tool
import pytest
import yaml

ACCEPTANCE = Path(attack_tool.__file__).parent
CASES = yaml.safe_load((ACCEPTANCE / "attack_cases.yml").read_text(encoding="utf-8"))
EACH = [(seat, case) for seat, cases in CASES["cases"].items() for case in cases]


def packet_of(message: bytes) -> bytes:
    return struct.pack("!ci", message[:1], len(message) + 3) + message[1:]


@contextmanager
def server(answer: bytes) -> Iterator[int]:
    """Answer one connection, and close it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _address = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def run(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, ACCEPTANCE / "attack_tool.py", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def test_an_advert_is_vrrp_s() -> None:
    packet = attack_tool.advert(51, "192.0.2.100", "192.0.2.22", "192.0.2.21")
    header, body = packet[:20], packet[20:]
    assert (header[8], header[9]) == (255, 112)
    assert struct.unpack("!BBBB", body[:4]) == (0x31, 51, 255, 1)
    pseudo = header[12:20] + struct.pack("!BBH", 0, 112, len(body))
    assert attack_tool.checksum(pseudo + body) == 0
    assert body[8:] == socket.inet_aton("192.0.2.100")


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (packet_of(b"R" + struct.pack("!i", 0)), 0, "logged in"),
        (packet_of(b"R" + struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0"), 1, "asks for a password"),
        (packet_of(b"ESFATAL\0Mpg_hba.conf rejects connection\0\0"), 1, "pg_hba.conf rejects"),
        (b"", 1, "closed the connection"),
    ],
)
def test_a_login_s_answer(answer: bytes, code: int, says: str) -> None:
    with server(answer) as port:
        found, said = run("postgres", "127.0.0.1", str(port), "app", "app", "--plain")
    assert found == code
    assert says in said


def test_no_tls_is_a_refusal() -> None:
    with server(b"N") as port:
        assert run("postgres", "127.0.0.1", str(port), "app", "app") == (1, "RefusedError: no TLS\n")


@pytest.mark.parametrize(("status", "code"), [("200 OK", 0), ("403 Forbidden", 1)])
def test_a_page_s_answer(status: str, code: int) -> None:
    with server(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno".encode()) as port:
        found, said = run("http", f"http://127.0.0.1:{port}/")
    assert (found, said.split()[0 if code == 0 else 1]) == (code, status[:3])


def test_a_closed_port_refuses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert run("http", f"http://127.0.0.1:{port}/")[0] == 1
    assert run("tls", "127.0.0.1", str(port))[0] == 1


def test_what_is_neither_is_trouble() -> None:
    assert run("tls", "name.invalid", "1")[0] == 2


@pytest.mark.parametrize(("seat", "case"), EACH, ids=lambda value: value if isinstance(value, str) else value["target"])
def test_a_case_says_what_it_expects(seat: str, case: dict[str, object]) -> None:
    assert seat in CASES["seats"]
    assert case["expect"] in ("refused", "possible")
    assert ("says" in case) is (case["expect"] == "refused")
    assert ("tool" in case) != ("shell" in case)
    if "tool" in case:
        attack_tool.parser().parse_args([str(word) for word in case["tool"]])  # type: ignore[attr-defined]
