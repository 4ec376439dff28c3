# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.tcp import (
    DATA_MS,
    SYN_MS,
    fewest_retries,
    patience,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import PROFILES, connections

KERNELS_OWN = (924.6, 127.0)
"""What the kernel's documentation says of its defaults, 15 and 6."""


@pytest.mark.parametrize(
    ("retries", "first", "longest", "seconds"),
    [
        (15, DATA_MS, 120_000, KERNELS_OWN[0]),
        (6, SYN_MS, 120_000, KERNELS_OWN[1]),
        (3, DATA_MS, 120_000, 3.0),
        (4, DATA_MS, 120_000, 6.2),
        (5, DATA_MS, 120_000, 12.6),
        (9, DATA_MS, 120_000, 204.6),
        (10, DATA_MS, 120_000, 324.6),
        (5, DATA_MS, 1_000, 4.4),
        (2, SYN_MS, 120_000, 7.0),
    ],
)
def test_how_long_a_connection_waits(retries, first, longest, seconds):
    assert patience(retries, first, longest) == pytest.approx(seconds)


@pytest.mark.parametrize(("silence", "data", "syn"), [(3, 4, 2), (8, 5, 3), (12, 5, 3), (13, 6, 3), (30, 7, 4)])
def test_a_connection_just_outlasts_the_silence(silence, data, syn):
    assert connections(silence) == {"tcp_retries2": data, "tcp_syn_retries": syn}
    for retries, first in ((data, DATA_MS), (syn, SYN_MS)):
        assert patience(retries - 1, first) <= silence < patience(retries, first)
        assert fewest_retries(silence, first) == retries


def test_no_profile_leaves_a_connection_to_the_kernel_s_own_patience():
    for profile in PROFILES.values():
        chosen = connections(profile.lease_watch or profile.patroni["ttl"])
        assert chosen["tcp_retries2"] < 8
        assert chosen["tcp_syn_retries"] < 6
