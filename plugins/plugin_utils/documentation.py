# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options from the documentation of the collection's modules: types, choices, defaults."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

MODULES = Path(__file__).resolve().parents[1] / "modules"
IN_SPECS = ("type", "elements", "choices", "default", "required")


def documentation(path: Path) -> dict[str, Any]:
    """The parsed C(DOCUMENTATION) of a plugin's source, {} where the file has none."""
    if not path.is_file():
        return {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(getattr(item, "id", "") == "DOCUMENTATION" for item in node.targets):
            return yaml.safe_load(ast.literal_eval(node.value)) or {}
    return {}


@cache
def module_options(module: str) -> Mapping[str, Mapping[str, Any]]:
    """The documented options of one of the collection's modules."""
    options: dict[str, Mapping[str, Any]] = documentation(MODULES / f"{module}.py")["options"]
    return options


def argument_spec(module: str) -> dict[str, Any]:
    """The argument spec for C(validate_argument_spec), from a module's documentation."""
    return _spec(module_options(module))


def _spec(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: _argument(option) for name, option in options.items()}


def _argument(option: Mapping[str, Any]) -> dict[str, Any]:
    argument = {key: option[key] for key in IN_SPECS if key in option}
    return argument | ({"options": _spec(option["suboptions"])} if "suboptions" in option else {})
