# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for a user's additions to Patroni's dynamic configuration: ignored keys, and conflicts with Patroni's own."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.patroni_dynamic import VARIABLE, faults
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import HIDDEN, Problems

__all__ = ["VARIABLE", "check_dynamic_configuration", "slot_name"]


def slot_name(member: str) -> str:
    """The replication slot that Patroni creates for a member."""
    return re.sub(r"[-.]", "_", member.lower())


def check_dynamic_configuration(value: Any, members: Iterable[str], problems: Problems) -> None:
    """Note keys that Patroni would ignore, and slots of members. Other checks refuse values that are not mappings."""
    if not isinstance(value, Mapping):
        return
    for fault in faults(value):
        problems.add(fault.where, HIDDEN if fault.value is None else fault.value, fault.what, fault.fix)
    slots = {slot_name(member): member for member in members}
    declared = value.get("slots")
    for slot in declared if isinstance(declared, Mapping) else ():
        if str(slot) in slots:
            what = f"is the slot of the member {slots[str(slot)]}"
            problems.add(f"{VARIABLE}.slots.{slot}", HIDDEN, what, "choose another name")
