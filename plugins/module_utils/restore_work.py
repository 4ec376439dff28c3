# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a restore: the steps of module_utils/restore.py carried out on files and servers.

All paths lie beside the data directory, where the database's user can plant links: this runs as that user, never as
root.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import scratch_config
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import PgBackRest
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_target import Target
from ansible_collections.holdfast.ha.plugins.module_utils.places import mount_points
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_instance import (
    Instance,
    InstanceError,
    archive_settings,
    base_settings,
    last_transaction,
    missing_wal,
    private_files,
    recovery_settings,
    shell_words,
)
from ansible_collections.holdfast.ha.plugins.module_utils.restore import (
    Found,
    Marker,
    RestoreError,
    State,
    Step,
    parse_marker,
    plan,
    room_problem,
)

SYSTEM_CONFIG = "/etc/pgbackrest.conf"
IN_PLACE = "the former data is in place, playbooks/site.yml starts it again"
FETCHED = ("PG_VERSION", "backup.manifest")
"""What shows that pgBackRest has begun to fill a directory."""
KEPT = ("spool", "lock", "log")
"""Directories of pgBackRest's in the run directory."""
NOT_A_TARGET = frozenset({"stopped", "aside", "finished"})


@dataclass
class Restore:
    """One restore on this host; the paths are those of module_utils/restore.py."""

    client: PgBackRest
    stanza: str
    path: Path
    target: Mapping[str, Any]
    request: Mapping[str, Any]
    bin: Path
    timeout: int
    id: str | None = None
    anew: bool = False
    private: bool = False
    archive: bool = True
    replayed: str | None = None

    def beside(self, suffix: str) -> Path:
        """Return a path beside the data directory."""
        return self.path.with_name(f"{self.path.name}.{suffix}")

    @property
    def staged(self) -> Path:
        """Where the files from the repository lie."""
        return self.beside("restoring")

    @property
    def marker_file(self) -> Path:
        """The marker's file."""
        return self.beside("restore.json")

    @property
    def aside(self) -> Path | None:
        """Where this restore puts the former data directory; None as long as it has no id."""
        return self.beside(f"before-{self.id}") if self.id else None

    @property
    def run(self) -> Path:
        """What the private server and pgBackRest keep while they are at work."""
        return self.beside("restoring-run")

    @property
    def pgbackrest(self) -> PgBackRest:
        """The pgBackRest that fetches."""
        return replace(self.client, config=str(self.run / "pgbackrest.conf")) if self.private else self.client

    @property
    def consolation(self) -> str:
        """What remains true after a failure."""
        return IN_PLACE if _filled(self.path) else "nothing was placed"

    def found(self, state: State) -> Found:
        """Return the observed state of the host; a marker of another request does not count for what was set aside."""
        marker = None if self.anew else parse_marker(_read(self.marker_file))
        if marker and (state in NOT_A_TARGET or dict(marker.request) == dict(self.request)):
            self.id = self.id or marker.id
        return Found(
            marker=marker,
            data=_filled(self.path),
            staged=(self.staged / "PG_VERSION").exists(),
            aside=self.aside is not None and self.aside.exists(),
            running=state == "stopped" and self.instance(self.path).running(),
        )

    def instance(self, data: Path) -> Instance:
        """Return the private server on a data directory."""
        return Instance(data, self.run, self.bin)

    def mark(self, phase: str) -> None:
        """Record the restore's phase."""
        marker = parse_marker(_read(self.marker_file))
        wanted = (marker or Marker(str(self.id), self.request)).at(phase)
        write_marker(self.marker_file, wanted.dump())

    def prepared(self) -> Marker:
        """Return the marker of a restore that is prepared, for a prediction."""
        return Marker("predicted", self.request, "prepared")

    def begin(self) -> None:
        """Clear what a restore to another target has fetched, and write the marker."""
        self._room()
        self._clear()
        self.id = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        write_marker(self.marker_file, Marker(self.id, self.request).dump())

    def fetch(self) -> None:
        """Fetch the files; reuse what an interrupted fetch left."""
        self._ready_run()
        self.instance(self.staged).stop()
        resumable = any((self.staged / name).exists() for name in FETCHED)
        if self.staged.exists() and not resumable:
            shutil.rmtree(self.staged)
        self.staged.mkdir(mode=0o700, exist_ok=True)
        self.pgbackrest.demand(
            "restore",
            self._repository(),
            f"--pg1-path={self.staged}",
            f"--set={self.target['set']}",
            "--type=none",
            "--delta" if resumable else "--no-delta",
            *self._private_paths(),
            stanza=self.stanza,
            timeout=self.timeout,
        )
        (self.staged / "recovery.signal").touch(mode=0o600)
        self.mark("prepared" if self.target["type"] == "latest" else "fetched")

    def prove(self) -> None:
        """Recover to the target without a new timeline, archiving nothing."""
        instance = self._fresh_instance()
        instance.start(self._settings(instance, "shutdown", archive=False))
        try:
            self._guarded(instance, lambda: instance.await_target(self.timeout))
        except InstanceError as error:
            self.forget()
            wanted = " ".join(filter(None, (self.target["type"], self.target["value"])))
            why = f"no way to {wanted} from {self.target['set']}: {error}"
            raise RestoreError(f"{why} -- nothing was touched") from error
        self.replayed = last_transaction(_read(instance.log))
        self.mark("prepared")

    def stop(self) -> None:
        """Stop the PostgreSQL on the data directory."""
        self.instance(self.path).stop()

    def recover(self) -> None:
        """Recover to the target on a new timeline, and stop.

        The timeline is archived once the restored database serves: a timeline of a restore that failed would mislead
        every later recovery to the latest.
        """
        instance = self._fresh_instance()
        if not (self.staged / "recovery.signal").exists():
            self.fetch()  # a run that was killed has promoted it, at whatever the archive's end was then
        instance.start(self._settings(instance, "promote", archive=self.archive))
        try:
            self._guarded(instance, lambda: instance.await_ready(self.timeout))
        except InstanceError as error:
            raise RestoreError(f"{error} -- {self.consolation}; the option anew fetches the backup again") from error
        self.replayed = last_transaction(_read(instance.log))
        instance.stop()
        self._see_that_the_archive_was_replayed(instance)
        self.mark("recovered")

    def set_aside(self) -> None:
        """Rename the former data directory."""
        if self.instance(self.path).running():
            raise RestoreError(f"a PostgreSQL still runs on {self.path}; stop it first")
        self.path.rename(cast("Path", self.aside))

    def place(self) -> None:
        """Put the restored directory in the data directory's place."""
        if self.staged.exists():
            if _filled(self.path):
                raise RestoreError(f"{self.path} and {self.aside} both hold data; move one of them away and run again")
            if self.path.exists():
                self.path.rmdir()
            self.staged.rename(self.path)
        self._remove_run()
        self.mark("placed")

    def discard(self) -> None:
        """Delete the former data directory."""
        shutil.rmtree(cast("Path", self.aside))

    def forget(self) -> None:
        """Delete the marker and the restore's other files."""
        self._clear()
        self.marker_file.unlink(missing_ok=True)

    def see_the_parent(self) -> None:
        """Raise RestoreError when the user can't make or rename anything beside the data directory."""
        parent = self.path.parent
        if parent.exists() and not os.access(parent, os.W_OK | os.X_OK):
            user = self.client.user
            raise RestoreError(
                f"{parent} is not {user}'s to write to, so nothing can be put beside {self.path}, as Patroni does; "
                f"chown {user} {parent}"
            )

    def see_what_is_beside(self) -> None:
        """Raise RestoreError if a path that a restore would remove beside the data directory is not of a restore."""
        if parse_marker(_read(self.marker_file)) is not None:
            return
        for path, signs in ((self.staged, FETCHED), (self.run, KEPT)):
            if _filled(path) and not any((path / name).exists() for name in signs):
                held = ", ".join(sorted(entry.name for entry in path.iterdir())[:3])
                raise RestoreError(
                    f"{path} is where a restore works and removes what it finds, but no restore made it (it holds "
                    f"{held}); move it away -- nothing was touched"
                )

    def room(self) -> None:
        """Raise RestoreError when a second copy does not fit, or could not take the data directory's place."""
        self._see_what_can_not_move()
        if not self.staged.exists() and parse_marker(_read(self.marker_file)) is None:
            self._room()

    def _see_what_can_not_move(self) -> None:
        if os.path.realpath(self.path) in mount_points(_read(Path("/proc/self/mountinfo")) or ""):
            raise RestoreError(
                f"{self.path} is a mount point, and can't be renamed; mount the volume at {self.path.parent}, so "
                "that the data directory lies in it"
            )
        spaces = self.path / "pg_tblspc"
        if names := sorted(os.listdir(spaces)) if spaces.is_dir() else []:  # noqa: PTH208 (names)
            targets = ", ".join(os.path.realpath(spaces / name) for name in names)
            raise RestoreError(
                f"{self.path} has tablespaces, which lie outside of it and can't be kept aside: {targets}; "
                "restore such a cluster by hand with pgbackrest's --tablespace-map"
            )

    def _room(self) -> None:
        place = next(parent for parent in self.path.parents if parent.exists())
        problem = room_problem(shutil.disk_usage(place).free, int(self.target["size"]), str(place))
        if problem:
            raise RestoreError(problem)

    def _clear(self) -> None:
        if self.staged.exists():
            self.instance(self.staged).stop()
            shutil.rmtree(self.staged)
        self._remove_run()

    def _remove_run(self) -> None:
        """Remove the run directory; pgBackRest's workers may go on to write for a moment after its end."""
        (self.run / "pgbackrest.conf").unlink(missing_ok=True)
        shutil.rmtree(self.run, ignore_errors=True)

    def _ready_run(self) -> None:
        for path in (self.run, *(self.run / name for name in KEPT)):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, text in private_files().items() | self._private_config().items():
            file = self.run / name
            file.unlink(missing_ok=True)
            file.touch(mode=0o600)
            file.write_text(text, encoding="utf-8")

    def _private_config(self) -> dict[str, str]:
        if not self.private:
            return {}
        source = Path(self.client.config or SYSTEM_CONFIG)
        try:
            text = source.read_text(encoding="utf-8")
        except OSError as error:
            raise RestoreError(f"{source} can't be read ({error.strerror}); run playbooks/site.yml first") from error
        return {"pgbackrest.conf": scratch_config(text, self.stanza, str(self.staged), str(self.run))}

    def _fresh_instance(self) -> Instance:
        """Return the server on the fetched files, the one of an interrupted run ended."""
        self._ready_run()
        instance = self.instance(self.staged)
        instance.stop()
        return instance

    def _guarded(self, instance: Instance, wait: Callable[[], None]) -> None:
        """Wait; whatever goes wrong, leave no server behind."""
        try:
            wait()
        except BaseException:
            instance.stop()
            raise

    def _settings(self, instance: Instance, action: str, *, archive: bool) -> dict[str, str]:
        words = ["pgbackrest", f"--stanza={self.stanza}", f"--pg1-path={self.staged}"]
        if self.pgbackrest.config:
            words.append(f"--config={self.pgbackrest.config}")
        get = shell_words(*words, self._repository(), *self._private_paths(), "archive-get") + ' %f "%p"'
        target = Target(
            self.target["type"], self.target["value"], bool(self.target["inclusive"]), str(self.target["timeline"])
        )
        return {
            **base_settings(instance.control(), str(instance.run)),
            **recovery_settings(target, action, get),
            **archive_settings(later=archive),
        }

    def _repository(self) -> str:
        """WAL comes from where the backup does, as the target was judged by it."""
        return f"--repo={self.target['repository']}"

    def _private_paths(self) -> tuple[str, ...]:
        """A running database's archiving keeps the usual ones; a private configuration names its own."""
        if self.private:
            return ()
        return (f"--lock-path={self.run}/lock", f"--spool-path={self.run}/spool")

    def _see_that_the_archive_was_replayed(self, instance: Instance) -> None:
        if self.target["type"] != "latest":
            return
        timeline = int(instance.control().get("Latest checkpoint's TimeLineID", "0"))
        history = _read(self.staged / "pg_wal" / f"{timeline:08X}.history")
        problem = missing_wal(history, self.target.get("archive_end"))
        if problem:
            self.forget()
            raise RestoreError(
                f"{problem} -- {self.consolation}. To take what there is nevertheless, restore to the type lsn"
            )


