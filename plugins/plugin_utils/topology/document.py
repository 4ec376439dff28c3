# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topology file's text: strict YAML with a line number for every key."""

from __future__ import annotations

from typing import Any

import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE, Problem, TopologyError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_document(text: str) -> tuple[Any, dict[str, int]]:
    """Plain data, and the line of each key by its dotted path.

    :raises TopologyError: where the text is not YAML or names a key twice in one mapping.
    """
    try:
        root = yaml.compose(text, Loader=LOADER)
        document = yaml.load(text, Loader=LOADER)  # noqa: S506 - one of the two safe loaders
    except yaml.YAMLError as error:
        fix = "correct the YAML; the topology takes plain values only, no !vault or other tags"
        problem = Problem("topology file", OPAQUE, f"is not valid YAML{_mark(error)}", fix)
        raise TopologyError([problem]) from None
    lines: dict[str, int] = {}
    twice: list[Problem] = []
    _walk(root, "", lines, twice)
    if twice:
        raise TopologyError(twice)
    return document, lines


def _mark(error: yaml.YAMLError) -> str:
    """The place and the reason, without a quotation from the file."""
    mark, reason = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return f" (line {mark.line + 1}: {reason})" if mark else ""


def _walk(node: yaml.Node | None, path: str, lines: dict[str, int], twice: list[Problem]) -> None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            where = f"{path}.{key.value}".lstrip(".")
            if where in lines:
                what = f"is given twice, in lines {lines[where]} and {key.start_mark.line + 1}"
                twice.append(Problem(where, OPAQUE, what, "rename or merge one of them"))
            lines[where] = key.start_mark.line + 1
            _walk(value, where, lines, twice)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            where = f"{path}[{index}]"
            lines[where] = item.start_mark.line + 1
            _walk(item, where, lines, twice)
