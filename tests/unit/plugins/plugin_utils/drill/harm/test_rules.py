# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.rules import Cut, ruleset

CASES = {
    "everybody": (
        Cut(),
        [
            "chain input {",
            "type filter hook input priority -400; policy accept;",
            'iifname "lo" accept',
            "ip saddr 192.0.2.1 tcp dport 22 accept",
            "counter drop",
            "}",
            "chain output {",
            "type filter hook output priority -400; policy accept;",
            'oifname "lo" accept',
            "ip daddr 192.0.2.1 tcp sport 22 accept",
            "counter drop",
            "}",
        ],
    ),
    "one way, two families": (
        Cut(("192.0.2.11", "2001:db8::12"), (), incoming=False),
        [
            "chain output {",
            "type filter hook output priority -400; policy accept;",
            'oifname "lo" accept',
            "ip daddr 192.0.2.1 tcp sport 22 accept",
            "ip daddr { 192.0.2.11 } counter drop",
            "ip6 daddr { 2001:db8::12 } counter drop",
            "}",
        ],
    ),
    "ports of both sides": (
        Cut(("192.0.2.11",), (2379, 2380), outgoing=False),
        [
            "chain input {",
            "type filter hook input priority -400; policy accept;",
            'iifname "lo" accept',
            "ip saddr 192.0.2.1 tcp dport 22 accept",
            "ip saddr { 192.0.2.11 } tcp dport { 2379, 2380 } counter drop",
            "ip saddr { 192.0.2.11 } tcp sport { 2379, 2380 } counter drop",
            "}",
        ],
    ),
}


@pytest.mark.parametrize(("cut", "lines"), CASES.values(), ids=CASES)
def test_rules(cut, lines) -> None:
    text = ruleset(cut, "192.0.2.1", 22)
    assert text.startswith("table inet holdfast_drill {")
    assert [line.strip() for line in text.splitlines()][1:-1] == lines
