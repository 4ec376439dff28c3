# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import firewall as sut

PARAMS: dict[str, Any] = {
    "rules": [
        {"port": 5432, "sources": ["192.0.2.0/24", "192.0.2.7", "2001:db8::/64"], "about": "PostgreSQL"},
        {"port": 2379, "sources": ["192.0.2.11", "192.0.2.12"], "about": 'the "etcd"'},
        {"port": 5000, "sources": ["0.0.0.0/0", "::/0"], "about": "a pool"},
        {"port": 5432, "sources": ["198.51.100.9"], "about": "a pool"},
        {"port": 9100, "sources": []},
    ],
    "ssh_ports": [22],
    "ssh_sources": [],
    "others": "drop",
}


def wanted(**changes: Any) -> sut.Wanted:
    return sut.parse({**PARAMS, **changes})


def test_each_port_is_open_for_those_who_need_it() -> None:
    lines = list(sut.chain(wanted()))
    assert lines == [
        'iifname "lo" accept',
        "meta l4proto != tcp accept",
        "tcp flags & (fin | syn | rst | ack) != syn accept",
        'meta nfproto ipv4 tcp dport { 22 } accept comment "SSH"',
        'meta nfproto ipv6 tcp dport { 22 } accept comment "SSH"',
        'ip saddr { 192.0.2.11, 192.0.2.12 } tcp dport { 2379 } accept comment "the etcd"',
        'meta nfproto ipv4 tcp dport { 5000 } accept comment "a pool"',
        'meta nfproto ipv6 tcp dport { 5000 } accept comment "a pool"',
        'ip saddr { 192.0.2.0/24, 198.51.100.9 } tcp dport { 5432 } accept comment "PostgreSQL, a pool"',
        'ip6 saddr { 2001:db8::/64 } tcp dport { 5432 } accept comment "PostgreSQL, a pool"',
        "counter drop",
    ]


def test_other_ports_may_stay_open() -> None:
    assert list(sut.chain(wanted(others="accept")))[-1] == "tcp dport { 2379, 5000, 5432, 9100 } counter drop"
    assert "drop" not in "".join(sut.chain(wanted(others="accept", rules=[])))


def test_ssh_may_be_for_some_only() -> None:
    lines = list(sut.chain(wanted(ssh_ports=[2222, 22], ssh_sources=["192.0.2.5"])))
    assert 'ip saddr { 192.0.2.5 } tcp dport { 22, 2222 } accept comment "SSH"' in lines
    assert len([line for line in lines if "SSH" in line]) == 1


@pytest.mark.skipif(not shutil.which("nft") or os.geteuid() != 0, reason="needs nft and root")
@pytest.mark.parametrize("changes", [{}, {"others": "accept"}, {"rules": []}, {"ssh_sources": ["2001:db8::5"]}])
def test_nft_takes_the_table(changes: dict[str, Any]) -> None:
    text = sut.render(wanted(**changes))
    done = subprocess.run(["nft", "-c", "-f", "-"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_listing_has_no_counts_and_is_made_elsewhere() -> None:
    assert "-s" in sut.LISTING
    command = sut.elsewhere("/usr/sbin/nft")
    assert (command[:2], command[-1]) == (["unshare", "--net"], "/usr/sbin/nft")


def test_a_changed_rule_is_another_table() -> None:
    marks = {sut.mark(sut.render(wanted(**changes))) for changes in ({}, {"others": "accept"}, {"ssh_ports": [23]})}
    assert len(marks) == 3
    assert None not in marks
    assert sut.mark(sut.render(wanted())) == sut.mark(sut.render(wanted()))
    assert sut.mark("table inet other {\n}\n") is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rules": [{"port": 5432, "sources": ["db1"]}]}, "rules: 'db1'"),
        ({"ssh_sources": ["192.0.2.300"]}, "ssh_sources: '192.0.2.300'"),
        ({"ssh_ports": [70000]}, "70000 is no TCP port"),
        ({"rules": [{"port": 0, "sources": []}]}, "0 is no TCP port"),
    ],
)
def test_what_is_no_network_or_port_is_refused(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        wanted(**changes)


SESSION = sut.Session(ipaddress.ip_address("192.0.2.5"), 22)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"ssh_sources": ["192.0.2.0/28"]}, None),
        ({"ssh_sources": ["2001:db8::/64"]}, "comes from 192.0.2.5, which is in none"),
        ({"ssh_ports": [2222]}, "came to the port 22, and SSH would be open on 2222 only: set ansible_port"),
    ],
)
def test_a_run_does_not_lock_itself_out(changes: dict[str, Any], says: str | None) -> None:
    found = sut.lockout(wanted(**changes), SESSION)
    assert found is None if says is None else says in str(found)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        (b"PATH=/bin\0SSH_CONNECTION=192.0.2.5 41000 192.0.2.11 22\0HOME=/", ("192.0.2.5", 22)),
        (b"SSH_CONNECTION=fe80::1%eth0 41000 fe80::2%eth0 2222\0", ("fe80::1", 2222)),
        (b"SSH_CONNECTION=::ffff:192.0.2.5 41000 ::ffff:192.0.2.11 22\0", ("192.0.2.5", 22)),
        (b"OLD_SSH_CONNECTION=192.0.2.5 41000 192.0.2.11 22\0", None),
        (b"SSH_CONNECTION=somewhere 41000 192.0.2.11 22\0", None),
        (b"", None),
    ],
)
def test_the_session_is_in_the_environment(environment: bytes, found: tuple[str, int] | None) -> None:
    session = sut.parse_session(environment)
    assert (session and (str(session.client), session.port)) == found


def test_parents_are_read_from_proc() -> None:
    assert sut.parse_parent("Name:\tpython3\nPPid:\t41\nUid:\t0\n") == 41
    assert sut.parse_parent("") == 0


def test_the_former_table_comes_back() -> None:
    assert sut.restoring(None) == sut.REMOVAL
    assert sut.restoring("table inet x {\n}\n") == f"{sut.REMOVAL}table inet x {{\n}}\n"
    assert sut.undo_later(90)[-3:] == ["/usr/sbin/nft", "-f", sut.PREVIOUS]
    assert "--on-active=90" in sut.undo_later(90)
