# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gives secrets of a file new values beside their former ones, and removes those; the rest of the file stays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.secrets_file import (
    SecretsError,
    TemplateText,
    VaultedText,
    holds,
    line_end,
    lines_of,
    loaded,
    parse,
    secrets_problems,
    verified,
    with_keys,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import FORMER_SECRETS

Encrypt = Callable[[VaultedText, str], VaultedText]
"""Encrypts a value in place, with the key of another one."""
NEWLINE = "\n"
AS_LINES = "can't be changed as it is written: write its variable as a block of lines"


@dataclass(frozen=True, slots=True)
class Change:
    """A file's new text, and the dotted names of the secrets that changed and of those that had changed before."""

    text: str
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


def begin(text: str, names: Sequence[str], generate: Callable[[], str], encrypt: Encrypt) -> Change:
    """Give secrets new values and keep the former ones in variables of their own.

    One with a former value has its new one already: its rotation goes on. Raises SecretsError.
    """
    document = parse(text)
    pending = [name for name in names if key_of(name) not in (document.get(former_variable(name)) or {})]
    found = [*secrets_problems(document), *filter(None, (_why_not(name, document) for name in pending))]
    if found:
        raise SecretsError("; ".join(found))
    for name in pending:
        variable, key = variable_of(name), key_of(name)
        old, new = document[variable][key], generate()
        value = encrypt(old, new) if isinstance(old, VaultedText) else new
        document[variable] = {**document[variable], key: value}
        document[former_variable(name)] = {**(document.get(former_variable(name)) or {}), key: old}
        text = _with_value(text, name, value)
        if not holds(text, variable, document[variable]):
            raise SecretsError(f"{name} {AS_LINES}")
        text = with_keys(text, former_variable(name), {key: old})
    return Change(verified(text, document), tuple(pending), tuple(name for name in names if name not in pending))


def end(text: str, names: Sequence[str]) -> Change:
    """Remove the former values of secrets; those that are not in this file stay. Raises SecretsError."""
    document, removed = parse(text), []
    for variable in FORMER_SECRETS.values():
        found = document.get(variable)
        kept = dict(found) if isinstance(found, dict) else {}
        gone = [name for name in names if former_variable(name) == variable and key_of(name) in kept]
        if not gone:
            continue
        removed += gone
        kept = {key: value for key, value in kept.items() if key not in map(key_of, gone)}
        text = _without(text, variable)
        del document[variable]
        if kept:
            document[variable] = kept
            text = with_keys(text, variable, kept)
    return Change(verified(text, document), tuple(removed), tuple(name for name in names if name not in removed))


def variable_of(name: str) -> str:
    """Return the variable of a dotted name."""
    return name.partition(".")[0]


def key_of(name: str) -> str:
    """Return the key of a dotted name, which may have dots itself."""
    return name.partition(".")[2]


def former_variable(name: str) -> str:
    """Return the variable that keeps the former value of a dotted name."""
    return FORMER_SECRETS[variable_of(name)]


def _why_not(name: str, document: Mapping[str, Any]) -> str:
    """Return why a secret can't get a new value in this file, "" if it can."""
    secrets = document.get(variable_of(name)) or {}
    keep = f"and keep the former value in {former_variable(name)}.{key_of(name)}"
    if key_of(name) not in secrets:
        return f"{name} is not in this file: change it where it is set, {keep}"
    if isinstance(secrets[key_of(name)], TemplateText):
        return f"{name} is a reference: change what it refers to, {keep}"
    return ""


def _with_value(text: str, name: str, value: str) -> str:
    """Return the text with another value of a secret."""
    node = _node(text, variable_of(name))
    if node is None or not isinstance(node[1], yaml.MappingNode):
        raise SecretsError(f"{name} {AS_LINES}")
    mapping = node[1]
    for key, found in mapping.value:
        # An alias has the place of what it stands for.
        if key.value == key_of(name) and found.start_mark.index >= key.end_mark.index:
            start, end = key.start_mark.index, found.end_mark.index
            pair = lines_of({key_of(name): value}, 0 if mapping.flow_style else key.start_mark.column).strip()
            return f"{text[:start]}{pair}{NEWLINE if text[:end].endswith(NEWLINE) else ''}{text[end:]}"
    raise SecretsError(f"{name} {AS_LINES}")


def _without(text: str, variable: str) -> str:
    """Return the text without a variable's lines."""
    node = _node(text, variable)
    if not node:
        return text
    key, value = node
    is_block = isinstance(value, yaml.MappingNode) and value.value and not value.flow_style
    last = value.value[-1][1] if is_block else value
    return text[: key.start_mark.index] + text[line_end(text, last.end_mark.index) :]


def _node(text: str, variable: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Return the nodes of a variable's key and value."""
    root = loaded(text)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return next(((key, value) for key, value in pairs if key.value == variable), None)
