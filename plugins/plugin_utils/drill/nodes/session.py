# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One SSH session per node with an agent at its end: requests by id, and streams of observations."""

from __future__ import annotations

import contextlib
import itertools
import json
import shlex
import socket
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset, estimate
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Node

# From requirements-drill.txt on the controller; this module can be imported without it.
try:
    import paramiko
except ImportError:
    paramiko = None  # type: ignore[assignment]

PLUGINS = Path(__file__).resolve().parents[3]
PACKAGE = "ansible_collections.holdfast.ha.plugins"
# The agent's modules, each after those that it imports.
MODULES = (
    "module_utils/http_json",
    "module_utils/haproxy",
    "module_utils/stopwatch",
    "module_utils/postgresql_session",
    "module_utils/pgbouncer",
    "module_utils/patroni",
    "module_utils/patroni_config",
    "module_utils/patroni_api",
    "module_utils/patroni_switchover",
    "module_utils/switchover",
    "module_utils/safe_path",
    "module_utils/kernel_settings",
    "module_utils/timings",
    "plugin_utils/drill/agent/wire",
    "plugin_utils/drill/agent/attempts",
    "plugin_utils/drill/agent/load",
    "plugin_utils/drill/agent/sample",
    "plugin_utils/drill/agent/alerts",
    "plugin_utils/drill/agent/probe",
    "plugin_utils/drill/agent/harm",
    "plugin_utils/drill/agent/main",
)
BOOTSTRAP = """import json, sys, types
given = json.loads(sys.stdin.buffer.read(int(sys.stdin.buffer.readline())))
for name, source in given["modules"]:
    sys.modules[name] = module = types.ModuleType(name)
    package, _, own = name.rpartition(".")
    setattr(sys.modules.setdefault(package, types.ModuleType(package)), own, module)
    exec(compile(source, name, "exec"), module.__dict__)
sys.modules[given["modules"][-1][0]].main(given["configuration"])
"""
CONNECT_SECONDS = 5.0
EXCHANGES = 9

Stream = Callable[[str, list[list[Any]], Offset], None]


class SessionLostError(Exception):
    """The session to the node is lost or could not be opened."""


class AgentError(Exception):
    """The node's agent could not carry out a request."""


def sources() -> list[tuple[str, str]]:
    """Return the agent's modules with their source."""
    return [
        (f"{PACKAGE}.{name.replace('/', '.')}", (PLUGINS / f"{name}.py").read_text(encoding="utf-8"))
        for name in MODULES
    ]


