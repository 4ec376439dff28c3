# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of the last verification of a backup's restore."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import safe_path


@dataclass
class Record:
    """The result of one verification: times are seconds since the epoch, durations seconds, sizes bytes.

    ``repository`` is the number of the verified repository. ``older`` is the older backup that was verified last, in
    this verification or an earlier one, ``turns`` the same by repository.
    """

    stanza: str
    started: int
    result: str = "failed"
    error: str = ""
    backup: str = ""
    backup_type: str = ""
    backup_finished: int = 0
    finished: int = 0
    bytes: int = 0
    megabytes_per_second: float = 0.0
    last_transaction: str | None = None
    archive_end: str | None = None
    checksums: str = "not run"
    amcheck: str = "not run"
    assertions: int = 0
    canary: int | None = None
    canary_age: int | None = None
    older: str = ""
    older_target: str = ""
    older_result: str = "not run"
    last_passed: int | None = None
    repository: int = 0
    turns: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def read_record(path: Path) -> dict[str, Any] | None:
    """Return the record of a file, None where there is none that can be read."""
    try:
        return asdict(Record(**json.loads(safe_path.read(path) or b"")))
    except (safe_path.UnsafePathError, OSError, ValueError, TypeError):
        return None
