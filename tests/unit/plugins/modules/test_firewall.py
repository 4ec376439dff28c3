# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a host whose programs do as the real ones, with their state in a file."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.module_utils import firewall as core
from ansible_collections.holdfast.ha.plugins.modules import firewall as sut

PROGRAM = """#!{python}
import json, pathlib, sys
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
file = pathlib.Path({state!r})
state = json.loads(file.read_text())
code = 0
if name == "unshare":
    print(sys.stdin.read().partition("delete table inet holdfast_firewall\\n")[2], end="")
elif name == "nft" and "list" in words:
    code = 0 if state["table"] else 1
    print(state["table"] or "", end="")
elif name == "nft" and "-c" in words:
    code = 1 if state["refuses"] else 0
    print("syntax error", file=sys.stderr)
elif name == "nft":
    text = sys.stdin.read() if words[1] == "-" else pathlib.Path(words[1]).read_text()
    loaded = text.partition("delete table inet holdfast_firewall\\n")[2]
    state["table"] = loaded if loaded.strip() else None
elif name == "systemd-run":
    state["timer"] = words[-1]
elif name == "systemctl" and words[0] == "is-active":
    code = 0 if state["timer"] else 3
elif name == "systemctl" and words[0] == "stop":
    state["timer"] = None
file.write_text(json.dumps(state))
sys.exit(code)
"""
RULES = [{"port": 5432, "sources": ["192.0.2.0/24"], "about": "PostgreSQL"}]
PROGRAMS = ("nft", "systemctl", "systemd-run", "unshare")
MORE = [*RULES, {"port": 2379, "sources": ["192.0.2.11"]}]


@dataclass
class Host:
    """A host whose state is a file."""

    path: Path

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found

    def change(self, **values: Any) -> None:
        self.path.write_text(json.dumps({**self.state(), **values}))

    def let_time_pass(self, previous: str) -> None:
        """The timer ends."""
        text = Path(previous).read_text()
        self.change(timer=None, table=text.partition(core.REMOVAL)[2] or None)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host(tmp_path / "state.json")
    made.path.write_text(json.dumps({"table": None, "timer": None, "refuses": False}))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text(PROGRAM.format(python=sys.executable, state=str(made.path)))
        (programs / name).chmod(0o755)
    monkeypatch.setattr(sut.AnsibleModule, "get_bin_path", lambda _self, name, **_options: found(programs / name))
    monkeypatch.setattr(core, "PREVIOUS", str(tmp_path / "previous.nft"))
    monkeypatch.setattr(sut.safe_path, "replace", lambda path, content, _access: Path(path).write_bytes(content))
    monkeypatch.setattr(sut.safe_path, "look", lambda path: Path(path).exists() or None)
    monkeypatch.setattr(sut.safe_path, "remove", lambda path: Path(path).unlink(missing_ok=True))
    monkeypatch.setattr(sut, "own_session", lambda: core.Session(ipaddress.ip_address("192.0.2.5"), 22))
    return made


