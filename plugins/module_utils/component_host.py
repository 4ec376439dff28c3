# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads and changes the host's files and units for the module component."""

from __future__ import annotations

import glob
import grp
import os
import pwd
import re
import shlex
import stat
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import astuple, dataclass
from pathlib import Path, PurePath
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import managed_files, safe_path
from ansible_collections.holdfast.ha.plugins.module_utils.component import (
    MARK,
    UNIT_PROPERTIES,
    Changes,
    FoundDirectory,
    FoundPath,
    FoundUnit,
    Kind,
    OwnDirectory,
    Ownership,
    PathChange,
    Purge,
    UnitPlan,
    WantedPath,
    WantedUnit,
    absence,
    needs_daemon_reload,
    parse_units,
    plan_own,
    plan_paths,
    plan_purge,
    plan_unit,
    purged_units,
    refuse_others,
    refuse_system,
    unit_trial,
    unread_values,
)
from ansible_collections.holdfast.ha.plugins.module_utils.masking import mask_text
from ansible_collections.holdfast.ha.plugins.module_utils.places import Account
from ansible_collections.holdfast.ha.plugins.module_utils.unlogged import UnloggedModule

_POLL_SECONDS = 0.1


def purges(params: dict[str, Any]) -> list[Purge]:
    """The paths that match the parameters' patterns; pathlib would leave out dangling links."""
    return [
        Purge(tuple(glob.glob(item["pattern"])), frozenset([*item["keep"], *_kept(item["keep_of"])]))  # noqa: PTH207
        for item in params["purge"]
    ]


def _kept(users: dict[str, str]) -> Iterator[str]:
    """The paths that do not belong to another user; a user that does not exist yet owns nothing."""
    for path, user in users.items():
        status = safe_path.look(path)
        with suppress(KeyError):
            if status is None or status.st_uid != pwd.getpwnam(user).pw_uid:
                continue
        yield path


def wanted_paths(params: dict[str, Any]) -> list[WantedPath]:
    """The desired paths of the parameters: directories, files and absences, in the order in which they are applied."""
    return [
        *(WantedPath(item["path"], Kind.DIRECTORY, _ownership(item)) for item in params["directories"]),
        *(_wanted_file(item, params["secrets"]) for item in params["files"]),
        *(absence(path) for path in params["absent"]),
    ]


def own_paths(params: dict[str, Any]) -> list[WantedPath]:
    """The desired paths of the component's own directories; raises NotOwnError, UnsafePathError."""
    wanted = [
        OwnDirectory(
            str(PurePath(item["path"])),
            _ownership(item),
            tuple(item["contents"]),
            tuple(item["reserved"]),
            item["state"] == "present",
        )
        for item in params["own_directories"]
    ]
    return [path for item in wanted for path in plan_own(item, find_own(item))]


def accounts() -> list[Account]:
    """Return the users of the host."""
    return [Account(entry.pw_name, entry.pw_uid, entry.pw_dir) for entry in pwd.getpwall()]


def find_own(wanted: OwnDirectory) -> FoundDirectory:
    """The contents of a directory, and whether it has its mark, which only root can have created."""
    homes = tuple(entry.pw_dir for entry in pwd.getpwall())
    real = os.path.realpath(wanted.path)
    try:
        with safe_path.directory(wanted.path) as place:
            status, content = place.status(MARK), safe_path.read_in(place, MARK)
            marked = (
                status is not None and status.st_uid == os.geteuid() and content == (wanted.mark.content or "").encode()
            )
            return FoundDirectory(tuple(place.names()), marked, real, homes)
    except (FileNotFoundError, NotADirectoryError):
        return FoundDirectory(real=real, homes=homes)


def _wanted_file(item: dict[str, Any], secrets: Mapping[str, str]) -> WantedPath:
    content = secrets[item["path"]] if item["secret"] else item["content"]
    return WantedPath(
        item["path"],
        Kind.FILE,
        _ownership(item),
        content,
        item["secret"],
        item["validate"],
        tuple(item["secret_keys"]),
        item["validate_shown"],
    )


def shown_in_part(params: dict[str, Any]) -> set[str]:
    """Contents whose secrets the diff masks; Ansible would mask the whole content of those without any."""
    return {
        params["secrets"][item["path"]]
        for item in params["files"]
        if item["secret"] and item["secret_keys"] and item["path"] in params["secrets"]
    }


