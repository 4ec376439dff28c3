# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module against a runtime socket that behaves as HAProxy's."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.module_utils.haproxy_drain import FORCED_DRAIN
from ansible_collections.holdfast.ha.plugins.modules import haproxy_server

STATES = {"ready": 0, "drain": FORCED_DRAIN, "maint": 0x01}
HEADER = "# pxname,svname,scur,stot,status,weight,act,bck,lastchg,check_status,check_code,check_duration,last_chk,addr"
STATE_HEADER = "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight"


@dataclass
class HAProxy:
    """Two pools, one of which is checked by a backend of its own; the sessions on a drained server end one a look."""

    path: str
    up: dict[tuple[str, str], bool]
    sessions: int = 2
    admin: dict[tuple[str, str], int] = field(default_factory=dict)
    weight: dict[tuple[str, str], int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    answer: str = "\n"

    def serve(self, listener: socket.socket) -> None:
        while True:
            connection, _address = listener.accept()
            with connection:
                command = connection.recv(1000).decode().strip()
                if not command:
                    return
                connection.sendall(self.reply(command).encode())

    def reply(self, command: str) -> str:
        if command == "show stat":
            return self.stat()
        if command == "show servers state":
            rows = [
                f"1 {one[0]} 1 {one[1]} ::1 2 {self.admin.get(one, 0)} {self.weight.get(one, 1)} 1" for one in self.up
            ]
            return "\n".join(("1", STATE_HEADER, *rows, ""))
        return "".join(map(self.set, command.split("; ")))

    def set(self, command: str) -> str:
        self.told.append(command)
        if self.answer == "\n":
            _set, _server, server, what, value = command.split()
            pool, name = server.split("/")
            if what == "state":
                self.admin[pool, name] = STATES[value]
            else:
                self.weight[pool, name] = int(value == "100%")
        return self.answer

    def stat(self) -> str:
        if FORCED_DRAIN in self.admin.values():
            self.sessions = max(0, self.sessions - 1)
        rows = [HEADER]
        for (pool, name), up in self.up.items():
            told = {FORCED_DRAIN: "DRAIN", STATES["maint"]: "MAINT"}
            status = told.get(self.admin.get((pool, name), 0), "UP") if up else "DOWN"
            rows.append(f"{pool},{name},{self.sessions if up else 0},9,{status},1,1,0,5,,,,,::1")
        rows += [f"{pool},BACKEND,0,0,UP,1,1,0,5,,,,," for pool in dict.fromkeys(pool for pool, _name in self.up)]
        return "\n".join((*rows, ""))


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[HAProxy]:
    up = {
        **{("primary", name): name == "db1" for name in ("db1", "db2", "db3")},
        **{("primary.checks", name): name == "db1" for name in ("db1", "db2", "db3")},
        **{("standby", name): name != "db1" for name in ("db1", "db2", "db3")},
    }
    fake = HAProxy(str(tmp_path / "admin.sock"), up)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(fake.path)
        listener.listen()
        thread = threading.Thread(target=fake.serve, args=(listener,))
        thread.start()
        yield fake
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as last:
            last.connect(fake.path)
            last.shutdown(socket.SHUT_WR)
            thread.join()


def run(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        haproxy_server.main()
    return dict(json.loads(capsys.readouterr().out))


def test_out_and_back(haproxy: HAProxy, capsys: pytest.CaptureFixture[str]) -> None:
    asked = {"server": "db2", "socket": haproxy.path}
    predicted = run(capsys, **asked, state="drained", _ansible_check_mode=True)
    assert (predicted["changed"], predicted["drained"], haproxy.told) == (True, ["standby"], [])
    out = run(capsys, **asked, state="drained")
    assert (out["changed"], out["pools"], out["left"]) == (True, ["standby"], [])
    assert haproxy.told == ["set server standby/db2 state drain", "set server standby/db2 weight 0%"]
    assert not run(capsys, **asked, state="drained")["changed"]
    back = run(capsys, **asked, state="ready")
    assert (back["changed"], back["pools"], back["drained"]) == (True, ["standby"], [])
    assert not run(capsys, **asked, state="ready")["changed"]
    assert haproxy.told[2:] == ["set server standby/db2 weight 100%", "set server standby/db2 state ready"]


@pytest.mark.parametrize("state", ["drain", "maint"])
def test_what_an_administrator_holds_back_stays(
    haproxy: HAProxy, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    haproxy.admin["standby", "db2"] = STATES[state]
    for wanted in ("drained", "ready"):
        assert not run(capsys, server="db2", socket=haproxy.path, state=wanted)["changed"]
    assert haproxy.told == []


def test_waits_until_the_sessions_have_ended(haproxy: HAProxy, capsys: pytest.CaptureFixture[str]) -> None:
    haproxy.sessions = 6
    asked = {"server": "db2", "state": "drained", "socket": haproxy.path}
    assert run(capsys, **asked)["sessions_left"] == {"standby": 5}
    waited = run(capsys, **asked, timeout=30)
    assert (waited["sessions_left"], waited["changed"]) == ({"standby": 0}, False)
    assert waited["waited"] > 0


def test_the_primary_stays_in_its_pool(haproxy: HAProxy, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, server="db1", state="drained", socket=haproxy.path)
    assert (found["changed"], found["left"], haproxy.told) == (False, ["primary"], [])


def test_an_answer_is_a_refusal(haproxy: HAProxy, capsys: pytest.CaptureFixture[str]) -> None:
    haproxy.answer = "Permission denied\n"
    found = run(capsys, server="db2", state="drained", socket=haproxy.path)
    told = "HAProxy did not set standby/db2 to state drain and weight 0%: Permission denied Permission denied"
    assert found["msg"] == told


def test_haproxy_that_does_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, server="db2", state="ready", socket=str(tmp_path / "none.sock"))
    assert found["failed"]
    assert "is HAProxy running?" in found["msg"]
