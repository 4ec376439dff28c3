# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Decides whether a clone may be created or removed as declared. Nothing here does I/O.

A clone is identified by its port: its record names its directory, and its path is unique to the port.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.places import in_use
from ansible_collections.holdfast.ha.plugins.module_utils.restore import Marker

PORTS = range(1024, 65536)
DIRECTORY = re.compile(r"(/[A-Za-z0-9._+-]+)+")  # what needs no quoting in a unit
PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
LONGEST = 64  # a socket's path, which lies below, has at most 107 characters
OWN = re.compile(r"data(\.(restoring|restoring-run|restore\.json(\.new)?|before-[A-Za-z0-9]+))?")
"""What lies in a clone's directory: see module_utils/restore.py."""


@dataclass(frozen=True)
class Record:
    """What a clone's record says: its directory, and the stanza it was restored from."""

    directory: str
    stanza: str


@dataclass(frozen=True)
class Wanted:
    """The desired clone; ``request`` is what :func:`restore.request_of` returns, None for its removal.

    ``reserved`` are paths of others, ``parameters`` those of PostgreSQL that the user sets, ``fixed`` what may not be.
    """

    directory: str
    port: int
    stanza: str
    request: Mapping[str, Any] | None
    anew: bool = False
    listens: bool = False
    clients: tuple[str, ...] = ()
    cluster_port: int | None = None
    reserved: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What is on the host: the record of the port's clone, and the marker of the restore in the directory.

    ``filled`` says whether the directory holds anything, ``data`` whether the data directory in it does.
    ``real`` is the directory without symbolic links, ``names`` what lies in it, ``homes`` those of the host's users.
    """

    record: Record | None = None
    marker: Marker | None = None
    filled: bool = False
    data: bool = False
    real: str | None = None
    names: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()


def parse_record(text: str) -> Record | None:
    """Return the record of its file's text, None for one that can't be read."""
    try:
        document = json.loads(text)
        return Record(str(document["directory"]), str(document["stanza"]))
    except (ValueError, KeyError, TypeError):
        return None


def refusals(wanted: Wanted, found: Found) -> list[str]:
    """Return every reason to refuse, each with the variable, its value and the fix; empty without any."""
    if wanted.request is None:
        return list(_directory(wanted, found)) or list(_other(wanted, found))
    wrong = [*_directory(wanted, found), *_settings(wanted)]
    return wrong or [*_other(wanted, found), *_existing(wanted, found)]


def interrupted(found: Found) -> bool:
    """Return whether a run that created the clone was interrupted before placing it; its server may still run."""
    return found.marker is not None and not found.marker.reached("placed")


def lost(found: Found) -> bool:
    """Return whether an existing clone lost its data, so that it must be created again."""
    return found.marker is not None and found.marker.reached("placed") and not found.data


def _directory(wanted: Wanted, found: Found) -> Iterator[str]:
    named = f"clone_directory = {wanted.directory}"
    if not DIRECTORY.fullmatch(wanted.directory) or {".", ".."} & set(wanted.directory.split("/")):
        yield f"{named}: is no absolute path of letters, digits and ._+-; name one, such as /srv/clone"
        return
    if len(wanted.directory) > LONGEST:
        yield f"{named}: is longer than {LONGEST} characters, too long for a socket below it; name a shorter one"
    paths = {wanted.directory, found.real or wanted.directory}
    taken = next(filter(None, (in_use(path, wanted.reserved, found.homes) for path in sorted(paths))), None)
    if taken:
        yield f"{named}: overlaps with {taken}, which is in use; name a directory of its own, such as /srv/clone"


def _settings(wanted: Wanted) -> Iterator[str]:
    if wanted.port not in PORTS:
        yield f"clone_port = {wanted.port}: is not within {PORTS[0]} to {PORTS[-1]}; name one that is, such as 5433"
    if wanted.port == wanted.cluster_port:
        yield f"clone_port = {wanted.port}: is the cluster's own on this host; name another one, such as 5433"
    if wanted.listens and not wanted.clients:
        yield "clone_clients = []: no client could log in on clone_listen_addresses; set networks like 192.0.2.0/24"
    if wanted.clients and not wanted.listens:
        yield "clone_listen_addresses = '': without it clone_clients can't connect; set it, or leave clone_clients out"
    for network in wanted.clients:
        if not _is_network(network):
            yield f"clone_clients has {network!r}: is no network; write it like 192.0.2.0/24"
    for name in wanted.parameters:
        if not PARAMETER.fullmatch(name):
            yield f"clone_parameters has {name!r}: is no parameter of PostgreSQL; correct its name"
        if name.lower() in wanted.fixed:
            yield f"clone_parameters has {name}: keeps the clone apart from its source, so it is fixed; leave it out"


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return "/" in text


def _other(wanted: Wanted, found: Found) -> Iterator[str]:
    """Refuse directories and ports that belong to something else."""
    record = found.record
    if record is not None and record.directory != wanted.directory:
        yield (
            f"clone_port = {wanted.port}: is that of the clone in {record.directory}; name another port, or "
            f"-e clone_directory={record.directory}"
        )
    if record is None and found.filled:
        yield (
            f"clone_directory = {wanted.directory}: is not empty, and no clone with clone_port = {wanted.port} has it; "
            "name the port that its clone has, or another directory"
        )
    strange = sorted(name for name in found.names if not OWN.fullmatch(name))
    deletes = wanted.request is None or wanted.anew or lost(found)
    if deletes and record is not None and record.directory == wanted.directory and strange:
        named = f"clone_directory = {wanted.directory}"
        yield f"{named}: holds {', '.join(strange[:5])}, which no clone has made; move it away"


def _existing(wanted: Wanted, found: Found) -> Iterator[str]:
    """Refuse an existing clone of another source or target."""
    record, marker = found.record, found.marker
    if wanted.anew or record is None or record.directory != wanted.directory:
        return
    made = marker is not None and marker.reached("placed")
    same = record.stanza == wanted.stanza and (marker is None or dict(marker.request) == wanted.request)
    if same or (record.stanza == wanted.stanza and not made):
        return
    what = f"{marker.request['type']} {marker.request['value'] or ''}".strip() if marker else "nothing yet"
    yield (
        f"clone_directory = {wanted.directory}: holds a clone of {record.stanza} ({what}) already; name another "
        f"directory and port, or replace it: -e clone_anew=true -e clone_confirm={wanted.directory}"
    )
