# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import vip_handover as sut

VIP4, VIP6 = "198.18.0.100/24", "2001:db8::100/64"
LO = [{"local": "127.0.0.1", "label": "lo"}, {"local": "::1"}]
KEPT = [{"local": "198.18.0.100", "label": "lo:handover-01"}, {"local": "2001:db8::100"}]
OWN = [{"local": "198.18.0.21", "label": "eth0"}, {"local": "2001:db8::21"}, {"local": "fe80::21"}]
HELD = [{"local": "198.18.0.100", "label": "eth0"}, {"local": "2001:db8::100"}]
LEADS = (sut.Lead("198.18.0.100", "198.18.0.21", "eth0"), sut.Lead("2001:db8::100", "2001:db8::21", "eth0"))


def on_host(*eth0, lo=(), names=(VIP4, VIP6), interface=None):
    links = [{"ifname": "lo", "addr_info": [*LO, *lo]}, {"ifname": "eth0", "addr_info": list(eth0)}, {"ifname": "x"}]
    return sut.locate(names, sut.parse_addresses(json.dumps(links)), interface)


@pytest.mark.parametrize(
    ("eth0", "lo", "held", "kept"),
    [
        ([*OWN, *HELD], [], True, False),
        ([*HELD, *OWN], KEPT, True, True),
        (OWN, KEPT, False, True),
        (OWN, [], False, False),
    ],
)
def test_a_virtual_ip_is_found_where_it_is(eth0, lo, held, kept):
    four, six = on_host(*eth0, lo=lo)
    assert (four.held, four.kept, four.interface, four.own) == (held, kept, "eth0", "198.18.0.21")
    assert (six.held, six.kept, six.interface, six.own) == (held, kept, "eth0", "2001:db8::21")


def test_an_address_that_somebody_else_put_on_lo_is_not_ours():
    (four,) = on_host(*OWN, lo=[{"local": "198.18.0.100", "label": "lo"}], names=[VIP4])
    assert not four.kept


@pytest.mark.parametrize("name", ["198.18.0.1000/24", "lb1", ""])
def test_a_name_is_no_address(name):
    with pytest.raises(ValueError, match=r"addresses: '.*' is no IP address"):
        on_host(*OWN, names=[name])
    with pytest.raises(ValueError, match=r"peers: '.*' is no IP address"):
        sut.leads((), [name])


def test_a_host_outside_the_network_can_not_take_part():
    with pytest.raises(sut.UnsupportedError, match=r"198\.18\.0\.0/24, the network of 198\.18\.0\.100/24"):
        on_host({"local": "203.0.113.1"}, names=[VIP4])
    assert on_host({"local": "203.0.113.1"}, names=[VIP4], interface="vlan7")[0].interface == "vlan7"


def test_a_virtual_ip_without_a_peer_in_its_network_is_left_out():
    assert sut.leads(on_host(*OWN), ["2001:db8::21", "198.18.0.21", "203.0.113.1"]) == LEADS
    assert sut.leads(on_host(*OWN), ["2001:db8::21", "203.0.113.1"]) == LEADS[1:]


def test_rules_of_ipv4():
    text = sut.render(LEADS[:1], 4)
    key = "ip saddr . tcp sport . ip daddr . tcp dport"
    lines = [line.strip() for line in text.splitlines()]
    assert lines[:2] == ["table ip holdfast_handover", "delete table ip holdfast_handover"]
    assert lines[lines.index("iif lo accept") :] == [
        "iif lo accept",
        "ip daddr != { 198.18.0.100 } accept",
        'ip daddr 198.18.0.100 icmp type destination-unreachable dup to 198.18.0.21 device "eth0"',
        "meta l4proto != tcp accept",
        f"tcp flags & (syn | ack) == syn update @own {{ {key} }} accept",
        f"{key} @own accept",
        'ip daddr 198.18.0.100 counter dup to 198.18.0.21 device "eth0" drop',
        "}",
        "}",
    ]


def test_rules_of_ipv6_know_no_ipv4():
    text = sut.render(LEADS[1:], 6)
    assert "packet-too-big" in text
    assert "ip saddr" not in text


def test_the_mark_tells_whether_other_rules_are_loaded():
    assert sut.parse_mark(sut.render(LEADS[:1], 4)) == sut.mark(LEADS[:1])
    assert sut.mark(LEADS) == sut.mark(reversed(LEADS))
    assert sut.mark(LEADS[:1]) != sut.mark([sut.Lead("198.18.0.100", "198.18.0.22", "eth0")])
    assert sut.parse_mark("table ip holdfast_handover {\n}\n") is None


@pytest.mark.parametrize(
    ("own", "meanwhile"), [((0, 0), (1, 2)), ((1, 1), (1, 2)), ((2, 2), (2, 2)), ((8, 0), (8, 2)), ((0, 2), (1, 2))]
)
def test_arp_is_never_louder_than_it_was(own, meanwhile):
    assert sut.arp_meanwhile(own) == meanwhile


