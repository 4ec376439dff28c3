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


def filtered(instances: list[dict[str, Any]], **variables: Any) -> list[str]:
    lines = render("keepalived", "filter.nft.j2", {"keepalived_instances": instances, **variables}).splitlines()
    assert sum("update @strangers" in line for line in lines) == len({item["source"] for item in instances})
    lines = [line for line in lines if "update" not in line]
    return [line.strip().removeprefix("meta l4proto 112 ") for line in lines if "l4proto" in line]


@pytest.mark.parametrize(
    ("instances", "min_ttl", "expected"),
    [
        (
            [("192.0.2.21", ["192.0.2.22"])],
            255,
            [
                "ip daddr 192.0.2.21 ip ttl < 255 drop",
                "ip daddr 192.0.2.21 ip saddr != { 192.0.2.22 } drop",
            ],
        ),
        (
            [("2001:db8::21", ["2001:db8::22", "2001:db8::23"])],
            "254",
            [
                "ip6 daddr 2001:db8::21 ip6 hoplimit < 254 drop",
                "ip6 daddr 2001:db8::21 ip6 saddr != { 2001:db8::22, 2001:db8::23 } drop",
            ],
        ),
        (
            [("192.0.2.21", ["192.0.2.22"]), ("192.0.2.21", ["192.0.2.23", "192.0.2.22"])],
            "0",
            ["ip daddr 192.0.2.21 ip saddr != { 192.0.2.22, 192.0.2.23 } drop"],
        ),
        ([("192.0.2.21", [])], 255, ["ip daddr 192.0.2.21 drop"]),
        ([], 255, []),
    ],
    ids=["IPv4", "IPv6 routed once", "two instances, any TTL", "no peer", "no instance"],
)
def test_what_no_peer_can_have_sent_is_dropped(instances: list[Any], min_ttl: Any, expected: list[str]) -> None:
    given = [{"source": source, "peers": peers} for source, peers in instances]
    assert filtered(given, keepalived_min_ttl=min_ttl) == expected
