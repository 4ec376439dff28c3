# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evaluate all that a role's tasks evaluate, with each boolean and number as such and as a text.

Called with the role's name, prints a JSON list of what does not come out alike, or can't be evaluated. A process of its
own has Ansible's loader of collections from the start.
"""

from __future__ import annotations

import copy
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

from tests.unit.roles.render import ROLES, needed, trusted

CASES: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("text_cases.yml").read_text())
VALUES: dict[str, dict[Any, list[str]]] = {
    "bool": {True: ["true"], False: ["false", "no"]},
    "int": {7: ["7"], 0: ["0"]},
    "float": {1.5: ["1.5"], 3: ["3"]},
}
EXPRESSIONS = ("when", "failed_when", "changed_when", "until")
NAME = re.compile(r"[a-z][a-z0-9_]+")
KEYWORDS = {"name", "register", "loop_control", "block", "always", "rescue", "delegate_to", "notify", "tags"}


def specs(role: str) -> dict[str, Any]:
    """The options of all entry points."""
    entry_points = yaml.safe_load((ROLES / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    return {name: option for point in entry_points.values() for name, option in (point.get("options") or {}).items()}


def options(role: str) -> Iterator[tuple[str, str]]:
    """Paths of the options that are no texts, with their types: C(name), or C(name/0/key) where they are nested."""

    def of(path: str, option: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        if option.get("type") in VALUES:
            yield path, option["type"]
        for key, part in (option.get("options") or {}).items():
            yield from of(f"{path}/0/{key}" if option["type"] == "list" else f"{path}/{key}", part)

    for name, option in specs(role).items():
        yield from of(name, option)


@cache
def loader_of(role: str) -> DataLoader:
    loader = DataLoader()
    loader.set_basedir(str(ROLES / role))
    return loader


@cache
def base(role: str) -> dict[str, Any]:
    """A role's defaults, variables and the inputs of its case."""
    files = [str(ROLES / name / part / "main.yml") for name in (*needed(role), role) for part in ("defaults", "vars")]
    known: dict[str, Any] = {
        "inventory_hostname": "db1",
        "inventory_dir": "/inventory",
        "ansible_check_mode": False,
        "ansible_playbook_python": "/usr/bin/python3",
        "ansible_play_hosts": ["db1"],
        "ansible_play_hosts_all": ["db1"],
        "role_path": str(ROLES / role),
        "ansible_search_path": [str(ROLES / role)],
        "omit": "__omit__",
    }
    for file in filter(os.path.exists, files):
        known |= loader_of(role).load_from_file(file, trusted_as_template=True)
    return known | trusted(CASES[role])


def changed(role: str, path: str, value: Any) -> dict[str, Any]:
    """The variables with one of them changed."""
    name, *keys = path.split("/")
    known = dict(base(role))
    if not keys:
        return known | {name: value}
    known[name] = place = copy.deepcopy(known[name])
    for key in keys[:-1]:
        place = place[int(key)] if key.isdecimal() else place.setdefault(key, {})
    place[keys[-1]] = value
    return known


@cache
def evaluated(role: str) -> list[tuple[str, Any, dict[str, Any], bool]]:
    """What the tasks evaluate: where, the template, the task's own variables, and whether it must be a boolean."""
    found: list[tuple[str, Any, dict[str, Any], bool]] = []
    for path in sorted((ROLES / role / "tasks").glob("*.yml")):
        tasks = loader_of(role).load_from_file(str(path), trusted_as_template=True)
        for task in flattened(tasks):
            found += of_task(f"{path.name}: {task['name']}", task)
    return found


def flattened(tasks: Any) -> Iterator[dict[str, Any]]:
    for task in tasks:
        yield task
        for part in ("block", "rescue", "always"):
            yield from flattened(task.get(part, []))


