# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options from the documentation of the collection's modules: types, choices, defaults."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

PLUGINS = Path(__file__).resolve().parents[1]
MODULES = PLUGINS / "modules"
FRAGMENTS = "holdfast.ha."
"""What the names of the collection's own documentation fragments begin with."""
IN_SPECS = ("type", "elements", "choices", "default", "required")


def documentation(path: Path) -> dict[str, Any]:
    """The parsed C(DOCUMENTATION) of a plugin's source, {} where the file has none."""
    return _assigned(ast.parse(path.read_text(encoding="utf-8")).body, "DOCUMENTATION") if path.is_file() else {}


def fragment(name: str) -> dict[str, Any]:
    """The parsed documentation fragment with the name FILE or FILE.PART."""
    file, _dot, part = name.removeprefix(FRAGMENTS).partition(".")
    source = ast.parse((PLUGINS / "doc_fragments" / f"{file}.py").read_text(encoding="utf-8"))
    bodies = [node.body for node in source.body if isinstance(node, ast.ClassDef)]
    return _assigned(bodies[0], part.upper() or "DOCUMENTATION")


def _assigned(body: Iterable[ast.stmt], name: str) -> dict[str, Any]:
    for node in body:
        if isinstance(node, ast.Assign) and any(getattr(item, "id", "") == name for item in node.targets):
            return yaml.safe_load(ast.literal_eval(node.value)) or {}
    return {}


@cache
def module_options(module: str) -> Mapping[str, Mapping[str, Any]]:
    """The documented options of one of the collection's modules, with those of its fragments."""
    found = documentation(MODULES / f"{module}.py")
    own = [name for name in found.get("extends_documentation_fragment", ()) if name.startswith(FRAGMENTS)]
    parts = [*map(fragment, own), found]
    return {name: option for part in parts for name, option in part.get("options", {}).items()}


def argument_spec(module: str) -> dict[str, Any]:
    """The argument spec for C(validate_argument_spec), from a module's documentation."""
    return _spec(module_options(module))


def _spec(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: _argument(option) for name, option in options.items()}


def _argument(option: Mapping[str, Any]) -> dict[str, Any]:
    argument = {key: option[key] for key in IN_SPECS if key in option}
    return argument | ({"options": _spec(option["suboptions"])} if "suboptions" in option else {})
