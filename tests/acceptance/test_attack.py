# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks on the lab from several seats: attack_cases.yml says which must be refused. Needs the lab, three minutes.

What was found goes to .lab/attack.json, of which scripts/generate_attack_table.py makes the table in docs/security.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
import yaml
from lab_cluster import BALANCERS, DATABASES, ROOT, VIP, assert_healthy, attempt, leader, on_node, wait_until

HERE = Path(__file__).resolve().parent
DOCUMENT = yaml.safe_load((HERE / "attack_cases.yml").read_text(encoding="utf-8"))
TOOL = (HERE / "attack_tool.py").read_text(encoding="utf-8")
FOUND = ROOT / ".lab/attack.json"
ADDRESSES = {
    **{name: f"198.51.100.1{name[-1]}" for name in DATABASES},
    **{name: f"198.51.100.2{name[-1]}" for name in BALANCERS},
    "backup1": "198.51.100.31",
    "client1": "198.51.100.41",
    "vip": VIP,
}
SECONDS = 30
NO_ANSWER = "no answer|No route to host|timed out"
"""What a firewall's refusal looks like."""


@dataclass(frozen=True)
class Seat:
    """Where the attacker sits."""

    at: str
    about: str
    user: str = "root"
    groups: tuple[str, ...] = ()
    unit: str = ""

    def argv(self, command: list[str]) -> list[str]:
        """The command as it runs there."""
        groups = ",".join((self.user, *self.groups))
        with_groups = ["setpriv", "--reuid", self.user, "--regid", self.user, "--groups", groups]
        as_user = with_groups if self.groups else ["runuser", "-u", self.user, "--"]
        inside = ["nsenter", "--mount", "--target", main_process(self.at, self.unit)] if self.unit else []
        return ["timeout", str(SECONDS), *inside, *(as_user if self.user != "root" else []), *command]


@dataclass(frozen=True)
class Case:
    """One attack, and whether it must be refused."""

    seat: str
    target: str
    expect: str
    why: str
    says: str = ""
    tool: tuple[str, ...] = ()
    shell: str = ""
    then: dict[str, str] = field(default_factory=dict)
    disturbs: bool = False


SEATS = {name: Seat(**{**told, "groups": tuple(told.get("groups", ()))}) for name, told in DOCUMENT["seats"].items()}
CASES = [
    Case(seat=seat, **{**told, "tool": tuple(told.get("tool", ()))})
    for seat, cases in DOCUMENT["cases"].items()
    for told in cases
]
# Those that disturb come last.
ORDERED = sorted(CASES, key=lambda case: case.disturbs)
RESULTS: dict[tuple[str, str], str] = {}


def main_process(node: str, unit: str) -> str:
    return on_node(node, "systemctl", "show", "--property=MainPID", "--value", unit).strip()


@cache
def primary() -> str:
    return leader()


def holders() -> list[str]:
    """The balancers that have the virtual address."""
    return [name for name in BALANCERS if f"{VIP}/" in on_node(name, "ip", "-o", "addr", "show")]


@cache
def has_firewall() -> bool:
    return attempt("db1", "nft", "list", "table", "inet", "holdfast_firewall").returncode == 0


def places() -> dict[str, str]:
    """What stands between two @."""
    first, (balancer,) = primary(), holders()
    standby = next(name for name in DATABASES if name != first)
    other = next(name for name in BALANCERS if name != balancer)
    named = {"leader": first, "standby": standby, "holder": balancer, "other": other}
    return {
        **ADDRESSES,
        **{role: ADDRESSES[name] for role, name in named.items()},
        **{f"{role}_name": name for role, name in named.items()},
    }


def filled(text: str, known: dict[str, str]) -> str:
    return re.sub(r"@(\w+)@", lambda found: known[found[1]], text)


def carry_out(case: Case) -> tuple[bool, str]:
    """Attack; returns whether it got through, and what was said."""
    known = places()
    words = [filled(word, known) for word in case.tool]
    command = ["python3", "-c", TOOL, *words] if words else ["bash", "-c", filled(case.shell, known)]
    seat = SEATS[case.seat]
    done = attempt(seat.at, *seat.argv(command))
    said = done.stdout + done.stderr
    if not case.then:
        return done.returncode == 0, said
    assert done.returncode == 0, said
    node = known["holder_name"] if case.then["at"] == "holder" else case.then["at"]
    look = attempt(node, "bash", "-c", filled(case.then["shell"], known))
    return look.returncode == 0, look.stdout


@pytest.fixture(scope="module", autouse=True)
def lab() -> Iterator[None]:
    """A healthy lab before and afterwards; what was found is kept."""
    assert_healthy()
    yield
    rows = [
        {"seat": case.seat, "target": case.target, "found": RESULTS[case.seat, case.target]}
        for case in CASES
        if (case.seat, case.target) in RESULTS
    ]
    FOUND.write_text(json.dumps(rows, indent=1) + "\n")
    on_node("backup1", "rm", "--force", "/var/lib/pgbackrest/backup/lab/attack")
    assert_healthy()


@pytest.mark.parametrize("case", ORDERED, ids=lambda case: f"{case.seat}: {case.target}")
def test_an_attack(case: Case) -> None:
    through, said = carry_out(case)
    RESULTS[case.seat, case.target] = "possible" if through else "refused"
    if case.disturbs:
        wait_until(serves, seconds=60, what="the virtual address")
    assert ("possible" if through else "refused") == case.expect, said
    if not through:
        pattern = f"{case.says}|{NO_ANSWER}" if has_firewall() and case.tool else case.says
        assert re.search(pattern, said.strip(), re.MULTILINE), f"refused, but not because of {case.why}: {said}"


def serves() -> bool:
    """Whether clients reach the primary again."""
    ask = ("timeout", "5", "psql", "-XAtq", "-h", VIP, "-p", "5000", "-U", "app", "-d", "app", "-c", "SELECT 1")
    return len(holders()) == 1 and attempt("client1", *ask).returncode == 0


def test_the_cases_are_named_once() -> None:
    named = [(case.seat, case.target) for case in CASES]
    assert len(named) == len(set(named))
