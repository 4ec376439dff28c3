# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""keepalived's configuration."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.roles.render import render


@pytest.mark.parametrize(
    ("variables", "peers", "expected"),
    [
        ({}, ["192.0.2.22"], ["unicast_ttl 255", "192.0.2.22 min_ttl 255"]),
        ({"keepalived_min_ttl": "254"}, ["192.0.2.22"], ["unicast_ttl 255", "192.0.2.22 min_ttl 254"]),
        ({"keepalived_min_ttl": 0}, ["192.0.2.22"], ["unicast_ttl 255", "192.0.2.22"]),
        (
            {},
            ["2001:db8::22", "2001:db8::23"],
            ["unicast_ttl 255", "2001:db8::22 min_ttl 255", "2001:db8::23 min_ttl 255"],
        ),
        ({}, [], []),
    ],
)
def test_a_peers_adverts_come_from_the_same_segment(
    variables: dict[str, Any], peers: list[str], expected: list[str]
) -> None:
    source = "2001:db8::21" if ":" in "".join(peers) else "192.0.2.21"
    instance = {"name": "main", "virtual_router_id": 51, "priority": 1, "source": source, "interface": "eth0"}
    told = {"keepalived_instances": [{**instance, "peers": peers, "addresses": ["192.0.2.100/24"]}], **variables}
    lines = [line.strip() for line in render("keepalived", "keepalived.conf.j2", told).splitlines()]
    assert [line for line in lines if "ttl" in line or line.split(" ")[0] in peers] == expected


@pytest.mark.parametrize(
    ("instances", "min_ttl", "expected"),
    [
        (
            [("192.0.2.21", 51, ["192.0.2.22"])],
            255,
            [
                "meta nfproto ipv4 @th,8,8 != { 51 } accept",
                "ip ttl < 255 drop",
                "ip saddr != { 192.0.2.22 } update @strangers4 { ip saddr }",
                "ip saddr != { 192.0.2.22 } drop",
            ],
        ),
        (
            [("2001:db8::21", 61, ["2001:db8::22", "2001:db8::23"])],
            "254",
            [
                "meta nfproto ipv6 @th,8,8 != { 61 } accept",
                "ip6 hoplimit < 254 drop",
                "ip6 saddr != { 2001:db8::22, 2001:db8::23 } update @strangers6 { ip6 saddr }",
                "ip6 saddr != { 2001:db8::22, 2001:db8::23 } drop",
            ],
        ),
        (
            [("192.0.2.21", 51, ["192.0.2.22"]), ("192.0.2.20", 52, ["192.0.2.23", "192.0.2.22"])],
            "0",
            [
                "meta nfproto ipv4 @th,8,8 != { 51, 52 } accept",
                "ip saddr != { 192.0.2.22, 192.0.2.23 } update @strangers4 { ip saddr }",
                "ip saddr != { 192.0.2.22, 192.0.2.23 } drop",
            ],
        ),
        (
            [("192.0.2.21", 51, []), ("2001:db8::21", 51, ["2001:db8::22"])],
            255,
            [
                "meta nfproto ipv4 @th,8,8 != { 51 } accept",
                "meta nfproto ipv4 update @strangers4 { ip saddr }",
                "meta nfproto ipv4 drop",
                "meta nfproto ipv6 @th,8,8 != { 51 } accept",
                "ip6 hoplimit < 255 drop",
                "ip6 saddr != { 2001:db8::22 } update @strangers6 { ip6 saddr }",
                "ip6 saddr != { 2001:db8::22 } drop",
            ],
        ),
        ([], 255, []),
    ],
    ids=["IPv4", "IPv6 routed once", "two instances, any TTL", "no peer, both families", "no instance"],
)
def test_what_no_peer_can_have_sent_is_dropped_whatever_address_it_is_sent_to(
    instances: list[Any], min_ttl: Any, expected: list[str]
) -> None:
    keys = ("source", "virtual_router_id", "peers")
    given = [dict(zip(keys, values, strict=True)) for values in instances]
    told = {"keepalived_instances": given, "keepalived_min_ttl": min_ttl}
    lines = [line.strip() for line in render("keepalived", "filter.nft.j2", told).splitlines()]
    first = lines.index("meta l4proto != 112 accept")
    assert [line for line in lines[first + 1 :] if not line.startswith(("#", "}"))] == expected
