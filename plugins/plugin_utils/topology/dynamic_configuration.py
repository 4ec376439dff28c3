# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user adds to Patroni's dynamic configuration, as far as Patroni would ignore it or confuse it with its own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .node import suggestion
from .problems import HIDDEN, Problems

VARIABLE = "patroni_dynamic_configuration"
KEYS = (
    "check_timeline",
    "failsafe_mode",
    "ignore_slots",
    "loop_wait",
    "master_start_timeout",
    "master_stop_timeout",
    "max_timelines_history",
    "maximum_lag_on_failover",
    "maximum_lag_on_syncnode",
    "member_slots_ttl",
    "pause",
    "postgresql",
    "primary_race_backoff",
    "primary_start_timeout",
    "primary_stop_timeout",
    "retry_timeout",
    "slots",
    "standby_cluster",
    "synchronous_mode",
    "synchronous_mode_strict",
    "synchronous_node_count",
    "ttl",
)
"""What Patroni reads there; it ignores anything else."""

FILES = {"pg_hba": "add the lines to patroni_hba_rules", "pg_ident": "remove it; the role writes pg_ident.conf"}
"""Keys of C(postgresql) that Patroni ignores because the files are given by their paths."""


def slot_name(member: str) -> str:
    """The replication slot that Patroni makes for a member."""
    return re.sub(r"[-.]", "_", member.lower())


def check_dynamic_configuration(value: Any, members: Iterable[str], problems: Problems) -> None:
    """Note unknown keys, ignored ones, and slots that are a member's. What is not a mapping is for others to tell."""
    if not isinstance(value, Mapping):
        return
    for key in value:
        if key not in KEYS:
            problems.add(f"{VARIABLE}.{key}", HIDDEN, "is ignored by Patroni", suggestion(str(key), KEYS))
    for key in _mapping(value.get("postgresql")):
        if key in FILES:
            problems.add(f"{VARIABLE}.postgresql.{key}", HIDDEN, "is ignored by Patroni", FILES[key])
    slots = {slot_name(member): member for member in members}
    for slot in _mapping(value.get("slots")):
        if str(slot) in slots:
            what = f"is the slot of the member {slots[str(slot)]}"
            problems.add(f"{VARIABLE}.slots.{slot}", HIDDEN, what, "choose another name")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
