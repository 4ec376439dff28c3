# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a component: the changes of its files and units, computed from the desired and the observed state."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.masking import mask_text
from ansible_collections.holdfast.ha.plugins.module_utils.places import Access, Account, in_use, of_the_system, whose

MARK = ".holdfast"
MASK = "(content not shown)\n"
MASK_CHANGED = "(content not shown, changed)\n"
VALUE_CHANGED = "(a value that is not shown changed)\n"
_SYSTEMD_DIRECTORY = "/etc/systemd/system/"
_UNIT_SUFFIXES = (".timer", ".path", ".socket", ".service", ".mount", ".target")
_STATIC_UNIT_FILE_STATES = frozenset({"static", "generated", "transient", "indirect", "alias"})
UNIT_PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "UnitFileState",
    "NeedDaemonReload",
    "InactiveExitTimestamp",
    "StateChangeTimestamp",
)


class Kind(Enum):
    """What a path holds."""

    NOTHING = "absent"
    FILE = "file"
    DIRECTORY = "directory"
    OTHER = "other"


@dataclass(frozen=True)
class Ownership:
    """Names of owner and group, and the permission bits."""

    owner: str
    group: str
    mode: int


def is_private(ownership: Ownership | None) -> bool:
    """Whether the path is not world-readable, as files with secrets are."""
    return ownership is not None and not ownership.mode & 0o007


@dataclass(frozen=True)
class WantedPath:
    """The desired state of a path: a file (with content), a directory (without) or absence."""

    path: str
    kind: Kind
    ownership: Ownership | None = None
    content: str | None = None
    secret: bool = False
    validate: str | None = None
    secret_keys: tuple[str, ...] = ()
    validate_shown: bool = False


@dataclass(frozen=True)
class Purge:
    """The paths that match a pattern, and those of them to keep; declared files are kept as well."""

    found: tuple[str, ...]
    keep: frozenset[str] = frozenset()


def plan_purge(purges: Collection[Purge], wanted: Collection[WantedPath]) -> list[WantedPath]:
    """The absences that result from purging; the diff shows only a unit file's content."""
    declared = {item.path for item in wanted}
    paths = sorted({path for purge in purges for path in purge.found if path not in purge.keep} - declared)
    return [absence(path) for path in paths]


def absence(path: str) -> WantedPath:
    """The desired absence of a path; what is removed may hold secrets, unless it is a unit's file."""
    return WantedPath(path, Kind.NOTHING, secret=unit_of(path) is None)


def unit_of(path: str) -> str | None:
    """The unit to which this file, or link in a directory such as timers.target.wants, belongs, or None."""
    directory, _slash, name = path.rpartition("/")
    of_systemd = f"{directory}/" == _SYSTEMD_DIRECTORY or (
        directory.startswith(_SYSTEMD_DIRECTORY) and directory.endswith((".wants", ".requires"))
    )
    return name if of_systemd and name.endswith(_UNIT_SUFFIXES) and "@." not in name else None


def unit_trial(path: str, content: str) -> dict[str, str]:
    """Return the files, the unit's first, that systemd needs to verify a unit file or a service's drop-in; {} for
    others."""
    name = path.removeprefix(_SYSTEMD_DIRECTORY)
    if not path.startswith(_SYSTEMD_DIRECTORY) or not name.endswith((*_UNIT_SUFFIXES, ".conf")):
        return {}
    if "/" not in name:
        return {name: content}
    directory, _slash, _file = name.partition("/")
    is_drop_in = directory.endswith(".service.d") and name.count("/") == 1
    return {directory.removesuffix(".d"): "[Service]\nExecStart=/bin/true\n", name: content} if is_drop_in else {}


def unread_values(output: str, path: str, content: str) -> list[str]:
    """Return the lines of a unit file whose values systemd, when it verifies the file, can't parse."""
    lines = content.splitlines()
    unread = re.findall(rf"^{re.escape(path)}:(\d+): ((?:Failed to parse|Invalid) .*), ignoring", output, re.MULTILINE)
    return [f"{lines[int(number) - 1]} ({words})" for number, words in unread if 0 < int(number) <= len(lines)]


def purged_units(purged: Collection[WantedPath], declared: Collection[str]) -> list[WantedUnit]:
    """The units to stop because their files are purged; units that start others, such as timers, come first."""
    names = {name for item in purged if (name := unit_of(item.path))} - set(declared)
    ordered = sorted(names, key=lambda name: (_UNIT_SUFFIXES.index(f".{name.rpartition('.')[2]}"), name))
    return [WantedUnit(name, started=False, enabled=False) for name in ordered]


class NotOwnError(Exception):
    """A directory does not belong to the component; the message names it and the fix."""


