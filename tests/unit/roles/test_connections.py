# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that the role connections passes on."""

from __future__ import annotations

import pytest

from tests.unit.roles.render import evaluate

PROFILE = {"connections_timing": {"tcp_retries2": 4, "tcp_syn_retries": 2}}


@pytest.mark.parametrize(
    ("variables", "retries", "syn_retries"),
    [
        ({}, 5, 3),
        (PROFILE, 4, 2),
        ({**PROFILE, "connections_tcp_retries2": "6"}, 6, 2),
        ({**PROFILE, "connections_state": "absent"}, 15, 6),
    ],
)
def test_the_kernel_s_settings(variables, retries, syn_retries):
    assert evaluate("connections", "{{ connections__settings }}", variables) == {
        "net.ipv4.tcp_retries2": retries,
        "net.ipv4.tcp_syn_retries": syn_retries,
    }