def without_content(item: dict[str, Any], secrets: Mapping[str, str]) -> bool:
    """Whether a file has no declared content."""
    return item["path"] not in secrets if item["secret"] else item["content"] is None


def _ownership(item: dict[str, Any]) -> Ownership:
    return Ownership(item["owner"], item["group"], int(item["mode"], 8))


def wanted_units(params: dict[str, Any]) -> list[WantedUnit]:
    """The desired units of the parameters."""
    return [
        WantedUnit(
            name=item["name"],
            started=item["state"] == "started",
            enabled=item["enabled"],
            restart_on=tuple(item["restart_on"]),
            reload_on=tuple(item["reload_on"]),
            restart=item["restart"],
            wait=item["wait"],
            timeout=item["timeout"],
        )
        for item in params["units"]
    ]


def find_paths(wanted: Collection[WantedPath]) -> dict[str, FoundPath]:
    """The observed state of the paths; raises UnsafePathError."""
    return {
        item.path: find_directory(item.path) or find_path(item.path)
        if item.kind is Kind.DIRECTORY
        else find_path(item.path)
        for item in wanted
    }


def find_directory(path: str) -> FoundPath | None:
    """A directory, including one behind root's link; None without one."""
    try:
        with safe_path.directory(path) as place:
            return FoundPath(Kind.DIRECTORY, _ownership_of(os.fstat(place.descriptor)))
    except (FileNotFoundError, NotADirectoryError):
        return None


def find_path(path: str) -> FoundPath:
    """The observed state of a path; a file with a second name is not shown if another user could have created it."""
    try:
        with safe_path.parent(path) as (place, name):
            status = place.status(name)
            if status is None:
                return FoundPath(Kind.NOTHING)
            ownership = _ownership_of(status)
            if stat.S_ISDIR(status.st_mode):
                return FoundPath(Kind.DIRECTORY, ownership)
            content = safe_path.read_in(place, name)
    except (FileNotFoundError, NotADirectoryError):
        return FoundPath(Kind.NOTHING)
    if content is None:
        return FoundPath(Kind.OTHER, ownership)
    return FoundPath(Kind.FILE, ownership, content.decode(encoding="utf-8", errors="surrogateescape"))


def _ownership_of(status: os.stat_result) -> Ownership:
    return Ownership(_user_name(status.st_uid), _group_name(status.st_gid), stat.S_IMODE(status.st_mode))


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def said(wanted: WantedPath, staged: str, output: str) -> str:
    """The part of a validator's output that may be shown: for a secret file only the line numbers that it names."""
    if not wanted.secret or wanted.validate_shown:
        return output
    if wanted.secret_keys:
        return mask_text(output, wanted.secret_keys)
    lines = ", ".join(dict.fromkeys(re.findall(rf"{re.escape(staged)}:(\d+)", output)))
    return f"its output is not shown, for the file holds secrets{f'; it names line {lines}' if lines else ''}"


@dataclass(frozen=True)
class Stage:
    """A file's new content, staged in the same directory, which is kept open."""

    change: PathChange
    place: safe_path.Place
    name: str
    staged: str

    @property
    def path(self) -> str:
        """Path of the staged content."""
        return f"{self.place.path}/{self.staged}"