STEPS: dict[Step, Callable[[Restore], None]] = {
    "begin": Restore.begin,
    "fetch": Restore.fetch,
    "prove": Restore.prove,
    "stop": Restore.stop,
    "recover": Restore.recover,
    "set_aside": Restore.set_aside,
    "place": Restore.place,
    "discard": Restore.discard,
    "forget": Restore.forget,
}


def converge(restore: Restore, state: State, keep: bool, dry_run: bool) -> dict[str, Any]:
    """Plan, carry the plan out unless *dry_run*, and return the module's result."""
    found = restore.found(state)
    if state == "room":
        restore.room()
    try:
        steps = plan(state, found, restore.request, keep)
    except RestoreError:
        if not dry_run:
            raise
        steps = plan(state, replace(found, marker=restore.prepared()), restore.request)
    if state == "room" or set(steps) - {"stop"}:
        restore.see_the_parent()
        restore.see_what_is_beside()
    seconds: dict[str, float] = {}
    for step in () if dry_run else steps:
        started = time.monotonic()
        STEPS[step](restore)
        seconds[step] = round(time.monotonic() - started, 1)
    marker = parse_marker(_read(restore.marker_file))
    aside = restore.aside
    return {
        "changed": bool(steps),
        "steps": list(steps),
        "seconds": seconds,
        "id": restore.id,
        "phase": marker.phase if marker else None,
        "aside": str(aside) if aside and aside.exists() else None,
        "last_transaction": restore.replayed,
        "diff": {"before": {"steps": list(steps)}, "after": {"steps": []}},
    }


def _filled(path: Path) -> bool:
    return path.is_dir() and any(path.iterdir())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def write_marker(path: Path, text: str) -> None:
    """Replace the marker so that a crash leaves the old or the new one."""
    staged = path.with_name(path.name + ".new")
    staged.unlink(missing_ok=True)
    with staged.open("x", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    staged.replace(path)
