# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topology's schema as a tree of options and as a JSON Schema.

Keys that a role judges are described by the role's argument_specs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, singledispatch
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "collections"))

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.node import NAME
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.shapes import (
    Boolean,
    ByKey,
    Choice,
    Integer,
    IpAddress,
    IpInterface,
    IpNetwork,
    Key,
    Later,
    ListOf,
    Named,
    OfRole,
    OrFalse,
    Section,
    SectionOrList,
    Shape,
    Switch,
    Text,
    keys,
)

from scripts.generate_variables_reference import load

ROOT = Path(__file__).resolve().parent.parent
Json = dict[str, Any]
ROLE_FORMS: Mapping[str, tuple[str, Json]] = {
    "str": ("text", {"type": ["string", "number"]}),
    "int": ("integer", {"type": "integer"}),
    "bool": ("boolean", {"type": "boolean"}),
    "dict": ("mapping", {"type": "object"}),
}


@dataclass(frozen=True)
class Form:
    """The documentation of a shape: in words, as a JSON Schema, and its options."""

    words: str
    schema: Json
    options: tuple[Option, ...] = ()


@dataclass(frozen=True)
class Option:
    """The documentation of a key; C(only) is the condition under which it exists."""

    name: str
    form: Form
    meaning: str
    required: bool = False
    default: Any = None
    example: Any = None
    only: str = ""

    @property
    def description(self) -> str:
        """The condition and the meaning."""
        only = f"Required {self.only[0].lower()}{self.only[1:]}" if self.only and self.required else self.only
        return f"{only} {self.meaning}".strip()

    @property
    def always_required(self) -> bool:
        """Whether the key is required under any condition."""
        return self.required and not self.only


def options(declaration: type[Any]) -> tuple[Option, ...]:
    """The options of a declaration."""
    return tuple(option(name, one) for name, one in keys(declaration).items())


def option(name: str, one: Key) -> Option:
    """A key as an option."""
    default = one.default if isinstance(one.default, (bool, int, str)) else None
    meaning = one.meaning
    if isinstance(one.shape, OfRole) and not meaning:
        meaning = described(role_option(one.shape.option)["description"])
    return Option(name, form(one.shape), meaning, one.required, default, one.example)


# ---- single values


@singledispatch
def form(shape: Shape[Any]) -> Form:
    """The documentation of a shape."""
    raise TypeError(shape)


@form.register
def _text(shape: Text) -> Form:
    return Form("text", {"type": "string", "pattern": f"^{shape.pattern}$" if shape.pattern else r"\S"})


@form.register
def _integer(shape: Integer) -> Form:
    schema = {"type": "integer", "minimum": shape.low, "maximum": shape.high}
    return Form(f"integer from {shape.low} to {shape.high}", schema)


@form.register
def _boolean(_shape: Boolean) -> Form:
    return Form("boolean", {"type": "boolean"})


@form.register
def _choice(shape: Choice) -> Form:
    return Form(listed(shape.options, "or"), {"enum": list(shape.options)})


@form.register
def _address(_shape: IpAddress) -> Form:
    return Form("IP address", {"type": "string", "pattern": r"^[0-9A-Fa-f:.]+$"})


@form.register
def _interface(_shape: IpInterface) -> Form:
    return Form("IP address with a prefix length", {"type": "string", "pattern": r"^[0-9A-Fa-f:.]+/\d+$"})


@form.register
def _network(_shape: IpNetwork) -> Form:
    return Form("network in CIDR notation", {"type": "string", "pattern": r"^[0-9A-Fa-f:.]+(/\d+)?$"})


# ---- lists and mappings


@form.register(ListOf)
def _list(shape: ListOf[Any]) -> Form:
    item = form(shape.item)
    items = {"type": "array", "items": item.schema, **({"minItems": 1} if shape.empty else {})}
    if shape.or_one:
        return Form(f"{item.words}, or a list of them", {"anyOf": [item.schema, items]}, item.options)
    return Form(f"list of {item.words}s", items, item.options)


@form.register(Named)
def _named(shape: Named[Any]) -> Form:
    item = form(shape.item)
    names = {"propertyNames": {"pattern": f"^{NAME.pattern}$"}} if shape.by == "name" else {}
    least = {"minProperties": 1} if shape.empty else {}
    schema = {"type": "object", **names, **least, "additionalProperties": item.schema}
    if item.options:
        return Form(f"mapping by {shape.by}", schema, (Option(f"<{shape.by}>", item, "A name of your choice."),))
    return Form(f"mapping by {shape.by}: {item.words}", schema)


@form.register(Section)
def _section(shape: Section[Any]) -> Form:
    known = options(shape.declaration)
    schema = section_schema(known)
    return Form("mapping", nullable(schema) if shape.or_null else schema, known)


@form.register(Switch)
def _switch(shape: Switch[Any]) -> Form:
    known = options(shape.declaration)
    return Form("boolean or mapping", {"anyOf": [{"type": "boolean"}, section_schema(known)]}, known)


