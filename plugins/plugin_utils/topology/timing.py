# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timing profiles: how soon each part treats silence as a failure. Interdependent settings are kept together here.

A role takes its part as C(<role>_timing), which its own variables override, so that a user's settings take precedence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.tcp import DATA_MS, SYN_MS, fewest_retries

DEFAULT_PROFILE = "balanced"


@dataclass(frozen=True)
class Profile:
    """One profile. Patroni and the watch count in seconds, etcd in milliseconds, HAProxy and keepalived in their units.

    C(patroni): ttl, loop_wait + 2 * retry_timeout <= ttl. C(etcd): election_timeout >= 5 * heartbeat_interval, and long
    enough that a slow write to disk does not lose the leader. C(lease_watch): None for no watcher. It is chosen for
    synchronous replication, with which an isolated primary can't acknowledge alone. Without, the watcher waits until
    that primary has demoted itself (lease_rules.py). C(haproxy): a check must connect and complete its handshake within
    its interval, or it fails on a busy machine. reconnect_interval is longer than a round trip; without it HAProxy
    waits its default second. C(keepalived) detects a dead balancer after slightly more than 3 * advert_int,
    C(vrrp_check) a dead HAProxy after fall * interval.
    """

    patroni: Mapping[str, int]
    etcd: Mapping[str, int]
    haproxy: Mapping[str, Any]
    keepalived: Mapping[str, float]
    vrrp_check: Mapping[str, float]
    lease_watch: int | None


PROFILES: Mapping[str, Profile] = {
    "conservative": Profile(
        patroni={"ttl": 30, "loop_wait": 5, "retry_timeout": 10},
        etcd={"heartbeat_interval": 100, "election_timeout": 1000},
        haproxy={
            "check_interval": "1s",
            "check_fast_interval": "500ms",
            "check_down_interval": "1s",
            "check_timeout": "3s",
            "check_fall": 3,
        },
        keepalived={"advert_int": 1},
        vrrp_check={"interval": 1, "timeout": 3, "fall": 3},
        lease_watch=None,
    ),
    "balanced": Profile(
        patroni={"ttl": 20, "loop_wait": 1, "retry_timeout": 3},
        etcd={"heartbeat_interval": 100, "election_timeout": 700},
        haproxy={
            "check_interval": "1s",
            "check_fast_interval": "500ms",
            "check_down_interval": "500ms",
            "check_timeout": "1500ms",
            "check_fall": 2,
            "reconnect_interval": "250ms",
            "reconnect_retries": 12,
        },
        keepalived={"advert_int": 0.2},
        vrrp_check={"interval": 0.5, "timeout": 1, "fall": 2},
        lease_watch=8,
    ),
    "fast": Profile(
        patroni={"ttl": 20, "loop_wait": 1, "retry_timeout": 3},
        etcd={"heartbeat_interval": 50, "election_timeout": 500},
        haproxy={
            "check_interval": "500ms",
            "check_fast_interval": "300ms",
            "check_down_interval": "250ms",
            "check_timeout": "1s",
            "check_fall": 2,
            "reconnect_interval": "100ms",
            "reconnect_retries": 30,
        },
        keepalived={"advert_int": 0.2},
        vrrp_check={"interval": 0.5, "timeout": 1, "fall": 2},
        lease_watch=3,
    ),
}


def patroni_defaults(profile: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of the role patroni under the profile: its defaults with the profile's timing."""
    return {**defaults, **{f"patroni_{name}": value for name, value in PROFILES[profile].patroni.items()}}


def connections(silence: int) -> dict[str, int]:
    """The kernel's retries with which a connection just outlasts the silence, in seconds, of a lost leader.

    With fewer, clients' connections would break in a disturbance that the cluster bears. With more, connections that
    a longer disturbance left half open hold up what follows: data wait for the next attempt, even when the peer is
    back.
    """
    return {
        "tcp_retries2": fewest_retries(silence, DATA_MS),
        "tcp_syn_retries": fewest_retries(silence, SYN_MS),
    }


def timing_dict(profile: str, lease_watch: int | None) -> dict[str, Any]:
    """The profile in the format of C(ha.timing): its name, and the settings of each role.

    :arg lease_watch: the seconds after which a silent leader's lease is revoked; without them it ends after its ttl.
    """
    timing = PROFILES[profile]
    parts = ("patroni", "etcd", "haproxy", "keepalived", "vrrp_check")
    return {
        "profile": profile,
        **{part: dict(getattr(timing, part)) for part in parts},
        "connections": connections(lease_watch or timing.patroni["ttl"]),
    }
