# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations without secrets: values with the name of a secret are masked. Nothing here does I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

HIDDEN = "***"
# PostgreSQL and HAProxy take quotes within a word, too.
WORDS = "|".join(
    "[\"'\\\\]*".join(word)
    for word in ("passwd", "password", "passphrase", "secret", "token", "credential", "authorization")
)
# keycloak is no key, and neither is keyfile.
KEY = r"(?:(?<![a-z])|access|account|api|auth|encryption|master|private|shared|(?-i:[a-z](?=K)))keys?"
NAMED = re.compile(
    rf"{WORDS}|pass(?![a-z])|pwd(?![a-z])|basic_?auth|bearer|{KEY}(?![a-z]|[_-]?(?:file|path))", re.IGNORECASE
)
IN_URL = re.compile(r"(\w://)[^/\s@]*:[^\s]*@")
KEY_BEGINS, KEY_ENDS = "PRIVATE KEY-----", "-----END "
ITEM = re.compile(r"(?P<start>\s*(?:-\s+)*)(?P<name>[^\s:=#][^:=]*?)(?P<separator>\s*[:=]\s*)(?P<value>.*)")


def mask(value: Any, name: str = "", keys: Collection[str] = ()) -> Any:
    """Return a value without the secrets in it, which follow a secret's name.

    :arg name: the name that the value has.
    :arg keys: further names whose values are secrets.
    """
    if isinstance(value, Mapping):
        told = str(value.get("name", ""))  # as in {name: TOKEN, value: …}
        return {key: mask(part, told if key == "value" else str(key), keys) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        before = ["", *value]  # as in [--password, …]
        return [mask(part, _last_name(before[at]) or name, keys) for at, part in enumerate(value)]
    if value is not None and (name in keys or NAMED.search(name)):
        return HIDDEN
    return mask_line(value) if isinstance(value, str) else value


def _last_name(word: Any) -> str:
    """The name of a secret that a word ends in, and whose value is the next word."""
    return word if isinstance(word, str) and word.split() and NAMED.search(word) and mask_line(word) == word else ""


def mask_line(text: str) -> str:
    """Return a text up to and including the first name of a secret."""
    shown = IN_URL.sub(rf"\1{HIDDEN}@", text)
    found = NAMED.search(shown)
    rest = shown[found.end() :] if found else ""
    return f"{shown[: found.end()]} {HIDDEN}" if found and rest.strip() else shown


def mask_text(content: str, keys: Collection[str] = ()) -> str:
    """Return the text of a YAML, ini or pg_hba file without the values of these names, and those of a secret's name.

    What is of the type JSON keeps its other values.
    """
    return "".join(_masked_lines(content, keys))


def _masked_lines(content: str, keys: Collection[str]) -> Iterator[str]:
    within: int | None = None  # the column of a secret's name, while lines further in belong to its value
    continued = False
    for line in content.splitlines(keepends=True):
        text = line.rstrip("\r\n")
        end, indent = line[len(text) :], len(text) - len(text.lstrip())
        if not text.strip():
            shown = text
        elif continued or _belongs(text, indent, within):
            shown = f"{text[:indent]}{HIDDEN}"
            within = None if KEY_ENDS in text else within
        else:
            shown, within = _masked_line(text, keys)
        continued = shown != text and text.endswith("\\")
        yield f"{shown}{end}"


def _belongs(text: str, indent: int, within: int | None) -> bool:
    """Whether a line is part of the value of a name in a column; the elements of a list may begin in that."""
    return within is not None and (indent > within or (indent == within and text[indent] == "-"))


def _masked_line(text: str, keys: Collection[str]) -> tuple[str, int | None]:
    """Return a line as it is shown, and the column of its name where that is a secret's; -1 where a key begins."""
    if KEY_BEGINS in text:
        return mask_line(text), -1
    item = ITEM.fullmatch(text)
    if not item:
        return mask_line(text), None
    name, value = item["name"].strip("\"'"), item["value"]
    if name in keys or (NAMED.search(name) and len(name.split()) == 1):
        return f"{text[: item.start('value')].rstrip()} {HIDDEN}", len(item["start"])
    try:
        document = json.loads(value) if value[:1] in ("{", "[") else None
    except ValueError:
        document = None
    if document is None:
        return mask_line(text), None
    return text[: item.start("value")] + json.dumps(mask(document, name, keys), ensure_ascii=False), None
