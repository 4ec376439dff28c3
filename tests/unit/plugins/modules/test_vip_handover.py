# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module on a host whose programs do as the real ones, with their state in a file."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.module_utils import vip_handover as core
from ansible_collections.holdfast.ha.plugins.modules import vip_handover

VIP = "198.18.0.100/24"
PEER = "198.18.0.22"
IDLE = "0 0 198.18.0.100:5000 198.18.0.9:1 lastsnd:900 lastrcv:901"
BUSY = "0 0 198.18.0.100:5000 198.18.0.9:2 lastsnd:900 lastrcv:1"
PROGRAM = """#!{python}
import json, pathlib, re, sys
name, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
file = pathlib.Path({state!r})
state = json.loads(file.read_text())
text = " ".join(words)
state["ran"].append(f"{{name}} {{text}}")
code = 1 if name in state["broken"] and text != "-json address" else 0
if code:
    print("Operation not supported", file=sys.stderr)
elif name == "ip" and text == "-json address":
    lo, eth0 = state["lo"], state["eth0"]
    print(json.dumps([{{"ifname": "lo", "addr_info": lo}}, {{"ifname": "eth0", "addr_info": eth0}}]))
elif name == "ip" and words[1] == "add":
    state["lo"].append({{"local": words[2].split("/")[0], "label": words[-1]}})
elif name == "ip":
    state["lo"] = [one for one in state["lo"] if one["local"] != words[2].split("/")[0]]
elif name == "nft" and "list" in words:
    print(state["tables"].get(words[3], ""))
    code = 0 if words[3] in state["tables"] else 1
elif name == "nft" and words[0] == "delete":
    del state["tables"][words[2]]
elif name == "nft":
    rules = sys.stdin.read()
    for family in re.findall("^delete table (ip6?) ", rules, re.M):
        state["tables"].pop(family, None)
    for family, table in re.findall("^table (ip6?) [^\\n]* {{$(.*?)^}}", rules, re.M | re.S):
        state["tables"][family] = table
elif name == "ss" and words[0] == "-K":
    state["connections"] = [one for one in state["connections"] if f"dst {{one.split()[3]}} )" not in text]
elif name == "ss":
    print("\\n".join(state["connections"]))
    state["connections"] = state["connections"][state["leaving"] :]
elif name == "systemd-run":
    state["timer"] = words[-1]
elif name == "systemctl" and words[0] == "stop":
    state["timer"] = None
file.write_text(json.dumps(state))
sys.exit(code)
"""


@dataclass
class Host:
    """A host whose state is a file."""

    path: Path
    arp: Path
    programs: Path

    def state(self) -> dict[str, Any]:
        return json.loads(self.path.read_text())

    def find(self, name: str, opt_dirs: list[str]) -> str | None:
        path = self.programs / name
        return "/bin/sh" if name == "sh" else str(path) if path.exists() else None

    def change(self, **values: Any) -> None:
        self.path.write_text(json.dumps({**self.state(), **values}))

    def arp_now(self) -> tuple[int, ...]:
        return tuple(int((self.arp / key).read_text()) for key in core.ARP)


