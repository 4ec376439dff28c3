# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check that every role's meta/argument_specs.yml and defaults/main.yml agree."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent


def load(path: Path) -> dict[str, Any]:
    """Return a YAML file's mapping, {} when the file is missing or empty."""
    return (yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.is_file() else {}


def options(specs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of all entry points of an argument_specs mapping."""
    merged: dict[str, Any] = {}
    for entry in specs.get("argument_specs", {}).values():
        merged |= entry.get("options") or {}
    return merged


def is_literal(value: object) -> bool:
    """Say whether a default is plain data, not a template that only a host can evaluate."""
    return "{{" not in str(value)


def problems(role: str, specs: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[str]:
    """Yield the conflicts between a role's specs (options of all entry points) and its defaults."""
    required = {name for name, option in specs.items() if option.get("required")}
    optional = set(specs) - required
    for name in sorted(optional - set(defaults)):
        yield f"{role}: {name} is optional in argument_specs but has no default: add it to defaults/main.yml"
    for name in sorted(set(defaults) - set(specs)):
        yield f"{role}: {name} has a default but no description: add it to meta/argument_specs.yml"
    for name in sorted(required & set(defaults)):
        yield f"{role}: {name} is required and has a default: choose one"
    for name in sorted(set(specs) | set(defaults)):
        if name != role and not name.startswith(f"{role}_"):
            yield f"{role}: {name} lacks the role's prefix {role}_"
    for name, option in sorted(specs.items()):
        if not option.get("description"):
            yield f"{role}: {name} has no description"
        documented = option.get("default")
        if documented is not None and name in defaults and is_literal(defaults[name]) and documented != defaults[name]:
            yield f"{role}: {name} documents default {documented!r}, defaults/main.yml says {defaults[name]!r}"


def main() -> int:
    """Check every role; return 1 when any problem was printed."""
    found = []
    for role in sorted(path for path in (ROOT / "roles").glob("*") if path.is_dir()):
        specs = load(role / "meta" / "argument_specs.yml")
        if not specs:
            found.append(f"{role.name}: meta/argument_specs.yml is missing")
            continue
        found += problems(role.name, options(specs), load(role / "defaults" / "main.yml"))
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
