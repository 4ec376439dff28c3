# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' templates as Ansible renders them."""

from __future__ import annotations

import importlib
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).resolve().parents[3] / "roles"


def needed(role: str) -> list[str]:
    """Return the roles that a role depends on."""
    meta = yaml.safe_load((ROLES / role / "meta" / "main.yml").read_text(encoding="utf-8"))
    return [item["role"].rpartition(".")[2] for item in meta["dependencies"]]


def render(role: str, template: str, variables: Mapping[str, Any]) -> str:
    """Return a template of a role with its defaults and vars, changed by variables."""
    text = (ROLES / role / "templates" / template).read_text(encoding="utf-8")
    return str(evaluate(role, text, variables))


def evaluate(role: str, value: Any, variables: Mapping[str, Any]) -> Any:
    """Return what a text, or data with texts, is to a role with its defaults and vars, changed by variables."""
    loader = DataLoader()
    loader.set_basedir(str(ROLES / role / "templates"))
    files = [str(ROLES / name / part / "main.yml") for name in (*needed(role), role) for part in ("defaults", "vars")]
    known: dict[str, Any] = {"inventory_hostname": "host1"}
    for file in filter(os.path.exists, files):
        known |= loader.load_from_file(file, trusted_as_template=True)
    templar = Templar(loader=loader, variables=known | dict(variables))
    for name, function in filters():
        templar._engine.environment.filters[f"holdfast.ha.{name}"] = function
    return templar.template(trusted(value), escape_backslashes=False)


def trusted(value: Any) -> Any:
    """Return data whose texts are templates."""
    if isinstance(value, dict):
        return {key: trusted(part) for key, part in value.items()}
    if isinstance(value, list):
        return [trusted(part) for part in value]
    return trust_as_template(value) if isinstance(value, str) else value


def filters() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the collection's filters, which its own loader doesn't find beside pytest's."""
    for path in (ROLES.parent / "plugins" / "filter").glob("*.py"):
        plugin = importlib.import_module(f"ansible_collections.holdfast.ha.plugins.filter.{path.stem}")
        yield from plugin.FilterModule().filters().items()


def judge_arguments(role: str, **variables: str) -> list[str]:
    """Return what a role's judge is run with; what runs is its file."""
    vars_ = yaml.safe_load((ROLES / role / "vars" / "main.yml").read_text(encoding="utf-8"))
    environment = jinja2.Environment(autoescape=False)
    environment.filters["quote"] = shlex.quote
    files = ROLES / role / "files"
    known = {**variables, "lookup": lambda _plugin, name: (files / name).read_text(encoding="utf-8")}
    argv = shlex.split(environment.from_string(vars_[f"{role}__judge"]).render(known))
    assert argv[:4] == ["/usr/bin/python3", "-I", "-c", (files / "judge.py").read_text(encoding="utf-8")]
    return argv[4:]
