# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Marks of hosts in maintenance: one file per host, on every host of its cluster.

On the marked host itself the file also keeps its services from starting, see DROP_IN.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import safe_path

DIRECTORY = "/etc/holdfast/maintenance"
DROP_IN = "/etc/systemd/system/{unit}.d/holdfast-maintenance.conf"
CONDITION = "# Laid down by maintenance.yml, which also removes it.\n[Unit]\nConditionPathExists=!{path}\n"


@dataclass(frozen=True)
class Mark:
    """A host in maintenance: since when, in words, why, and who began it."""

    host: str
    since: str = ""
    reason: str = ""
    by: str = ""

    @property
    def path(self) -> str:
        """Where it lies."""
        return f"{DIRECTORY}/{self.host}"

    @property
    def content(self) -> str:
        """The file's content."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"

    def drop_in(self, unit: str) -> dict[str, str]:
        """Return the file, {path, content}, that keeps a unit of the host from starting while the mark lies there."""
        return {"path": DROP_IN.format(unit=unit), "content": CONDITION.format(path=self.path)}


def parse(host: str, content: bytes | None) -> Mark:
    """Return the mark in a file named after its host. A damaged one counts: it keeps services from starting, too."""
    try:
        data: Any = json.loads(content or b"")
        return Mark(host, *(" ".join(str(data[name]).split()) for name in ("since", "reason", "by")))
    except (ValueError, KeyError, TypeError):
        return Mark(host)


def content_of(place: safe_path.Place, name: str) -> bytes | None:
    """Return a file's content, None for what is no file or can't be read."""
    try:
        return safe_path.read_in(place, name)
    except OSError:
        return None


def read(path: str = DIRECTORY) -> list[Mark]:
    """Return the marks on this host, sorted by host. Raises OSError, safe_path.UnsafePathError."""
    try:
        with safe_path.directory(path) as place:
            names = sorted(name for name in place.names() if not name.startswith("."))
            return [parse(name, content_of(place, name)) for name in names]
    except FileNotFoundError:
        return []
