# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.doc_fragments.patroni import ModuleDocFragment
from ansible_collections.holdfast.ha.plugins.modules import patroni_switchover
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm import tools as tools_module
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.isolation import Isolate, Scope
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.rules import Cut
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.switchover import switchover_params
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools

from tests.unit.plugins.plugin_utils.drill.cluster import EXPECTED, plan

OTHERS = ("192.0.2.12", "192.0.2.13")
CASES = {
    "everybody": (Isolate(Scope.EVERYBODY), Cut()),
    "all but the balancers": (Isolate(Scope.PEERS), Cut((*OTHERS, "192.0.2.16"))),
    "is not heard": (Isolate(Scope.PEERS, one_way=True), Cut((*OTHERS, "192.0.2.16"), incoming=False)),
    "etcd": (Isolate(Scope.ETCD), Cut(OTHERS, (2379, 2380))),
    "replication": (Isolate(Scope.STANDBYS), Cut(OTHERS, (5432,))),
}


@pytest.mark.parametrize(("action", "cut"), CASES.values(), ids=CASES)
def test_whom_an_isolated_primary_loses(action, cut) -> None:
    assert action.cut("db1", EXPECTED, plan()) == cut


@pytest.mark.parametrize("name", CASES)
def test_only_a_cut_from_everybody_is_total(name) -> None:
    assert CASES[name][1].total == (name == "everybody")


def test_one_way_is_not_total() -> None:
    assert not Cut(incoming=False).total
    assert not Cut(outgoing=False).total


class Node:
    """The agent of an isolated host: whether it could mute its addresses, and whether that lasts."""

    def __init__(self, unheard: bool = True, muted: bool = True) -> None:
        self.mute: list[str] = []
        self._unheard = unheard
        self._muted = muted

    def call(self, host: str, operation: str, *_patience: float, **arguments: Any) -> Any:
        if operation == "isolate":
            self.mute = arguments["mute"]
            return self._unheard
        return {"address": "192.0.2.1 40000 192.0.2.14 22"}.get(
            operation, {"present": True, "packets": 3, "muted": self._muted}
        )


def isolate(fault: str, host: str, node: Node) -> Tools:
    now = iter([12.0, 30.0])
    tools = Tools(plan(), EXPECTED, node, Mock(), lambda: next(now))  # type: ignore[arg-type]
    CATALOGUE[fault].action.inject(tools, [host], Mock())
    return tools


def test_from_when_to_when_a_balancer_was_cut_off() -> None:
    node = Node()
    tools = isolate("balancer_isolated", "lb1", node)
    assert node.mute == ["192.0.2.100"]
    assert tools.cut() == {"lb1": ((12.0, 30.0),)}
    assert CATALOGUE["balancer_isolated"].action.still(tools, ["lb1"]) == "3 packets dropped"


def test_a_balancer_that_still_answers_arp_is_not_cut_off() -> None:
    assert isolate("balancer_isolated", "lb1", Node(unheard=False)).cut() == {}


def test_a_balancer_that_answers_arp_again_breaks_the_proof() -> None:
    tools = isolate("balancer_isolated", "lb1", Node(muted=False))
    with pytest.raises(NotProvenError, match="against ARP are gone"):
        CATALOGUE["balancer_isolated"].action.still(tools, ["lb1"])


def test_a_partial_cut_is_no_cut() -> None:
    node = Node()
    assert isolate("primary_cut_from_peers", "db1", node).cut() == {}
    assert node.mute == []


def test_what_can_not_be_undone_is_tried_again() -> None:
    done: list[str] = []
    tried = iter([OSError("busy")])

    def stubborn() -> None:
        for error in tried:
            raise error
        done.append("power")

    tools = Tools(plan(), EXPECTED, Mock(), Mock(), Mock())
    tools.undo_later("isolation", lambda: done.append("isolation"))
    tools.undo_later("power", stubborn)

    assert tools.heal() == ["power: busy"]
    assert done == ["isolation"]
    assert tools.heal() == []
    assert done == ["isolation", "power"]
    assert tools.heal() == []


