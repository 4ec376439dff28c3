# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What generators share: the files are written, or compared with `--check`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_or_check(wanted: Mapping[Path, str], arguments: list[str], make: str = "reference") -> int:
    """Write files by path, or with --check name those that differ and the target that makes them; return the exit
    status.
    """
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run `make {make}`")
        return 1 if stale else 0
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")
    return 0


def between(path: Path, start: str, end: str, content: str) -> str:
    """A file's text with new content between two marker lines."""
    old = path.read_text(encoding="utf-8")
    pattern = re.compile(f"(^ *{re.escape(start)}\n).*?(^ *{re.escape(end)}$)", re.DOTALL | re.MULTILINE)
    if not pattern.search(old):
        raise SystemExit(f"{path} has no lines {start!r} and {end!r} for the generated part")
    return pattern.sub(lambda match: f"{match[1]}{content}{match[2]}", old)
