# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a value has the type of an option, at any depth."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.validation import (
    check_type_bool,
    check_type_dict,
    check_type_float,
    check_type_int,
    check_type_list,
)

READERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "bool": (check_type_bool, "no boolean, which is true or false"),
    "dict": (check_type_dict, "no mapping"),
    "float": (check_type_float, "no number"),
    "int": (check_type_int, "no whole number"),
    "list": (check_type_list, "no list"),
}
"""What reads a type of an option, and what a value is that it can't read."""

NAMES = {str: "a text", bool: "a boolean", dict: "a mapping", list: "a list"}
Option = Mapping[str, Any]
ANYTHING: Option = {"type": "raw"}


@dataclass(frozen=True)
class Misfit:
    """What is wrong with a part of a value.

    :arg path: the part, such as C([0].timeouts.client), "" for the value itself.
    :arg option: what the part should be.
    """

    path: str
    value: Any
    what: str
    option: Option


def misfits(value: Any, option: Option, for_role: bool) -> list[Misfit]:
    """Why a value is refused.

    :arg for_role: a role's templates read it, which make no list or mapping of a text or a number.
    """
    whole = Misfit("", value, "", option)
    return [*_misfits(whole, for_role)] or [replace(whole, what=text) for text in _of_validator(value, option)]


def _misfits(part: Misfit, for_role: bool) -> Iterator[Misfit]:
    value, kind = part.value, part.option.get("type", "str")
    if what := _misfit(value, kind, for_role):
        yield replace(part, what=what)
    elif kind == "list" and isinstance(value, list):
        element = {**part.option, "type": part.option.get("elements", "raw"), "elements": "raw"}
        for number, item in enumerate(value):
            within = Misfit(f"{part.path}[{number}]", item, f"null in place of a {element['type']}", element)
            yield from [within] if item is None and element["type"] != "raw" else _misfits(within, for_role)
    elif kind == "dict" and isinstance(value, dict):
        options = part.option.get("options") or {}
        for key, item in value.items():
            yield from _misfits(Misfit(f"{part.path}.{key}", item, "", options.get(key, ANYTHING)), for_role)


def _misfit(value: Any, kind: str, for_role: bool) -> str:
    """Why a value is not of a type, "" if it is; its parts are not looked at."""
    is_structure, wanted = isinstance(value, (dict, list)), {"list": list, "dict": dict}.get(kind)
    if value is None:
        return ""
    if kind in {"str", "path"} and is_structure:
        return f"{NAMES[type(value)]} in place of a text"
    if wanted and not isinstance(value, wanted) and (for_role or is_structure):
        return f"{NAMES.get(type(value), 'a number')} in place of a {kind}"
    read, what = READERS.get(kind, (str, ""))
    try:
        read(value)
    except (TypeError, ValueError, OverflowError):
        return what
    return ""


def _of_validator(value: Any, option: Option) -> list[str]:
    try:
        messages = ArgumentSpecValidator({"value": option}).validate({"value": value}).error_messages
    except TypeError:  # the validator looks for keys in values other than mappings, and joins keys that are not texts
        return ["not a mapping with texts as keys where one is required"]
    except (ValueError, OverflowError):
        return ["not a finite number where one is required"]
    return [re.sub(r"^value of value (must be .*), got: .*", r"\1", text, flags=re.DOTALL) for text in messages]
