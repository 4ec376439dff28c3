# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's table, compared by the real nft in a network namespace of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import firewall
from ansible_collections.holdfast.ha.plugins.module_utils import firewall_kernel as sut

pytestmark = pytest.mark.skipif(not shutil.which("nft") or os.geteuid() != 0, reason="needs nft and root")
MANY = [f"192.0.2.{number}" for number in range(1, 250, 2)]
RULES = [
    {"port": 5432, "sources": ["198.51.100.0/24", "203.0.113.7", "2001:db8::/64"], "about": "PostgreSQL"},
    {"port": 2379, "sources": MANY, "about": "etcd"},
    {"port": 2380, "sources": ["198.51.100.11", "198.51.100.12", "198.51.100.13"], "about": "one range"},
    {"port": 8008, "sources": ["198.51.100.11", "198.51.100.12", "198.51.100.21"], "about": "a range and another one"},
    {"port": 22222, "sources": ["0.0.0.0/0", "::/0"], "about": "declared"},
]
PARAMS = {"rules": RULES, "ssh_ports": [22, 2222], "ssh_sources": [], "others": "drop"}
CONTENT = firewall.render(firewall.parse(PARAMS))
RULE = ("rule", "inet", firewall.TABLE, "input")


class Host:
    """A host whose programs run in a network namespace."""

    def __init__(self, pid: int) -> None:
        self.inside = ["nsenter", f"--net=/proc/{pid}/ns/net"]

    def get_bin_path(self, name: str, **_options: Any) -> str | None:
        return shutil.which(name)

    def run_command(self, command: list[str], data: str | None = None) -> tuple[int, str, str]:
        done = subprocess.run([*self.inside, *command], input=data, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def kernel() -> Iterator[sut.Kernel]:
    command = ["unshare", "--net", "sh", "-c", "echo ready; exec sleep 300"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield sut.Kernel(Host(holder.pid))  # type: ignore[arg-type]
        holder.kill()


def load(kernel: sut.Kernel, content: str = CONTENT) -> None:
    kernel.must("nft", "-f", "-", stdin=content)


def test_what_was_loaded_is_the_same(kernel: sut.Kernel) -> None:
    assert kernel.listed() is None
    assert not kernel.has(CONTENT)
    for _again in range(3):
        load(kernel)
        assert kernel.has(CONTENT)


def test_what_was_brought_back_is_the_same(kernel: sut.Kernel) -> None:
    load(kernel)
    load(kernel, firewall.restoring(kernel.listed()))
    assert kernel.has(CONTENT)


def test_what_was_counted_does_not_matter(kernel: sut.Kernel) -> None:
    load(kernel, CONTENT.replace("counter drop", "counter packets 7 bytes 420 drop"))
    assert kernel.has(CONTENT)


@pytest.mark.parametrize(
    "command",
    [
        ("flush", "table", "inet", firewall.TABLE),
        ("flush", "ruleset"),
        ("add", *RULE, "accept"),
        ("insert", *RULE, "accept"),
        ("insert", *RULE, "tcp", "dport", "9999", "drop"),
        ("add", "table", "inet", firewall.TABLE, "{", "flags", "dormant", ";", "}"),
        ("add", "chain", "inet", firewall.TABLE, "input", "{", "policy", "drop", ";", "}"),
        ("add", "chain", "inet", firewall.TABLE, "other"),
        ("add", "set", "inet", firewall.TABLE, "names", "{", "type", "ipv4_addr", ";", "}"),
    ],
    ids=" ".join,
)
def test_what_others_changed_is_seen(kernel: sut.Kernel, command: tuple[str, ...]) -> None:
    load(kernel)
    kernel.must("nft", *command)
    assert not kernel.has(CONTENT)
    load(kernel)
    assert kernel.has(CONTENT)


def test_one_rule_less_is_seen(kernel: sut.Kernel) -> None:
    load(kernel)
    shown = kernel.must("nft", "-a", "list", "table", "inet", firewall.TABLE)
    last = shown[: shown.index("drop # handle")].count("\n")
    handle = shown.splitlines()[last].rpartition(" ")[2]
    kernel.must("nft", "delete", *RULE, "handle", handle)
    assert not kernel.has(CONTENT)


def test_the_comparison_touches_nothing(kernel: sut.Kernel) -> None:
    assert "counter drop" in kernel.listing_of(CONTENT)
    assert kernel.must("nft", "list", "ruleset") == ""


def test_what_nft_refuses_is_told(kernel: sut.Kernel) -> None:
    with pytest.raises(sut.FirewallError, match="syntax error"):
        kernel.listing_of("table inet {")