@pytest.mark.parametrize(
    ("fault", "frozen_is_dark", "dark"),
    [
        ("primary_power_loss", False, True),
        ("primary_hang", True, True),
        ("primary_hang", False, False),  # its agent goes on observing
        ("primary_isolated", True, False),
    ],
)
def test_who_can_not_be_observed(fault: str, frozen_is_dark: bool, dark: bool) -> None:
    tools = Tools(plan(), EXPECTED, Mock(), Mock(frozen_is_dark=frozen_is_dark), Mock())
    assert CATALOGUE[fault].action.darkens(tools) is dark


@pytest.mark.parametrize("stays_off", [True, False])
def test_only_a_host_that_boots_by_itself_ends_its_fault(stays_off: bool) -> None:
    tools = Tools(plan(), EXPECTED, Mock(), Mock(stays_off=stays_off), Mock())
    assert CATALOGUE["primary_power_loss"].action.lasts(tools) is stays_off
    assert CATALOGUE["primary_isolated"].action.lasts(tools)


@pytest.mark.parametrize(
    ("devices", "reason"),
    [
        ("41\n40\n", ""),
        ("40\n40\n", "/var/lib/postgresql/17/main lies on db1's root volume, which is not to be filled"),
    ],
)
def test_the_root_volume_is_never_filled(devices, reason) -> None:
    crew = Mock(call=Mock(return_value={"code": 0, "out": devices, "err": ""}))
    tools = Tools(plan(), EXPECTED, crew, Mock(), Mock())
    assert CATALOGUE["data_disk_full"].action.hindrance(tools) == reason
    assert CATALOGUE["switchover"].action.hindrance(tools) == ""


class Databases:
    """The agents of the databases: what they were told, in order; only one switches over."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.params: dict[str, Any] = {}

    def call(self, host: str, operation: str, *_patience: float, **arguments: Any) -> Any:
        self.told.append((host, operation))
        self.params = arguments["params"]
        return {"leader": "db2", "seconds": {"paused": 0.02, "promoted": 1.1}}

    def call_all(self, hosts: Any, operation: str, **_arguments: Any) -> None:
        self.told += [(host, operation) for host in hosts]


class Members:
    """The agents of the databases: what they ran, and the state of the primary's Patroni."""

    def __init__(self, state: str) -> None:
        self.told: list[tuple[str, str]] = []
        self._state = state

    def call(self, host: str, operation: str, *_patience: float, **arguments: Any) -> Any:
        words = arguments.get("argv") or [operation, arguments["name"]]
        self.told.append((host, " ".join(words)))
        out = "4711\n" if "--property=MainPID" in words else f"4711 (python3 (x)) {self._state} 1 2"
        return {"code": 0, "out": out, "err": ""}


def test_patroni_hangs_alone() -> None:
    agents = Members("T")
    tools = Tools(plan(), EXPECTED, agents, Mock(), Mock())  # type: ignore[arg-type]
    proof = CATALOGUE["patroni_hang"].action.inject(tools, ["db1"], Mock())
    assert proof == "db1: patroni.service, process 4711, stands still"
    assert agents.told.index(("db1", "arm suspension")) < agents.told.index(("db1", "kill -STOP 4711"))
    assert CATALOGUE["patroni_hang"].action.still(tools, ["db1"]) == proof
    assert tools.heal() == []
    assert agents.told[-1] == ("db1", "undo suspension")


def test_a_patroni_that_goes_on_proves_nothing(monkeypatch) -> None:
    monkeypatch.setattr(tools_module, "PROOF_SECONDS", 0.2)
    tools = Tools(plan(), EXPECTED, Members("S"), Mock(), Mock())  # type: ignore[arg-type]
    with pytest.raises(NotProvenError, match="goes on"):
        CATALOGUE["patroni_hang"].action.inject(tools, ["db1"], Mock())
    assert tools.heal() == []


