# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's record of the files that component wrote, so that a change by others shows between two runs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping

from ansible_collections.holdfast.ha.plugins.module_utils import safe_path
from ansible_collections.holdfast.ha.plugins.module_utils.component import Kind, WantedPath

PATH = "/var/lib/holdfast/files.json"
"""Only root may read it: from the hash of a short secret one could guess the secret."""
VOLATILE = ("/run/", "/tmp/")  # noqa: S108 - these go at a reboot


def digest(content: bytes) -> str:
    """Return the hash under which a file's content is recorded."""
    return hashlib.sha256(content).hexdigest()


def updated(known: Mapping[str, str], wanted: Iterable[WantedPath]) -> dict[str, str]:
    """Return the record {path: digest} after these paths have come into their desired state."""
    found = dict(known)
    for item in wanted:
        if item.kind is Kind.NOTHING:
            found = {path: value for path, value in found.items() if not safe_path.is_within(path, item.path)}
        elif item.kind is Kind.FILE and not item.path.startswith(VOLATILE):
            found[item.path] = digest((item.content or "").encode(errors="surrogateescape"))
    return dict(sorted(found.items()))


def differing(known: Mapping[str, str], read: Callable[[str], bytes | None]) -> list[str]:
    """Return the paths whose content is no longer the recorded one; read returns None for what is no file."""
    return [path for path, value in known.items() if (content := read(path)) is None or digest(content) != value]


def load(path: str | None = None) -> dict[str, str]:
    """Return the record, an empty one where there is none or a damaged one; raises OSError, UnsafePathError."""
    try:
        document = json.loads(safe_path.read(path or PATH) or b"{}")
        return {str(name): str(value) for name, value in document.items()}
    except (ValueError, AttributeError):
        return {}


def save(known: Mapping[str, str], path: str | None = None) -> None:
    """Replace the record; raises OSError, UnsafePathError."""
    with safe_path.parent(path or PATH, make=True):
        pass
    content = json.dumps(known, indent=1).encode(errors="surrogateescape") + b"\n"
    safe_path.replace(path or PATH, content, safe_path.Access(os.geteuid(), os.getegid(), 0o600))