class Session:
    """A connected agent."""

    def __init__(self, node: Node, configuration: Mapping[str, Any], stream: Stream) -> None:
        self.node = node
        self._stream = stream
        self._ids = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._ready: Future[Any] = Future()
        self._lost = ""
        self._ssh = connect(node)
        try:
            self._channel = self._start(configuration)
            threading.Thread(target=self._read, daemon=True, name=f"read {node.name}").start()
            self._ready.result(CONNECT_SECONDS * 2)
            self.offset = self._measure()
        except (NotYet, OSError, paramiko.SSHException) as error:
            self.close()
            raise SessionLostError(f"{node.name}: {self._lost or error or 'its agent did not start'}") from None
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the session is still open, as far as known."""
        return not self._lost

    def call(self, operation: str, patience: float = 15.0, **arguments: Any) -> Any:
        """Return the agent's answer; raises SessionLostError or AgentError."""
        identity, future = next(self._ids), Future[Any]()
        with self._lock:
            if self._lost:
                raise SessionLostError(f"{self.node.name}: {self._lost}")
            self._waiting[identity] = future
            request = json.dumps({"id": identity, "operation": operation, "arguments": arguments})
            try:
                self._channel.sendall(request.encode() + b"\n")
            except OSError as error:
                self._lost = str(error) or "the session is closed"
                raise SessionLostError(f"{self.node.name}: {self._lost}") from None
        try:
            return future.result(patience)
        except NotYet:
            raise SessionLostError(f"{self.node.name}: no answer to {operation} in {patience:g} s") from None
        finally:
            self._waiting.pop(identity, None)

    def measure_clock(self) -> None:
        """Measure the node's clock again; keep the old offset unless the new one differs or is far more precise."""
        old, new = self.offset, self._measure()
        if abs(new.seconds - old.seconds) > old.uncertainty or new.uncertainty < old.uncertainty / 2:
            self.offset = new

    def close(self) -> None:
        """End the session and its agent."""
        self._fail("closed")
        with contextlib.suppress(Exception):
            self._ssh.close()

    def _measure(self) -> Offset:
        exchanges = []
        for _number in range(EXCHANGES):
            asked = time.monotonic()
            told = self.call("now", 2.0)
            exchanges.append((asked, told, time.monotonic()))
        return estimate(exchanges)

    def _start(self, configuration: Mapping[str, Any]) -> paramiko.Channel:
        transport = self._ssh.get_transport()
        if transport is None:
            raise SessionLostError(f"{self.node.name}: no transport")
        transport.set_keepalive(10)
        channel = transport.open_session(timeout=CONNECT_SECONDS)
        channel.exec_command(command(self.node))
        if self.node.become and self.node.become_password:
            channel.sendall(self.node.become_password.encode() + b"\n")
        payload = json.dumps({"modules": sources(), "configuration": configuration}).encode()
        channel.sendall(b"%d\n" % len(payload) + payload)
        return channel

    def _read(self) -> None:
        reason = "the session ended"
        try:
            with self._channel.makefile("rb") as lines:
                for line in lines:
                    self._take(json.loads(line))
        except (OSError, ValueError, EOFError) as error:
            reason = str(error) or type(error).__name__
        with contextlib.suppress(Exception):
            while self._channel.recv_stderr_ready():
                reason = self._channel.recv_stderr(65536).decode(errors="replace").strip().splitlines()[-1]
        self._fail(reason)

    def _take(self, message: Mapping[str, Any]) -> None:
        if "rows" in message:
            for stream, rows in message["rows"].items():
                self._stream(stream, rows, self.offset)
        elif "ready" in message:
            settle(self._ready)
        elif future := self._waiting.get(message["id"]):
            wrong = AgentError(f"{self.node.name}: {message['error']}") if "error" in message else None
            settle(future, message.get("result"), wrong)

    def _fail(self, reason: str) -> None:
        with self._lock:
            self._lost = self._lost or reason
            waiting = [*self._waiting.values(), self._ready]
        for future in waiting:
            settle(future, error=SessionLostError(f"{self.node.name}: {reason}"))


def settle(future: Future[Any], result: Any = None, error: Exception | None = None) -> None:
    """Set a future's outcome unless it has one: an answer may arrive after the session was closed."""
    with contextlib.suppress(InvalidStateError):
        if error:
            future.set_exception(error)
        else:
            future.set_result(result)


def command(node: Node) -> str:
    """Return the shell command that starts the agent."""
    python = f"exec {shlex.quote(node.interpreter)} -u -c {shlex.quote(BOOTSTRAP)}"
    if not node.become:
        return python
    ask = "-S -p ''" if node.become_password else "-n"
    return f'exec sudo {ask} -- env SSH_CONNECTION="$SSH_CONNECTION" sh -c {shlex.quote(python)}'


def connect(node: Node) -> paramiko.SSHClient:
    """Return an SSH connection without Nagle's delay; raises SessionLostError."""
    client = paramiko.SSHClient()
    known = Path(node.known_hosts or "~/.ssh/known_hosts").expanduser()
    if known.exists():
        client.load_host_keys(str(known))
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy() if node.accept_new_keys else paramiko.RejectPolicy())
    try:
        wire: Any
        if node.proxy_command:
            wire = paramiko.ProxyCommand(node.proxy_command)
        else:
            wire = socket.create_connection((node.address, node.port), CONNECT_SECONDS)
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect(
            node.address,
            node.port,
            node.user,
            password=node.password or None,
            key_filename=node.key_file or None,
            sock=wire,
            timeout=CONNECT_SECONDS,
            banner_timeout=CONNECT_SECONDS,
            auth_timeout=CONNECT_SECONDS,
            allow_agent=not node.key_file,
            look_for_keys=not node.key_file,
        )
    except (OSError, EOFError, paramiko.SSHException) as error:
        client.close()
        raise SessionLostError(f"{node.name}: SSH to {node.address}: {error or type(error).__name__}") from None
    return client
