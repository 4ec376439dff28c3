# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate files from the topology's schema: the plugin's options, docs/topology.md's keys and the JSON Schema.

With --check no file is written; exit code 1 means that a file is out of date.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "collections"))

from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.schema import Topology

from scripts.generate_variables_reference import shown, text
from scripts.generated import between, write_or_check
from scripts.topology_options import Json, Option, options, section_schema

ROOT = Path(__file__).resolve().parent.parent
PLUGIN = ROOT / "plugins" / "inventory" / "topology.py"
PAGE = ROOT / "docs" / "topology.md"
SCHEMA = ROOT / "docs" / "topology.schema.json"
PLAIN = ("boolean", "integer", "list of mappings", "list of texts", "mapping", "mapping by name", "text")
"""Types that Ansible's own names describe equally well."""
TYPES = {"string": "str", "integer": "int", "boolean": "bool", "object": "dict", "array": "list"}


class Dumper(yaml.SafeDumper):
    """Writes lists indented below their key."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        """Indent always."""
        super().increase_indent(flow, False)


# ---- the plugin's DOCUMENTATION


def suboptions(known: Iterable[Option]) -> dict[str, Any]:
    """Options in the format of DOCUMENTATION."""
    return {one.name: suboption(one) for one in known}


def suboption(one: Option) -> dict[str, Any]:
    """One option with its suboptions."""
    return {
        "description": list(sentences(one)),
        **ansible_type(one.form.schema),
        **({"required": True} if one.always_required else {}),
        **({} if one.default is None else {"default": one.default}),
        **({"suboptions": suboptions(one.form.options)} if one.form.options else {}),
    }


def sentences(one: Option) -> Iterator[str]:
    """The description: the meaning, and details that Ansible's type lacks."""
    yield one.description
    kind = "" if one.form.words in PLAIN or "enum" in one.form.schema else one.form.words
    example = "" if one.example is None else f"for example V({flow(one.example)})"
    sentence = ", ".join(filter(None, [kind, example]))
    if sentence:
        yield f"{sentence[0].upper()}{sentence[1:]}."


def ansible_type(schema: Json) -> dict[str, Any]:
    """The name of the type in Ansible; C(raw) for one of several."""
    if "enum" in schema:
        return {"type": "str", "choices": [choice for choice in schema["enum"] if choice is not None]}
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    elements = {"elements": ansible_type(schema["items"])["type"]} if kind == "array" else {}
    return {"type": TYPES.get(str(kind), "raw"), **elements}


def documentation() -> str:
    """The options of the plugin as YAML."""
    data = suboptions(options(Topology))
    written = yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    return textwrap.indent(written, "  ")


# ---- docs/topology.md


def flow(value: object) -> str:
    """A value as YAML in one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False).removesuffix("...\n").strip()


def row(one: Option) -> str:
    """One option as a row of a table."""
    default = "**required**" if one.always_required else "" if one.default is None else shown(one.default)
    example = "" if one.example is None else f" Example: V({flow(one.example)})."
    return f"| `{one.name}` | {text(one.form.words)} | {default} | {text(one.description + example)} |"


def sections(path: str, known: tuple[Option, ...]) -> Iterator[str]:
    """A heading and a table for each mapping, in the order of the keys."""
    if not known[0].name.startswith("<"):
        yield f"\n### {f'`{path}`' if path else 'The file'}\n"
        yield "| key | type | default | meaning |\n|---|---|---|---|"
        yield from map(row, known)
    for one in known:
        if one.form.options:
            in_list = "[]" if one.form.schema.get("type") == "array" else ""
            yield from sections(f"{path}.{one.name}{in_list}".lstrip("."), one.form.options)


def page() -> str:
    """The keys' part of the page."""
    return "\n".join(sections("", options(Topology))) + "\n\n"


# ---- the files


def json_schema() -> str:
    """The whole file as a JSON Schema."""
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Holdfast topology (topology.ha.yml)"}
    return json.dumps({**head, **section_schema(options(Topology))}, indent=2, ensure_ascii=False) + "\n"


def wanted() -> Mapping[Path, str]:
    """The expected text of every file."""
    return {
        PLUGIN: between(PLUGIN, "# generated: options", "# end", documentation()),
        PAGE: between(PAGE, "<!-- generated: clusters -->", "<!-- end -->", page()),
        SCHEMA: json_schema(),
    }


def main(arguments: list[str]) -> int:
    """Write the reference, or with --check compare it."""
    return write_or_check(wanted(), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