class Host:
    """The host's files and units, changed through this class only."""

    def __init__(self, module: UnloggedModule) -> None:
        self._module = module

    def units(self, names: list[str]) -> dict[str, FoundUnit]:
        """The state of the units according to systemd; unknown units are reported as not found."""
        if not names:
            return {}
        properties = ",".join(UNIT_PROPERTIES)
        _rc, shown, _err = self._module.run_command(
            ["systemctl", "show", "--timestamp=us+utc", f"--property={properties}", *names]
        )
        known = parse_units(shown)
        return {name: known.get(name, FoundUnit()) for name in names}

    def place_paths(self, plan: list[PathChange]) -> None:
        """Carry out a plan's directories, then its files, all staged and validated first."""
        for change in plan:
            if change.wanted.kind is Kind.DIRECTORY:
                self._make_directory(change)
        with ExitStack() as opened:
            staged = [self._stage(change, opened) for change in plan if change.wanted.kind is Kind.FILE]
            paths = {stage.change.wanted.path: stage.path for stage in staged}
            for stage in staged:
                self._validate(stage, paths)
                self._verify_unit(stage.change.wanted)
            for stage in staged:
                self._put(stage)

    def remove_paths(self, plan: list[PathChange]) -> None:
        """Carry out a plan's absences."""
        for change in plan:
            if change.wanted.kind is Kind.NOTHING:
                safe_path.remove(change.wanted.path)  # a unit's link goes when the unit is disabled

    def remember(self, wanted: Collection[WantedPath]) -> None:
        """Record what was written, so that drift shows; the record is no configuration, hence never a change."""
        known = managed_files.load()
        new = managed_files.updated(known, wanted)
        if new != known:
            managed_files.save(new)

    def _make_directory(self, change: PathChange) -> None:
        path = change.wanted.path
        if change.found.kind in (Kind.FILE, Kind.OTHER):
            self._module.fail_json(msg=f"{path} is no directory, but a directory is wanted; move it away")
        with safe_path.directory(path, make=True) as place:
            safe_path.grant(place, ".", self._access(change.wanted))

    def _stage(self, change: PathChange, opened: ExitStack) -> Stage:
        place, name = opened.enter_context(safe_path.parent(change.wanted.path, make=True))
        content = (change.wanted.content or "").encode(encoding="utf-8", errors="surrogateescape")
        staged = safe_path.stage(place, name, content, self._access(change.wanted))
        opened.callback(place.unlink, staged)
        return Stage(change, place, name, staged)

    def _validate(self, stage: Stage, staged: Mapping[str, str]) -> None:
        wanted = stage.change.wanted
        if not wanted.validate:
            return
        words = shlex.split(wanted.validate.replace("%s", shlex.quote(stage.path)))
        command = [staged.get(word, word) for word in words]
        rc, out, err = self._module.run_command(command)
        if rc:
            shown = said(wanted, stage.path, (err or out).strip())
            self._module.fail_json(
                msg=f"{wanted.path} was not replaced: {Path(command[0]).name} exited with {rc}: {shown}"
            )

    def _verify_unit(self, wanted: WantedPath) -> None:
        """Fail for values of a unit file that systemd can't parse: it would use its defaults instead."""
        trial = unit_trial(wanted.path, wanted.content or "")
        if not trial or not self._module.get_bin_path("systemd-analyze"):
            return
        with tempfile.TemporaryDirectory(prefix="holdfast-units-") as scratch:
            for name, content in trial.items():
                file = Path(scratch, name)
                file.parent.mkdir(exist_ok=True)
                file.write_text(content, encoding="utf-8", errors="surrogateescape")
            command = ["systemd-analyze", "verify", "--man=no", f"{scratch}/{next(iter(trial))}"]
            _rc, out, err = self._module.run_command(command, environ_update={"LC_ALL": "C.UTF-8"})
        unread = unread_values(out + err, f"{scratch}/{next(reversed(trial))}", wanted.content or "")
        if unread:
            told = "a value, which is not shown" if wanted.secret else "; ".join(unread)
            self._module.fail_json(
                msg=f"{wanted.path} was not replaced: systemd does not understand {told}; correct it"
            )

    def _put(self, stage: Stage) -> None:
        change = stage.change
        if change.found.kind is Kind.DIRECTORY:
            self._module.fail_json(msg=f"{change.wanted.path} is a directory, but a file is wanted; move it away")
        if change.content_differs:
            stage.place.rename(stage.staged, stage.name)
        else:
            safe_path.grant(stage.place, stage.name, self._access(change.wanted))

    def _access(self, wanted: WantedPath) -> safe_path.Access:
        owner, group, mode = astuple(wanted.ownership or Ownership("root", "root", 0o600))
        try:
            return safe_path.Access(pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid, mode)
        except KeyError as error:
            self._module.fail_json(msg=f"{wanted.path} cannot be given to {owner}:{group}: {error.args[0]}")
            raise

    def daemon_reload(self) -> None:
        """Have systemd reload its unit files."""
        self._systemctl("daemon-reload")

    def forget(self, names: list[str]) -> None:
        """Reset the failed state of units whose files are gone."""
        if names:
            self._module.run_command(["systemctl", "reset-failed", *names])

    def apply_units(self, wanted: list[WantedUnit], plans: Mapping[str, UnitPlan]) -> None:
        """Carry out the plans of the units that have one, in the units' order."""
        for unit in wanted:
            if unit.name in plans:
                self.apply_unit(unit, plans[unit.name])

    def apply_unit(self, wanted: WantedUnit, plan: UnitPlan) -> None:
        """Run the verbs of a unit and wait until it is active."""
        for verb in plan.verbs:
            if verb == "reload":
                self._wait_until_active(wanted)
                self._systemctl("reload-or-restart", wanted.name)
            elif verb in ("start", "restart"):
                self._module.run_command(["systemctl", "reset-failed", wanted.name])
                self._systemctl(verb, "--no-block", wanted.name)
            else:
                self._systemctl(verb, wanted.name)
        if wanted.started and wanted.wait:
            self._wait_until_active(wanted)

    def _systemctl(self, *arguments: str) -> None:
        rc, _out, err = self._module.run_command(["systemctl", *arguments])
        if rc:
            self._module.fail_json(msg=f"systemctl {' '.join(arguments)} exited with {rc}: {err.strip()}")

    def _wait_until_active(self, wanted: WantedUnit) -> None:
        deadline = time.monotonic() + wanted.timeout
        while True:
            state = self.units([wanted.name])[wanted.name].active_state
            if state in ("active", "reloading", "refreshing"):
                return
            if state == "failed" or time.monotonic() > deadline:
                self._fail_unit(wanted, state)
            time.sleep(_POLL_SECONDS)

    def _fail_unit(self, wanted: WantedUnit, state: str) -> None:
        _rc, journal, _err = self._module.run_command(
            ["journalctl", "--no-pager", "--lines=20", "--output=cat", f"--unit={wanted.name}"]
        )
        self._module.fail_json(
            msg=f"{wanted.name} is {state}, not active, after {wanted.timeout:.0f} s; its last words: {journal.strip()}"
        )