@form.register(OrFalse)
def _or_false(shape: OrFalse[Any]) -> Form:
    one = form(shape.shape)
    return Form(f"{one.words}, or V(false)", {"anyOf": [one.schema, {"const": False}]}, one.options)


@form.register(SectionOrList)
def _section_or_list(shape: SectionOrList[Any, Any]) -> Form:
    section, item = (section_schema(options(one)) for one in (shape.section, shape.item))
    known = merged({"In a mapping.": [shape.section], "In a list.": [shape.item]})
    return Form(
        "mapping or list of mappings", {"anyOf": [section, {"type": "array", "items": item, "minItems": 1}]}, known
    )


@form.register(ByKey)
def _by_key(shape: ByKey[Any]) -> Form:
    others = f"With a C({shape.key}) other than {listed(shape.declarations, 'and')}."
    conditions = {f"With C({shape.key}) V({value}).": list(each) for value, each in shape.declarations.items()}
    known = merged({**conditions, others: [shape.other]})
    chain = limits(known, [shape.other])
    for value, declarations in reversed(list(shape.declarations.items())):
        is_default = value == shape.choice(None)
        chosen = {"enum": [value, None]} if is_default else {"const": value}
        condition = {"properties": {shape.key: chosen}, **({} if is_default else {"required": [shape.key]})}
        chain = {"if": condition, "then": limits(known, declarations), "else": chain}
    return Form("mapping", {**section_schema(known), **chain}, known)


@form.register
def _later(shape: Later) -> Form:
    return form(shape.shape)


@form.register
def _of_role(shape: OfRole) -> Form:
    return role_form(role_option(shape.option))


def listed(names: Iterable[str], word: str) -> str:
    """Values in words: V(a), V(b) or V(c)."""
    *most, last = [f"V({name})" for name in names]
    return f"{', '.join(most)} {word} {last}" if most else last


def merged(variants: Mapping[str, list[type[Any]]]) -> tuple[Option, ...]:
    """The options of several declarations. C(only) is the last condition of options that some declarations lack.

    :arg variants: declarations by condition.
    """
    every = [keys(declaration) for declarations in variants.values() for declaration in declarations]
    found: dict[str, Option] = {}
    for condition, declarations in variants.items():
        for one in (one for declaration in declarations for one in options(declaration)):
            found[one.name] = one if all(one.name in known for known in every) else replace(one, only=condition)
    return tuple(sorted(found.values(), key=lambda one: bool(one.only)))


def limits(known: Iterable[Option], declarations: Iterable[type[Any]]) -> Json:
    """The keys that each of several declarations requires, and those that none of them accepts."""
    each = [keys(declaration) for declaration in declarations]
    required = [name for name, one in each[0].items() if one.required and all(name in other for other in each)]
    foreign = {one.name: False for one in known if not any(one.name in other for other in each)}
    return {"required": required, "properties": foreign}


def section_schema(known: Iterable[Option]) -> Json:
    """A mapping with known keys. Null counts as not given."""
    known = list(known)
    required = [one.name for one in known if one.always_required]
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {one.name: _property(one) for one in known},
        **({"required": required} if required else {}),
    }


def _property(one: Option) -> Json:
    """A key's value with the texts that an editor shows."""
    return {
        "description": plain(one.description),
        **({} if one.default is None else {"default": one.default}),
        **({} if one.example is None else {"examples": [one.example]}),
        **(one.form.schema if one.required else nullable(one.form.schema)),
    }


def nullable(schema: Json) -> Json:
    """The schema, or null."""
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    types = schema["type"]
    return {**schema, "type": [*([types] if isinstance(types, str) else types), "null"]}


# ---- options of roles


@cache
def role_option(name: str) -> Mapping[str, Any]:
    """The option of a role's argument_specs: C(variable) or C(variable.key)."""
    variable, *path = name.split(".")
    for role in (ROOT / "roles").iterdir():
        specs = load(role / "meta" / "argument_specs.yml").get("argument_specs") or {}
        option = specs.get("main", {}).get("options", {}).get(variable)
        if option:
            for step in path:
                option = option["options"][step]
            return option
    raise KeyError(name)


def role_form(one: Mapping[str, Any]) -> Form:
    """The documentation of a role's option."""
    if "choices" in one:
        return Form(listed(one["choices"], "or"), {"enum": list(one["choices"])})
    known = tuple(
        Option(name, role_form(each), described(each["description"]), bool(each.get("required")))
        for name, each in (one.get("options") or {}).items()
    )
    words, schema = ROLE_FORMS[one.get("elements", one["type"])]
    schema = section_schema(known) if known else schema
    if one["type"] == "list":
        return Form(f"list of {words}s", {"type": "array", "items": schema}, known)
    return Form(words, schema, known)


def described(value: str | list[str]) -> str:
    """A description of a role's option, in which the role's own variables are not marked as options."""
    joined = " ".join(value) if isinstance(value, list) else value
    return re.sub(r"\bO\((?:\w+\[\]\.)?([^)]*)\)", r"C(\1)", joined)


def plain(text: str) -> str:
    """A description without Ansible's markup."""
    return re.sub(r"\b[A-Z]\(([^)#]*)[^)]*\)", r"\1", text)
