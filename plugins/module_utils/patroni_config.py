# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan that turns Patroni's dynamic configuration into the declared one. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

Configuration = dict[str, Any]

TIMING_FLOOR = {"ttl": 20, "loop_wait": 1, "retry_timeout": 3}
TIMING_DEFAULT = {"ttl": 30, "loop_wait": 10, "retry_timeout": 10}


def same(left: Any, right: Any) -> bool:
    """Whether Patroni sees no difference: 8 equals "8", true equals "True"."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return scalar(left) == scalar(right)


def scalar(value: Any) -> str:
    """Return the text two equal values share."""
    return str(value).lower() if isinstance(value, bool) or str(value).lower() in {"true", "false"} else str(value)


def merge_patch(current: Mapping[str, Any], desired: Mapping[str, Any]) -> Configuration:
    """Return the smallest patch that gives ``current`` the values of ``desired``; null removes a key."""
    patch: Configuration = {}
    for key, value in desired.items():
        if value is None:
            if key in current:
                patch[key] = None
        elif key not in current:
            patch[key] = without_nulls(value)
        elif isinstance(value, Mapping) and isinstance(current[key], Mapping):
            nested = merge_patch(current[key], value)
            if nested:
                patch[key] = nested
        elif not same(current[key], without_nulls(value)):
            patch[key] = without_nulls(value)
    return patch


def removals(current: Mapping[str, Any], desired: Mapping[str, Any], keep: Sequence[str]) -> Configuration:
    """Return the patch that removes what ``desired`` does not name; ``keep`` spares top-level keys."""
    patch: Configuration = {}
    for key, value in current.items():
        if key in keep:
            continue
        if key not in desired:
            patch[key] = None
        elif isinstance(value, Mapping) and isinstance(desired[key], Mapping):
            nested = removals(value, desired[key], ())
            if nested:
                patch[key] = nested
    return patch


def combine(left: Mapping[str, Any], right: Mapping[str, Any]) -> Configuration:
    """Return both patches as one; ``right`` wins."""
    merged = dict(left)
    for key, value in right.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = combine(merged[key], value)
        else:
            merged[key] = value
    return merged


def apply_patch(current: Mapping[str, Any], patch: Mapping[str, Any]) -> Configuration:
    """Return ``current`` after the patch, as Patroni would store it."""
    after = deepcopy(dict(current))
    for key, value in patch.items():
        if value is None:
            after.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(after.get(key), Mapping):
            after[key] = apply_patch(after[key], value)
        else:
            after[key] = value
    return after


def plan(current: Mapping[str, Any], desired: Mapping[str, Any], exact: bool, keep: Sequence[str]) -> Configuration:
    """Return the patch from ``current`` to ``desired``; empty when nothing is to be done."""
    patch = merge_patch(current, desired)
    return combine(removals(current, desired, keep), patch) if exact else patch


def without_nulls(value: Any) -> Any:
    """Return the value without keys that are null: Patroni would store them."""
    if isinstance(value, Mapping):
        return {key: without_nulls(nested) for key, nested in value.items() if nested is not None}
    return value


def timing_problem(configuration: Mapping[str, Any]) -> str | None:
    """Return why Patroni would not honour the timing of a configuration, or None."""
    timing: dict[str, int] = {}
    for name, default in TIMING_DEFAULT.items():
        value = configuration.get(name)
        try:
            timing[name] = default if value is None else int(value)
        except (TypeError, ValueError):
            return f"{name} is {value!r}; give whole seconds"
        if timing[name] < TIMING_FLOOR[name]:
            return f"{name} is {timing[name]} s; Patroni's minimum is {TIMING_FLOOR[name]} s"
    needed = timing["loop_wait"] + 2 * timing["retry_timeout"]
    if needed > timing["ttl"]:
        return (
            f"loop_wait + 2 * retry_timeout is {needed} s, more than the ttl of {timing['ttl']} s; "
            f"raise ttl to at least {needed} or lower the others"
        )
    return None


def is_synchronous(configuration: Mapping[str, Any] | None) -> bool:
    """Whether the configuration asks for synchronous replication, in any of its modes."""
    return str((configuration or {}).get("synchronous_mode")).lower() in {"true", "on", "yes", "1", "quorum"}