SECRETS = {"patroni_rest": "rest", "postgresql_superuser": "super", "pgbouncer": "console"}
POOLER = {
    "port": 6432,
    "mode": "transaction",
    "users": {"lookup": "lookup", "admin": "warden"},
    "target": {"addresses": ["192.0.2.100"], "port": 5000},
}


@pytest.mark.parametrize("pooler", [None, POOLER])
def test_a_switchover_is_the_users_own(pooler: dict[str, Any] | None) -> None:
    agents = Databases()
    drilled = plan(secrets=SECRETS)
    drilled.topology["pooler"] = pooler  # type: ignore[index]
    tools = Tools(drilled, EXPECTED, agents, Mock(), Mock())  # type: ignore[arg-type]
    proof = CATALOGUE["switchover"].action.inject(tools, ["db1"], Mock(leader="db1"))
    assert proof == "db2 took over: paused 0.02 s, promoted 1.10 s"
    armed = [(host, "arm") for host in EXPECTED.databases] if pooler else []
    assert agents.told == [*armed, ("db1", "switchover")]
    assert [one["name"] for one in agents.params["poolers"]] == ([*EXPECTED.databases] if pooler else [])
    assert agents.params["pool"] == ({"address": "192.0.2.100", "port": 5000} if pooler else None)
    assert agents.params["endpoints"][0] == "https://192.0.2.11:8008"
    users = [agents.params[name] for name in ("username", "superuser", "pooler_username")]
    assert users == ["operator", "chief", "warden" if pooler else None]
    files = [agents.params[name] for name in ("ca", "cert", "key", "pooler_ca")]
    assert files == ["/srv/tls/ca.crt", "/srv/tls/client.crt", "/srv/tls/host.key", "/srv/tls/ca.crt"]
    assert tools.heal() == []
    assert [told for told in agents.told if told[1] == "undo"] == [(host, "undo") for host, _arm in armed]


def test_a_switchover_gets_all_that_the_module_takes() -> None:
    options = yaml.safe_load(patroni_switchover.DOCUMENTATION)["options"]
    connection = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    assert {*switchover_params(plan(secrets=SECRETS))} == {*options, *connection} - {"leader"}


class Recorder:
    """An agent that notes the commands it is to run as root, and has a full volume of its own."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.answers = {"stat": "7 4096", "head": "1234"}

    def call(self, host: str, operation: str, *_patience: float, **arguments: Any) -> Any:
        argv = list(arguments.get("argv") or arguments.get("undo") or [])
        self.commands.append(argv)
        gone = ["cat", "/proc/1234/stat"] in self.commands[:-1]
        out = {"cat": "" if gone else "1 (x) S" + " 5" * 20, "stat": "0" if "%a" in argv else "7 4096"}
        return {"code": 0, "out": out.get(argv[0] if argv else "", self.answers["head"]), "err": ""}


def recorded(fault: str) -> list[list[str]]:
    """Return the commands that a fault runs on its host."""
    crew = Recorder()
    tools = Tools(plan(), EXPECTED, crew, Mock(), lambda: 0.0)
    CATALOGUE[fault].action.inject(tools, ["db1"], Mock())
    tools.heal()
    return crew.commands


@pytest.mark.parametrize("fault", ["data_disk_full", "wal_disk_full", "postmaster_killed"])
def test_root_touches_nothing_in_the_data_directory(fault: str) -> None:
    data = plan().topology["postgresql"]["data_directory"]
    touching = [argv for argv in recorded(fault) if any(data in word for word in argv) and argv[0] != "stat"]
    assert touching
    assert all(argv[:4] == ["runuser", "-u", "postgres", "--"] for argv in touching)


def test_only_a_process_of_the_database_user_is_killed_by_its_word() -> None:
    kills = [argv for argv in recorded("postmaster_killed") if "kill" in argv]
    assert [argv[:4] for argv in kills] == [["runuser", "-u", "postgres", "--"]]