def of_task(where: str, task: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any], bool]]:
    own = {name: value for name, value in task.get("vars", {}).items() if not name.startswith("ansible_")}
    for key, value in task.items():
        if key in EXPRESSIONS:
            for expression in value if isinstance(value, list) else [value]:
                if isinstance(expression, str):
                    yield f"{where}: {key}", trust_as_template("{{ " + expression + " }}"), own, True
        elif key.endswith(".assert"):
            yield f"{where}: that", trust_as_template("{{ " + value["that"] + " }}"), own, True
            yield f"{where}: fail_msg", value["fail_msg"], own, False
        elif "loop" not in task and key not in KEYWORDS and isinstance(value, dict):
            for name, argument in value.items():
                for item in argument if name == "files" and isinstance(argument, list) else [argument]:
                    yield f"{where}: {key}.{name}", {name: [item] if item is not argument else item}, own, False
        elif "loop" not in task and key not in KEYWORDS:
            yield f"{where}: {key}", value, own, False


def outcome(role: str, variables: dict[str, Any], template: Any, is_condition: bool) -> Any:
    """A template's outcome, files rendered; no condition's has texts for numbers and booleans, as modules read them."""
    result = Templar(loader=loader_of(role), variables=variables).template(template)
    if isinstance(result, dict):
        for item in result.get("files") or []:
            if "template" in item:
                item["content"] = rendered(role, item["template"], variables | item.get("template_vars", {}))
            if "source" in item:
                item["content"] = (ROLES / role / "files" / item["source"]).read_text()
    return result if is_condition else plain(result)


def rendered(role: str, name: str, variables: dict[str, Any]) -> str:
    loader = DataLoader()
    loader.set_basedir(str(ROLES / role / "templates"))
    text = trust_as_template((ROLES / role / "templates" / name).read_text())
    return str(Templar(loader=loader, variables=variables).template(text, escape_backslashes=False))


def plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return {"yes": "true", "no": "false", "0": "false"}.get(str(value).lower(), str(value).lower())


def unevaluated(role: str) -> Iterator[str]:
    """What can't be evaluated with the case of a role, and conditions that are no booleans."""
    for where, template, own, is_condition in evaluated(role):
        try:
            result = outcome(role, base(role) | own, template, is_condition)
        except Exception as error:  # noqa: BLE001 - whatever it is
            yield f"{where}: {error}"
        else:
            if is_condition and not isinstance(result, bool):
                yield f"{where}: is no boolean"


@cache
def mentioned(role: str, text: str) -> frozenset[str]:
    """The names that a template's text mentions, and those that their values mention in turn."""
    templates = " ".join(path.read_text() for path in sorted((ROLES / role / "templates").glob("*")))
    found: set[str] = set()
    new = set(NAME.findall(text + (templates if "template" in text else "")))
    while new:
        found |= new
        values = [str(base(role)[name]) for name in new if name in base(role)]
        texts = [value + (templates if "template" in value else "") for value in values]
        new = {name for value in texts for name in NAME.findall(value)} - found
    return frozenset(found)


def concerned(role: str, path: str) -> list[tuple[str, Any, dict[str, Any], bool]]:
    """What is evaluated with an option's value."""
    name = path.partition("/")[0]
    return [unit for unit in evaluated(role) if name in mentioned(role, f"{unit[1]} {unit[2]}")]


def differences(role: str, path: str, kind: str) -> Iterator[str]:
    """Where a text does not mean what it says."""
    for value, texts in VALUES[kind].items():
        for where, template, own, is_condition in concerned(role, path):
            try:
                expected = outcome(role, changed(role, path, value) | own, template, is_condition)
            except Exception:  # noqa: BLE001 - a value that the role refuses
                continue
            for text in texts:
                if not is_alike(role, changed(role, path, text) | own, template, expected, is_condition):
                    yield f"{path} = {text!r}: {where}"


def is_alike(role: str, variables: dict[str, Any], template: Any, expected: Any, is_condition: bool) -> bool:
    try:
        found = outcome(role, variables, template, is_condition)
    except Exception:  # noqa: BLE001 - whatever it is
        return False
    return type(found) is type(expected) and found == expected


def main(role: str) -> None:
    """Print what is not alike."""
    init_plugin_loader([str(ROLES.parent / "collections")])
    found = [*unevaluated(role), *(text for path, kind in options(role) for text in differences(role, path, kind))]
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