@dataclass(frozen=True)
class OwnDirectory:
    """A directory that only the component uses.

    ``contents`` are patterns of the names that it creates there, ``reserved`` are paths of others.
    """

    path: str
    ownership: Ownership
    contents: tuple[str, ...]
    reserved: tuple[str, ...] = ()
    present: bool = True

    @property
    def mark(self) -> WantedPath:
        """The file, owned by root, that marks the directory as the component's."""
        text = (
            f"{self.path} is a directory of holdfast.ha.component's: what it makes here goes when it is turned off.\n"
        )
        return WantedPath(f"{self.path}/{MARK}", Kind.FILE, Ownership("root", "root", 0o644), text)


@dataclass(frozen=True)
class FoundDirectory:
    """The names in a directory, whether it has its mark, its real path, and the homes of the host's users."""

    names: tuple[str, ...] = ()
    marked: bool = False
    real: str | None = None
    homes: tuple[str, ...] = ()


def plan_own(wanted: OwnDirectory, found: FoundDirectory) -> list[WantedPath]:
    """The desired paths for an existing or absent own directory; raises NotOwnError."""
    own = [name for name in found.names if name != MARK and any(fnmatchcase(name, item) for item in wanted.contents)]
    others = sorted(set(found.names) - {MARK, *own})
    if wanted.present:
        _refuse(wanted, found, others)
        return [WantedPath(wanted.path, Kind.DIRECTORY, wanted.ownership), wanted.mark]
    if not found.marked:
        return []
    paths = [*(f"{wanted.path}/{name}" for name in sorted(own)), wanted.mark.path, *([] if others else [wanted.path])]
    return [WantedPath(path, Kind.NOTHING, secret=True) for path in paths]


def _refuse(wanted: OwnDirectory, found: FoundDirectory, others: list[str]) -> None:
    paths = (wanted.path, found.real or wanted.path)
    taken = next(filter(None, (in_use(path, wanted.reserved, found.homes) for path in paths)), None)
    if taken:
        raise NotOwnError(f"{wanted.path}: overlaps with {taken}, which is in use; name a directory of its own")
    if others and not found.marked:
        held = ", ".join(others[:5])
        raise NotOwnError(f"{wanted.path}: holds {held}, which belongs to something else; name a separate directory")


def refuse_system(plan: Collection[PathChange]) -> None:
    """Raise NotOwnError if a system directory would be removed, or get another owner or mode."""
    for change in plan:
        item = change.wanted
        if item.kind is not Kind.FILE and change.found.kind is Kind.DIRECTORY and of_the_system(item.path):
            raise NotOwnError(f"{item.path}: is the system's, and stays as it is; name a directory of its own")


def refuse_others(plan: Collection[PathChange], accounts: Collection[Account], real: Callable[[str], str]) -> None:
    """Raise NotOwnError if a directory of another user would get another owner, or become inaccessible to that user.

    real: returns where a path really is.
    """
    for change in plan:
        path, found, wanted = change.wanted.path, change.found.ownership, change.wanted.ownership
        if change.wanted.kind is change.found.kind is Kind.DIRECTORY and found and wanted:
            accesses = Access(found.owner, found.mode), Access(wanted.owner, wanted.mode)
            told = whose(path, *accesses, accounts) or whose(real(path), *accesses, accounts)
            if told:
                raise NotOwnError(f"{path}: {told}; name a directory of its own")


@dataclass(frozen=True)
class FoundPath:
    """The observed state of a path; ownership names that do not resolve are given as numbers."""

    kind: Kind
    ownership: Ownership | None = None
    content: str | None = None


@dataclass(frozen=True)
class PathChange:
    """What one path needs."""

    wanted: WantedPath
    found: FoundPath

    @property
    def content_differs(self) -> bool:
        return self.found.kind is not self.wanted.kind or self.found.content != self.wanted.content

    def as_diff(self) -> dict[str, Any]:
        """One entry of Ansible's `diff`; the content of secret files is masked."""
        before = self._shown(self.found.content, MASK, self.wanted.secret or is_private(self.found.ownership))
        after = self._shown(self.wanted.content, MASK_CHANGED if self.content_differs else MASK, self.wanted.secret)
        if self.content_differs and before is not None and before == after:
            after += VALUE_CHANGED
        return {
            "before_header": self.wanted.path,
            "after_header": self.wanted.path,
            "before": _describe(self.found.kind, self.found.ownership, before),
            "after": _describe(self.wanted.kind, self.wanted.ownership, after),
        }

    def _shown(self, content: str | None, mask: str, secret: bool) -> str | None:
        if content is None:
            return None
        if secret and not self.wanted.secret_keys:
            return mask
        return mask_text(content, self.wanted.secret_keys) if secret or is_private(self.wanted.ownership) else content


def _describe(kind: Kind, ownership: Ownership | None, content: str | None) -> str:
    if kind is Kind.NOTHING:
        return ""
    attributes = f"{ownership.owner}:{ownership.group} {ownership.mode:04o}" if ownership else "unknown"
    return f"# {kind.value} {attributes}\n{content or ''}"