def converge(module: UnloggedModule, host: Host) -> dict[str, Any]:
    """Bring the host into the desired state, or in check mode only return the changes."""
    declared = [*own_paths(module.params), *wanted_paths(module.params)]
    purged = plan_purge(purges(module.params), declared)
    wanted = [*declared, *purged]
    path_plan = plan_paths(wanted, find_paths(wanted))
    refuse_system(path_plan)
    refuse_others(path_plan, accounts(), os.path.realpath)
    changed_paths = [change.wanted.path for change in path_plan]
    units = wanted_units(module.params)
    leaving = purged_units(purged, [unit.name for unit in units])
    units = [*units, *leaving]
    found = host.units([unit.name for unit in units])
    ends = {unit.name: plan_unit(unit, found[unit.name], Changes()) for unit in units if not unit.started}
    if not module.check_mode:
        host.place_paths(path_plan)
        # systemd can't stop a timer whose unit file is gone.
        host.apply_units(units, ends)
        host.remove_paths(path_plan)
        host.remember(wanted)

    if needs_daemon_reload(changed_paths, found.values()) and not module.check_mode:
        host.daemon_reload()
        host.forget([unit.name for unit in leaving])
        found = host.units([unit.name for unit in units])

    changes = _changes(path_plan, units)
    plans = {unit.name: plan_unit(unit, found[unit.name], changes) for unit in units if unit.started}
    if not module.check_mode:
        host.apply_units(units, plans)
    return _result(path_plan, changed_paths, plans | ends)


def _changes(path_plan: list[PathChange], units: list[WantedUnit]) -> Changes:
    watched = {path for unit in units for path in (*unit.restart_on, *unit.reload_on)}
    modified = {path: Path(path).stat().st_mtime for path in watched if Path(path).exists()}
    return Changes(frozenset(change.wanted.path for change in path_plan if change.content_differs), modified)


def _result(path_plan: list[PathChange], changed_paths: list[str], plans: dict[str, UnitPlan]) -> dict[str, Any]:
    actions = {name: list(plan.verbs) for name, plan in plans.items() if plan.verbs}
    diff = [change.as_diff() for change in path_plan]
    if actions:
        diff.append({"prepared": "".join(f"{name}: {', '.join(verbs)}\n" for name, verbs in actions.items())})
    return {
        "changed": bool(path_plan or actions),
        "diff": diff,
        "changed_paths": changed_paths,
        "unit_actions": actions,
        "stale": [name for name, plan in plans.items() if plan.stale],
    }
