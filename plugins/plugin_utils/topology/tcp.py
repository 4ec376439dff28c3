# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the kernel waits for a silent peer. Pure."""

from __future__ import annotations

from itertools import count

DATA_MS = 200
"""The least time until data are sent again (TCP_RTO_MIN), from which the kernel computes when it gives up."""
SYN_MS = 1000
"""The time until a connection request is sent again (TCP_TIMEOUT_INIT)."""
LONGEST_MS = 120_000
"""The longest time between two attempts (TCP_RTO_MAX; net.ipv4.tcp_rto_max_ms since Linux 6.15)."""


def patience(retries: int, first_ms: int, longest_ms: int = LONGEST_MS) -> float:
    """The seconds from the first attempt until a connection ends: each wait is twice the one before.

    The kernel gives up at the first attempt after them. With a round trip above the minimum, that is up to twice as
    late. Since Linux 6.5, connection requests get some more attempts (net.ipv4.tcp_syn_linear_timeouts).

    :arg first_ms: DATA_MS for tcp_retries2, SYN_MS for tcp_syn_retries.
    """
    doublings = (longest_ms // first_ms).bit_length() - 1
    doubled = ((2 << min(retries, doublings)) - 1) * first_ms
    return (doubled + max(0, retries - doublings) * longest_ms) / 1000


def fewest_retries(seconds: float, first_ms: int) -> int:
    """The fewest retries with which a connection outlasts some seconds of silence."""
    return next(retries for retries in count(1) if patience(retries, first_ms) > seconds)