@pytest.fixture
def host(tmp_path, monkeypatch):
    made = Host(tmp_path / "state.json", tmp_path / "arp", tmp_path / "bin")
    own = [{"local": "198.18.0.21", "label": "eth0"}, {"local": "198.18.0.100", "label": "eth0"}]
    start = {"lo": [], "eth0": own, "tables": {}, "connections": [], "leaving": 0, "timer": None, "ran": []}
    made.path.write_text(json.dumps({**start, "broken": []}))
    made.arp.mkdir()
    made.programs.mkdir()
    for key, value in zip(core.ARP, (0, 1), strict=True):
        (made.arp / key).write_text(str(value))
    for name in ("ip", "nft", "ss", "systemd-run", "systemctl"):
        (made.programs / name).write_text(PROGRAM.format(python=sys.executable, state=str(made.path)))
        (made.programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{made.programs}:/usr/bin:/bin")
    monkeypatch.setattr(vip_handover.AnsibleModule, "get_bin_path", made.find)
    monkeypatch.setattr(core, "arp_path", lambda _interface, key: str(made.arp / key))
    return made


@pytest.fixture
def run(host, capsys):
    def run_module(role: str, state: str = "present", check: bool = False, **options: Any) -> dict[str, Any]:
        arguments = {"role": role, "state": state, "addresses": [VIP], **options, "_ansible_check_mode": check}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            vip_handover.main()
        return json.loads(capsys.readouterr().out)

    return run_module


def released(host: Host) -> None:
    """The address has moved away."""
    host.change(eth0=host.state()["eth0"][:1])


def test_the_old_holder_keeps_the_address_until_the_end(host, run):
    result = run("old")
    assert result["changed"]
    assert result["addresses"] == [{"address": VIP, "interface": "eth0", "own": "198.18.0.21"}]
    assert host.state()["lo"] == [{"local": "198.18.0.100", "label": "lo:handover-01"}]
    assert host.arp_now() == (1, 2)
    released(host)
    assert not run("old")["changed"], "a second run"
    assert host.state()["timer"].startswith("ip address delete 198.18.0.100/32 dev lo; echo 0 >")
    assert run("old", "absent")["changed"]
    assert (host.state()["lo"], host.arp_now(), host.state()["timer"]) == ([], (0, 1), None)
    assert not run("old", "absent")["changed"]


def test_a_host_that_holds_nothing_keeps_nothing(host, run):
    released(host)
    result = run("old")
    assert (result["changed"], result["addresses"]) == (False, [])
    assert host.state()["timer"] is None


@pytest.mark.parametrize("role", ["old", "new"])
def test_check_mode_changes_nothing(host, run, role):
    if role == "new":
        released(host)
    before = {**host.state(), "ran": []}
    assert run(role, check=True, peers=[PEER])["changed"]
    assert {**host.state(), "ran": []} == before
    run(role, peers=[PEER])
    before = {**host.state(), "ran": []}
    assert run(role, "absent", check=True)["changed"]
    assert {**host.state(), "ran": []} == before


def test_the_new_holder_leads_to_the_old_one_until_the_end(host, run):
    before = host.state()["eth0"]
    released(host)
    assert run("new", peers=[PEER])["changed"]
    assert f"dup to {PEER}" in host.state()["tables"]["ip"]
    host.change(eth0=before)
    assert not run("new", peers=[PEER])["changed"], "a second run, when the address is here"
    assert "nft delete table ip " in host.state()["timer"]
    assert run("new", "absent")["changed"]
    assert (host.state()["tables"], host.state()["timer"]) == ({}, None)
    assert not run("new", "absent")["changed"]


def test_the_holder_never_leads_its_connections_elsewhere(host, run):
    result = run("new", peers=[PEER])
    assert (result["changed"], result["addresses"], host.state()["tables"]) == (False, [], {})


def test_what_an_earlier_handover_led_elsewhere_is_replaced(host, run):
    released(host)
    host.change(tables={"ip": 'comment "holdfast 0"', "ip6": 'comment "holdfast 1"'})
    assert run("new", peers=[PEER])["changed"]
    assert list(host.state()["tables"]) == ["ip"]
    assert not run("new", peers=[PEER])["changed"]


def test_connections_that_end_are_waited_for(host, run):
    run("old")
    released(host)
    host.change(connections=[BUSY, BUSY], leaving=1)
    result = run("old", "absent", patience=30)
    assert (result["closed"], result["broken"]) == (0, 0)
    assert 0 < result["waited"] < 10


def test_idle_connections_are_closed_and_busy_ones_last(host, run):
    run("old")
    released(host)
    host.change(connections=[BUSY, IDLE])
    result = run("old", "absent", timeout=0.5)
    assert (result["closed"], result["broken"], host.state()["connections"]) == (1, 1, [])
    closes = [command for command in host.state()["ran"] if command.startswith("ss -K")]
    assert ["198.18.0.9:1" in command for command in closes] == [True, False]
    assert host.state()["lo"] == []


def test_connections_to_an_address_that_came_back_stay(host, run):
    run("old")
    host.change(connections=[IDLE])
    assert run("old", "absent", patience=30)["changed"]
    assert (host.state()["lo"], host.state()["connections"]) == ([], [IDLE])


def test_nobody_waits_for_an_address_that_comes_back_meanwhile(host, run, monkeypatch):
    run("old")
    before = host.state()["eth0"]
    released(host)
    host.change(connections=[IDLE])
    monkeypatch.setattr(vip_handover.time, "sleep", lambda _seconds: host.change(eth0=before))
    assert run("old", "absent", patience=3000)["waited"] < 3000
    assert (host.state()["lo"], host.state()["connections"]) == ([], [IDLE])


@pytest.mark.parametrize(("role", "broken"), [("old", "ip"), ("new", "nft"), ("old", "systemd-run")])
def test_a_host_that_can_not_is_left_as_it_was(host, run, role, broken):
    if role == "new":
        released(host)
    host.change(broken=[broken])
    result = run(role, peers=[PEER])
    assert (result["supported"], result["changed"], result["addresses"]) == (False, False, [])
    assert "Operation not supported" in result["reason"]
    state = host.state()
    assert (state["lo"], state["tables"], state["timer"], host.arp_now()) == ([], {}, None, (0, 1))


def test_a_host_without_nft_can_not(host, run):
    (host.programs / "nft").unlink()
    for state, supported in (("present", False), ("absent", True)):
        result = run("new", state, peers=[PEER])
        assert (result["supported"], result["changed"]) == (supported, False)


def test_bad_input_is_named(host, run):
    for options in ({"addresses": ["lb1"]}, {"peers": ["lb1"]}):
        result = run("new", **options)
        assert result["failed"]
        assert "'lb1' is no IP address" in result["msg"]
