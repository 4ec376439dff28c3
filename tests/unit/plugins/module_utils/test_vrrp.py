# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import vrrp

LINKS = json.dumps(
    [
        {"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}, {"local": "::1"}, {"local": "198.18.0.9"}]},
        {
            "ifname": "eth0",
            "addr_info": [
                {"family": "inet", "local": "198.18.0.21", "prefixlen": 24},
                {"family": "inet", "local": "198.18.0.100", "prefixlen": 24, "secondary": True},
                {"family": "inet6", "local": "2001:db8::100", "prefixlen": 64, "nodad": True},
                {"family": "inet6", "local": "2001:db8::bad", "prefixlen": 64, "dadfailed": True},
            ],
        },
        {"ifname": "tun0", "addr_info": [{}]},
        {"ifname": "down0"},
    ]
)


@pytest.mark.parametrize(
    ("address", "interface"),
    [
        ("127.0.0.1", "lo"),
        ("198.18.0.21", "eth0"),
        ("198.18.0.100/24", "eth0"),
        ("198.18.0.10", None),
        ("198.18.0.9", None),
        ("2001:db8::100/64", "eth0"),
        ("2001:0DB8:0:0::100", "eth0"),
        ("2001:db8::bad", None),
    ],
)
def test_locate(address, interface):
    assert vrrp.locate([address], vrrp.parse_addresses(LINKS)) == {address: interface}


def test_locate_refuses_a_name():
    with pytest.raises(ValueError, match="lb1"):
        vrrp.locate(["lb1"], {})


def test_no_output_means_no_address():
    assert vrrp.parse_addresses("") == {}


@pytest.mark.parametrize(
    ("text", "running", "enabled"),
    [
        ("ActiveState=active\nUnitFileState=enabled\n", True, True),
        ("ActiveState=reloading\nUnitFileState=enabled\n", True, True),
        ("ActiveState=failed\nUnitFileState=enabled\n", False, True),
        ("ActiveState=active\nUnitFileState=disabled\n", True, False),
        ("ActiveState=inactive\nUnitFileState=masked\n", False, False),
        ("ActiveState=inactive\nUnitFileState=\n", False, False),
        ("", False, False),
    ],
)
def test_unit(text, running, enabled):
    assert vrrp.parse_unit(text) == {"running": running, "enabled": enabled}


@pytest.mark.parametrize(
    ("sets", "found"),
    [
        ([], []),
        ([{"name": "strangers4"}], []),
        (
            [
                {"name": "strangers6", "elem": ["2001:db8::23"]},
                {"name": "strangers4", "elem": [{"elem": {"val": "198.51.100.23", "timeout": 60, "expires": 59}}]},
            ],
            ["198.51.100.23", "2001:db8::23"],
        ),
    ],
)
def test_who_sent_adverts_and_is_no_peer(sets, found):
    listed = [{"metainfo": {"version": "1.1.3"}}, *({"set": item} for item in sets), {"rule": {"expr": []}}]
    assert vrrp.parse_strangers(json.dumps({"nftables": listed})) == found


@pytest.mark.parametrize(
    ("items", "found"), [([{"rule": {"expr": []}}], True), ([{"chain": {"name": "adverts"}}], False), ([], False)]
)
def test_a_table_without_rules_filters_nothing(items, found):
    assert vrrp.has_rules(json.dumps({"nftables": [{"metainfo": {}}, {"table": {}}, *items]})) is found
    assert not vrrp.has_rules("")


def test_peers_of_a_configuration():
    configuration = """
vrrp_instance main {
    unicast_src_ip 198.51.100.21
    unicast_peer {
        198.51.100.22 min_ttl 255
        2001:db8::22
    }
    virtual_ipaddress {
        198.51.100.100/24 dev eth0
    }
}
vrrp_instance other {
    unicast_peer {
        198.51.100.22 min_ttl 255
    }
}
vrrp_instance alone {
    unicast_peer {
    }
}
"""
    assert vrrp.parse_peers(configuration) == ["198.51.100.22", "2001:db8::22"]
    assert vrrp.parse_peers("") == []
