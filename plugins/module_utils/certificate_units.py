# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which services have not read a host's certificates yet, and how they do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.component import (
    Changes,
    FoundUnit,
    WantedUnit,
    plan_unit,
    read_at,
)


@dataclass(frozen=True)
class Reader:
    """A component's unit, which must restart or reload when some files change.

    amended: those of reload_on that it reads at a reload only with the collection's amendments; without them it must
    restart. managed: another module restarts it, one that knows when that is safe.
    """

    component: str
    unit: str
    restart_on: tuple[str, ...] = ()
    reload_on: tuple[str, ...] = ()
    amended: tuple[str, ...] = ()
    managed: bool = False

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Reader:
        """Return one entry of the module's option ``units``."""
        paths = {kind: tuple(entry.get(kind) or ()) for kind in ("restart_on", "reload_on", "amended")}
        return cls(entry["component"], entry["unit"], managed=bool(entry.get("managed")), **paths)

    @property
    def wanted(self) -> WantedUnit:
        """The unit as a component's; it is neither enabled nor disabled."""
        return WantedUnit(self.unit, True, None, self.restart_on, self.reload_on, restart=not self.managed)


@dataclass(frozen=True)
class Due:
    """A unit as it is, why it must restart or reload, and the verbs for systemctl."""

    reader: Reader
    active: bool
    reasons: tuple[str, ...] = ()
    reloads: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data, in the form of holdfast.ha.rolling_info."""
        return {
            "component": self.reader.component,
            "unit": self.reader.unit,
            "active": self.active,
            "reasons": list(self.reasons),
            "reloads": list(self.reloads),
        }


def plan(
    readers: Sequence[Reader],
    found: Mapping[str, FoundUnit],
    changes: Changes,
    is_amended: Callable[[float], bool],
) -> list[Due]:
    """Return what each unit needs; one that does not run reads the files when it starts.

    :arg is_amended: whether a unit that was started then runs with the present amendments.
    """
    return [_due(reader, found.get(reader.unit, FoundUnit()), changes, is_amended) for reader in readers]


def _due(reader: Reader, found: FoundUnit, changes: Changes, is_amended: Callable[[float], bool]) -> Due:
    if not found.running:
        return Due(reader, active=False)
    if reader.amended and not is_amended(found.started_at):
        reader = replace(reader, restart_on=(*reader.restart_on, *reader.amended))
    planned = plan_unit(reader.wanted, found, changes)
    restarts = planned.stale or "restart" in planned.verbs
    reasons = _newer(reader.restart_on, found.started_at, changes, "start") if restarts else ()
    reloads = _newer(reader.reload_on, read_at(found), changes, "reload") if "reload" in planned.verbs else ()
    return Due(reader, True, reasons, reloads, planned.verbs)


def _newer(paths: Collection[str], moment: float, changes: Changes, what: str) -> tuple[str, ...]:
    changed = [path for path in paths if changes.newer_than([path], moment)]
    return tuple(f"{path} changed since its {what}" for path in changed)