def test_the_label_keeps_what_arp_was():
    kept = sut.keep(on_host(*OWN, *HELD)[0], {"eth0": (0, 1)})
    assert kept[3:] == ["198.18.0.100/32", "dev", "lo", "scope", "host", "label", "lo:handover-01"]
    assert len(kept[-1]) < 16, "the kernel's limit"
    assert sut.own_arp(on_host(*OWN, lo=KEPT), lambda _interface: (1, 2)) == {"eth0": (0, 1)}
    assert sut.own_arp(on_host(*OWN, *HELD), lambda _interface: (1, 2)) == {"eth0": (1, 2)}


def test_ipv6_needs_no_arp():
    six = on_host(*OWN, *HELD, names=[VIP6])
    assert sut.own_arp(six, pytest.fail) == {}
    assert " ".join(sut.keep(six[0], {})) == "ip address add 2001:db8::100/128 dev lo preferred_lft 0 nodad"


def test_undoing():
    assert sut.undo_old(on_host(*OWN, lo=KEPT), {"eth0": (0, 1)}).split("; ") == [
        "ip address delete 198.18.0.100/32 dev lo",
        "ip address delete 2001:db8::100/128 dev lo",
        "echo 0 >/proc/sys/net/ipv4/conf/eth0/arp_ignore",
        "echo 1 >/proc/sys/net/ipv4/conf/eth0/arp_announce",
    ]
    assert sut.undo_new() == "nft delete table ip holdfast_handover; nft delete table ip6 holdfast_handover"


@pytest.mark.parametrize("interface", ["../x", "..", "eth0; reboot", "", "a" * 16])
def test_an_interface_is_no_path_and_no_script(interface):
    with pytest.raises(ValueError, match="is no interface's name"):
        sut.arp_path(interface, "arp_ignore")


def test_the_timer_runs_the_script():
    command = sut.dead_man(90, "a; b")
    assert command[0] == "systemd-run"
    assert "--on-active=90" in command
    assert command[-3:] == ["/bin/sh", "-c", "a; b"]


CONNECTIONS = """\
0      0      198.18.0.100:5000 198.18.0.9:32926 ts sack bbr lastsnd:29044 lastrcv:29048 lastack:29044
0      0      [2001:db8::100]:5000 [2001:db8::9]:4000 ts sack lastsnd:500 lastrcv:3 lastack:3
0      0      198.18.0.100:5000 198.18.0.9:3 ts sack lastsnd:5 lastrcv:5
0      77     198.18.0.100:5000 198.18.0.9:4 ts sack lastsnd:90 lastrcv:95
0      0      198.18.0.100:5000 198.18.0.9:5 ts sack lastack:1

"""


def test_only_connections_that_wait_for_their_clients_are_quiet():
    found = sut.parse_connections(CONNECTIONS)
    assert [one.client for one in found if one.answered] == ["198.18.0.9:32926", "198.18.0.9:3", "198.18.0.9:5"]
    assert [one.client for one in sut.quiet(found, {})] == ["198.18.0.9:32926"]


@pytest.mark.parametrize(
    ("sent_ms", "longest", "is_quiet"),
    [(10, 50, True), (40, 50, False), (3, 50, False), (50, 50, False), (499, 499, False), (500, 500, True)],
)
def test_a_client_in_the_middle_of_its_pause_is_quiet(sent_ms, longest, is_quiet):
    one = sut.Connection("a:1", "b:2", sent_ms, sent_ms + 1, False)
    assert bool(sut.quiet([one], {"b:2": longest})) is is_quiet


def test_those_that_will_send_latest_come_first():
    short, long, idle = (sut.Connection("a:1", name, ms, ms, False) for name, ms in (("s", 9), ("l", 60), ("i", 9000)))
    assert sut.quiet([short, long, idle], {"s": 50, "l": 200, "i": 9000}) == (idle, long, short)


def test_few_of_the_busiest_are_chosen():
    found = sut.parse_connections(CONNECTIONS)
    assert [one.client for one in sut.just_answered(found)] == ["198.18.0.9:5"]
    assert len(sut.just_answered(found * 4)) == 3
    assert sut.just_answered(found[1:2]) == ()


def test_the_longest_pause_is_remembered():
    found = sut.parse_connections(CONNECTIONS)
    known = sut.longest_pauses(found, {"198.18.0.9:3": 90, "gone:1": 7})
    assert known == {"198.18.0.9:32926": 29044, "198.18.0.9:3": 90, "198.18.0.9:5": 0, "gone:1": 7}


@pytest.mark.parametrize("text", ["Error: an inet prefix is expected", "1 2 3", "State Recv-Q Send-Q Local Peer"])
def test_other_output_is_no_connection(text):
    with pytest.raises(ValueError, match="instead of a connection"):
        sut.parse_connections(text)


def test_filters():
    assert " ".join(sut.to_addresses(on_host(*OWN))) == "src 198.18.0.100 or src [2001:db8::100]"
    chosen = sut.these(sut.parse_connections(CONNECTIONS)[:2])
    assert " ".join(chosen) == (
        "( src 198.18.0.100:5000 and dst 198.18.0.9:32926 ) or ( src [2001:db8::100]:5000 and dst [2001:db8::9]:4000 )"
    )


def test_closing_nothing_closes_not_everything():
    with pytest.raises(ValueError, match="no connection"):
        sut.these([])
