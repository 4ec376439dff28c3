# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inputs of the collection's roles: their argument specs and defaults."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.validation import check_type_bool, check_type_float, check_type_int
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.document import LOADER

SCALARS: Mapping[str, Callable[[str], Any]] = {
    "bool": check_type_bool,
    "int": check_type_int,
    "float": check_type_float,
}


@dataclass(frozen=True)
class RoleSpec:
    """A role's inputs: options by variable name (of all entry points), defaults, and variables set by playbooks."""

    options: Mapping[str, Mapping[str, Any]]
    defaults: Mapping[str, Any] = field(default_factory=dict)
    wired: frozenset[str] = frozenset()


def load_roles(collection: Path, names: Iterable[str]) -> dict[str, RoleSpec]:
    """Read the specs of the roles that exist.

    :arg collection: the collection's directory, with C(roles) and C(playbooks).
    """
    in_playbooks = {key for path in sorted(collection.glob("playbooks/**/*.yml")) for key in _keys(_read(path))}
    specs = {}
    for name in names:
        directory = collection / "roles" / name
        options = _options(_read(directory / "meta" / "argument_specs.yml") or {})
        if options:
            specs[name] = RoleSpec(options, role_defaults(collection, name), frozenset(in_playbooks & options.keys()))
    return specs


@cache
def role_defaults(collection: Path, name: str) -> Mapping[str, Any]:
    """The default values of a role's variables."""
    defaults: Mapping[str, Any] = _read(collection / "roles" / name / "defaults" / "main.yml") or {}
    return defaults


def coerced(value: Any, option: Mapping[str, Any]) -> Any:
    """A value with its texts converted to booleans and numbers where the option of an argument spec has such a type.

    INI inventories and C(-e name=value) give texts. A value of the wrong type stays unchanged.
    """
    if isinstance(value, dict):
        options = option.get("options") or {}
        return {key: coerced(part, options.get(key, {})) for key, part in value.items()}
    if isinstance(value, list):
        return [coerced(item, option) for item in value]
    if isinstance(value, str) and option.get("type") in SCALARS:
        with contextlib.suppress(TypeError, ValueError):
            return SCALARS[option["type"]](value)
    return value


def _options(specs: Mapping[str, Any]) -> dict[str, Any]:
    """The options of all entry points."""
    entry_points = (specs.get("argument_specs") or {}).values()
    return {name: option for point in entry_points for name, option in (point.get("options") or {}).items()}


def _keys(data: Any) -> Iterator[str]:
    """All keys of all mappings in plain data."""
    if isinstance(data, dict):
        yield from data
    if isinstance(data, (dict, list)):
        for part in data.values() if isinstance(data, dict) else data:
            yield from _keys(part)


def _read(path: Path) -> Any:
    """A YAML file's data, None where the file is missing or unfinished."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 - one of the two safe loaders
    except (OSError, yaml.YAMLError):
        return None
