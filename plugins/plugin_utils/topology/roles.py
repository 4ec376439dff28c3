# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection's roles take: their argument specs and defaults."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .document import LOADER


@dataclass(frozen=True)
class RoleSpec:
    """A role's inputs: options by variable name (of all entry points) and default values."""

    options: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[str, Any] = field(default_factory=dict)


def load_roles(directory: Path, names: Iterable[str]) -> dict[str, RoleSpec]:
    """Read the specs of those roles that exist.

    :arg directory: the collection's C(roles) directory.
    """
    specs = {}
    for name in names:
        entry_points = _read(directory / name / "meta" / "argument_specs.yml").get("argument_specs") or {}
        options = {
            key: option for entry in entry_points.values() for key, option in (entry.get("options") or {}).items()
        }
        if options:
            specs[name] = RoleSpec(options, _read(directory / name / "defaults" / "main.yml"))
    return specs


def _read(path: Path) -> dict[str, Any]:
    """A YAML mapping, empty where the file is missing or no mapping."""
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 - safe: see document.py
    except (OSError, yaml.YAMLError):
        return {}
    return loaded if isinstance(loaded, dict) else {}