def plan_paths(wanted: Collection[WantedPath], found: Mapping[str, FoundPath]) -> list[PathChange]:
    """The changes from the observed to the desired state, in the declared order."""
    return [
        PathChange(item, found[item.path])
        for item in wanted
        if found[item.path].kind is not item.kind
        or found[item.path].ownership != item.ownership
        or (item.kind is Kind.FILE and found[item.path].content != item.content)
    ]


@dataclass(frozen=True)
class WantedUnit:
    """A systemd unit and the state it should be in."""

    name: str
    started: bool = True
    enabled: bool | None = True
    restart_on: tuple[str, ...] = ()
    reload_on: tuple[str, ...] = ()
    restart: bool = True
    wait: bool = True
    timeout: float = 60.0


@dataclass(frozen=True)
class FoundUnit:
    """The state of a unit according to systemd; times are seconds since the epoch, 0 if it never ran."""

    load_state: str = "not-found"
    active_state: str = "inactive"
    unit_file_state: str = ""
    needs_daemon_reload: bool = False
    started_at: float = 0.0
    state_changed_at: float = 0.0

    @property
    def running(self) -> bool:
        return self.active_state in ("active", "reloading", "activating", "refreshing")


@dataclass(frozen=True)
class UnitPlan:
    """The systemctl verbs a unit needs, in order, and whether it runs with an outdated configuration."""

    name: str
    verbs: tuple[str, ...] = ()
    stale: bool = False


@dataclass(frozen=True)
class Changes:
    """Paths whose content changes in this run, and when each watched path was last modified (epoch seconds)."""

    changing: frozenset[str] = frozenset()
    modified: Mapping[str, float] = field(default_factory=dict)

    def newer_than(self, paths: Collection[str], moment: float) -> bool:
        return any(path in self.changing or self.modified.get(path, 0.0) > moment for path in paths)


def plan_unit(wanted: WantedUnit, found: FoundUnit, changes: Changes) -> UnitPlan:
    """The verbs for one unit: enablement first, then the one verb that brings it into the wanted state."""
    stale = found.running and wanted.started and changes.newer_than(wanted.restart_on, found.started_at)
    verbs = [*_enablement_verbs(wanted, found), *_state_verbs(wanted, found, changes, stale)]
    return UnitPlan(wanted.name, tuple(verbs), stale=stale and not wanted.restart)


def _enablement_verbs(wanted: WantedUnit, found: FoundUnit) -> list[str]:
    masked = found.load_state == "masked" or found.unit_file_state.startswith("masked")
    verbs = ["unmask"] if masked and (wanted.enabled or wanted.started) else []
    if wanted.enabled is None or found.unit_file_state in _STATIC_UNIT_FILE_STATES:
        return verbs
    if wanted.enabled != (found.unit_file_state == "enabled") and not (masked and not wanted.enabled):
        verbs.append("enable" if wanted.enabled else "disable")
    return verbs


def _state_verbs(wanted: WantedUnit, found: FoundUnit, changes: Changes, stale: bool) -> list[str]:
    if not wanted.started:
        return ["stop"] if found.running else []
    if not found.running:
        return ["start"]
    if stale and wanted.restart:
        return ["restart"]
    return ["reload"] if changes.newer_than(wanted.reload_on, read_at(found)) else []


def read_at(found: FoundUnit) -> float:
    """When a unit last read its files: at its start, or at its last reload."""
    return found.started_at if found.active_state == "activating" else found.state_changed_at


def needs_daemon_reload(changed_paths: Collection[str], found: Collection[FoundUnit]) -> bool:
    """Return whether systemd must reload its unit files."""
    return any(path.startswith(_SYSTEMD_DIRECTORY) for path in changed_paths) or any(
        unit.needs_daemon_reload for unit in found
    )


def parse_units(shown: str) -> dict[str, FoundUnit]:
    """Units by name, from `systemctl show --timestamp=us+utc --property=…` of several units."""
    blocks = (
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in shown.strip().split("\n\n")
    )
    return {block["Id"]: found_unit(block) for block in blocks if "Id" in block}


def found_unit(properties: Mapping[str, str]) -> FoundUnit:
    """The state of a unit by its properties, of UNIT_PROPERTIES."""
    return FoundUnit(
        load_state=properties.get("LoadState", "not-found"),
        active_state=properties.get("ActiveState", "inactive"),
        unit_file_state=properties.get("UnitFileState", ""),
        needs_daemon_reload=properties.get("NeedDaemonReload") == "yes",
        started_at=epoch(properties.get("InactiveExitTimestamp", "")),
        state_changed_at=epoch(properties.get("StateChangeTimestamp", "")),
    )


def epoch(text: str) -> float:
    """Seconds since the epoch of systemd's `Mon 2026-01-05 10:11:12.123456 UTC`; 0 for an empty or n/a time."""
    words = text.split()
    if len(words) < 3:
        return 0.0
    moment = datetime.strptime(f"{words[1]} {words[2]}", "%Y-%m-%d %H:%M:%S.%f")
    return moment.replace(tzinfo=UTC).timestamp()