def found(program: Path) -> str | None:
    return str(program) if program.exists() else None


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(host: Host, capsys: pytest.CaptureFixture[str]) -> Run:
    def run_module(state: str, rules: Any = None, check: bool = False, **more: Any) -> dict[str, Any]:
        wanted = RULES if rules is None else rules
        arguments = {"state": state, "rules": wanted, **more, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            sut.main()
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run_module


def test_a_table_is_tried_then_kept(host: Host, run: Run) -> None:
    planned = run("planned")
    assert (planned["changed"], planned["pending"]) == (False, True)
    tried = run("tried")
    assert tried["changed"]
    assert core.mark(host.state()["table"]) == core.mark(planned["content"])
    assert host.state()["timer"] == core.PREVIOUS
    assert tried["pending"], "not confirmed yet"
    assert not run("confirmed")["pending"]
    assert host.state()["timer"] is None
    assert not run("planned")["pending"]
    assert not run("tried")["changed"]


def test_check_mode_loads_nothing(host: Host, run: Run) -> None:
    before = host.state()
    tried = run("tried", check=True)
    assert tried["changed"]
    assert "tcp dport { 5432 }" in tried["diff"]["after"]
    assert host.state() == before


def test_without_a_confirmation_the_former_table_comes_back(host: Host, run: Run) -> None:
    run("tried")
    run("confirmed")
    kept = host.state()["table"]
    run("tried", rules=MORE)
    assert host.state()["table"] != kept
    host.let_time_pass(core.PREVIOUS)
    assert host.state()["table"] == kept
    late = run("confirmed", rules=MORE)
    assert late["failed"]
    assert "the timer was faster" in late["msg"]


def test_a_first_table_that_is_undone_leaves_none(host: Host, run: Run) -> None:
    run("tried")
    assert run("undone")["changed"]
    assert (host.state()["table"], host.state()["timer"]) == (None, None)
    assert not run("undone")["changed"]


def test_after_a_killed_run_the_next_goes_back_to_what_was_kept(host: Host, run: Run) -> None:
    run("tried")
    run("confirmed")
    kept = host.state()["table"]
    run("tried", rules=MORE)  # and the controller dies
    assert run("planned", rules=MORE)["pending"], "loaded, but a timer will take it back"
    assert run("tried", rules=MORE)["changed"]
    run("undone", rules=MORE)
    assert host.state()["table"] == kept


@pytest.mark.parametrize("altered", ["", "added"])
def test_a_table_that_others_changed_is_loaded_again(host: Host, run: Run, altered: str) -> None:
    run("tried")
    run("confirmed")
    kept = host.state()["table"]
    comment = next(line for line in kept.splitlines() if "comment" in line)
    emptied = f"table inet holdfast_firewall {{\n{comment}\n}}\n"
    host.change(table=kept.replace("counter drop", "tcp dport 80 accept\ncounter drop") if altered else emptied)
    assert core.mark(host.state()["table"]) == core.mark(kept)
    assert run("planned")["pending"]
    assert run("tried")["diff"]["after"] == kept
    assert host.state()["table"] == kept


def test_a_probe_says_when_the_former_table_is_back(host: Host, run: Run) -> None:
    run("tried")
    assert "failed" not in run("probed")
    host.let_time_pass(core.PREVIOUS)
    assert "the timer was faster" in run("probed")["msg"]


@pytest.mark.parametrize("steps", [["tried"], ["tried", "confirmed"]])
def test_a_table_is_removed_with_its_timer(host: Host, run: Run, steps: list[str]) -> None:
    run("tried", rules=MORE)
    run("confirmed", rules=MORE)
    for step in steps:
        run(step)
    before = host.state()
    would = run("absent", check=True)
    assert (would["changed"], would["diff"]["after"], host.state()) == (True, "", before)
    assert run("absent")["changed"]
    assert (host.state()["table"], host.state()["timer"]) == (None, None)
    assert not Path(core.PREVIOUS).exists()
    assert not run("absent")["changed"]


def test_a_timer_without_a_table_is_removed(host: Host, run: Run) -> None:
    """A run of an earlier version stopped the unit, whose stop deleted the table, and left the timer."""
    run("tried")
    host.change(table=None)
    assert run("absent", check=True)["changed"]
    assert run("absent")["changed"]
    assert host.state()["timer"] is None


@pytest.mark.parametrize("check", [False, True])
def test_where_nothing_is_nothing_is_removed(host: Host, run: Run, check: bool) -> None:
    (host.path.parent / "bin/nft").unlink()
    gone = run("absent", check=check)
    assert (gone["changed"], gone["pending"], "diff" in gone) == (False, False, False)


def test_a_table_that_nft_refuses_is_not_loaded(host: Host, run: Run) -> None:
    host.change(refuses=True)
    assert "syntax error" in run("tried")["msg"]
    assert host.state() == {"table": None, "timer": None, "refuses": True}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"ssh_sources": ["198.51.100.0/24"]}, "comes from 192.0.2.5"),
        ({"ssh_ports": [2222]}, "came to the port 22"),
        ({"rules": [{"port": 1, "sources": ["db1"]}]}, "rules: 'db1'"),
    ],
)
def test_a_table_that_would_end_the_session_is_refused(
    host: Host, run: Run, options: dict[str, Any], says: str
) -> None:
    before = host.state()
    assert says in run("tried", **options)["msg"]
    assert host.state() == before


@pytest.fixture
def ports() -> Iterator[dict[str, int]]:
    """A port that is open, and one that is closed."""
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_server(("127.0.0.1", 0)) as other:
        closed = other.getsockname()[1]
        other.close()
        yield {"open": listening.getsockname()[1], "closed": closed}


@pytest.mark.parametrize("state", ["planned", "probed"])
def test_what_can_be_reached_is_found(run: Run, ports: dict[str, int], state: str) -> None:
    reach = {name: {"address": "127.0.0.1", "port": port} for name, port in ports.items()}
    if state == "probed":
        run("tried")
    found = run(state, reach=[*reach.values()])
    assert (found["open"], found["closed"]) == ([reach["open"]], [reach["closed"]])


def test_the_session_is_found_in_the_processes_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """sudo drops the variable from the environment of what it runs."""
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    script = (
        "import subprocess, sys\n"
        "code = 'from ansible_collections.holdfast.ha.plugins.modules import firewall; print(firewall.own_session())'\n"
        "import os; environment = {k: v for k, v in os.environ.items() if k != 'SSH_CONNECTION'}\n"
        "print(subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True).stdout)"
    )
    environment = {**os.environ, "SSH_CONNECTION": "192.0.2.7 41000 192.0.2.11 2222", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert "192.0.2.7" in done.stdout
    assert "2222" in done.stdout
