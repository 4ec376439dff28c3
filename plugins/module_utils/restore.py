# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a restore in place, and where an interrupted one continues. Nothing here does I/O.

A data directory DATA has beside it, while it is restored::

    DATA.restore.json   the marker: which restore this is and how far it has come
    DATA.restoring      the files from the repository, until they take DATA's place
    DATA.before-ID      the former data directory
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

State = Literal["room", "prepared", "stopped", "recovered", "aside", "placed", "finished"]
Step = Literal["begin", "fetch", "prove", "stop", "recover", "set_aside", "place", "discard", "forget"]
STATES: tuple[State, ...] = ("room", "prepared", "stopped", "recovered", "aside", "placed", "finished")
PHASES = ("begun", "fetched", "prepared", "recovered", "placed")
ID = re.compile(r"[A-Za-z0-9]+")  # the marker is the database user's, and the id becomes part of a path
SLACK_BYTES = 2**30  # for the WAL that recovery fetches


class RestoreError(Exception):
    """The restore must not, or can't, continue; the message is for the user."""


@dataclass(frozen=True)
class Marker:
    """The restore in progress (``id``, and ``request`` as the user made it) and the last phase that it reached."""

    id: str
    request: Mapping[str, Any]
    phase: str = "begun"

    def reached(self, phase: str) -> bool:
        """Whether the phase lies behind."""
        return PHASES.index(self.phase) >= PHASES.index(phase)

    def at(self, phase: str) -> Marker:
        """Return the marker in a later phase."""
        return replace(self, phase=phase)

    def dump(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self), sort_keys=True)


@dataclass(frozen=True)
class Found:
    """What lies on the host: the marker, a non-empty data directory, the fetched files, the directory set aside."""

    marker: Marker | None = None
    data: bool = False
    staged: bool = False
    aside: bool = False
    running: bool = False


def parse_marker(text: str) -> Marker | None:
    """Return the marker of a file's text, None for one that can't be read: the restore then starts over."""
    try:
        document = json.loads(text)
        marker = Marker(str(document["id"]), dict(document["request"]), document["phase"])
    except (ValueError, KeyError, TypeError):
        return None
    return marker if marker.phase in PHASES and ID.fullmatch(marker.id) else None


def request_of(
    target: Mapping[str, Any], wanted_set: str | None, wanted_repository: int | None = None
) -> dict[str, Any]:
    """Return the user's request: with the backup only if the user chose it, since a newer one may appear meanwhile."""
    names = ("type", "value", "inclusive", "timeline")
    return {name: target[name] for name in names} | {"set": wanted_set, "repository": wanted_repository}


def plan(state: State, found: Found, request: Mapping[str, Any], keep: bool = True) -> tuple[Step, ...]:
    """Return the steps from what is found to *state*; raise RestoreError when an earlier state was left out."""
    independent: dict[State, tuple[Step | None, ...]] = {
        "room": (),
        "stopped": ("stop" if found.running else None,),
        "aside": ("set_aside" if found.data and not found.aside else None,),
        "finished": ("discard" if found.aside and not keep else None, "forget" if found.marker else None),
    }
    if state in independent:
        return tuple(step for step in independent[state] if step)
    return _plan_restored(state, found, request)


def _plan_restored(state: State, found: Found, request: Mapping[str, Any]) -> tuple[Step, ...]:
    """Return the steps to a state that depends on what was asked for."""
    current = found.marker if found.marker and dict(found.marker.request) == dict(request) else None
    if state == "prepared":
        return _plan_preparation(current, found, provable=request["type"] != "latest")
    if current is None or not current.reached("prepared"):
        raise RestoreError("nothing is prepared here for this target; the state prepared comes first")
    if current.reached("placed"):
        return ()
    recover: tuple[Step, ...] = () if current.reached("recovered") else ("recover",)
    if state == "recovered":
        return recover
    return (*recover, *(("set_aside",) if found.data and not found.aside else ()), "place")


def room_problem(free: int, needed: int, path: str) -> str | None:
    """Return why the bytes *needed* don't fit beside the former data, or None."""
    if free >= needed + SLACK_BYTES:
        return None
    return (
        f"{path} has {free / 2**30:.1f} GiB free, {(needed + SLACK_BYTES) / 2**30:.1f} GiB are needed: the former data "
        "stays beside the restored; free some, or enlarge the file system"
    )


def _plan_preparation(current: Marker | None, found: Found, provable: bool) -> tuple[Step, ...]:
    prove: tuple[Step, ...] = ("prove",) if provable else ()
    if current is None:
        return ("begin", "fetch", *prove)
    if current.reached("placed"):
        return ()
    if current.reached("recovered"):
        # Without files beside the data they were placed, and the run ended before it could write that down. With both,
        # the former database may have served since.
        return ("fetch", *prove) if found.staged and found.data else ()
    if current.reached("prepared") and found.staged:
        return ()
    if current.reached("fetched") and found.staged:
        return prove
    return ("fetch", *prove)
