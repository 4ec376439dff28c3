# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.rotation_plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.node import suggestion
from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation.choice import (
    PASSWORDS,
    Choice,
    RefusedError,
    choose,
    short,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation.render import plan_lines
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    FORMER_SECRETS,
    ROLE_PASSWORDS,
    SECRET_VARIABLES,
)

ARGUMENTS = argument_spec("rotation_plan")


class ActionModule(ActionBase):
    """Judge what is to be rotated, and show what is left to do."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return parts, names and former, or fail with the reason."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        hosts = list(variables["groups"].get(arguments["group"], []))
        told = [variables["hostvars"][host] for host in hosts]
        try:
            refuse_unknown(arguments["without"], hosts)
            choice = choose(arguments["rotate"], sorted(keys_of(told, ROLE_PASSWORDS)))
            if arguments["moves"] is None:
                return result | {"parts": list(choice.parts), "names": [], "former": []}
            former = [name for name in choice.names if name in former_names(told)]
            names = due(choice, arguments["moves"], former)
        except RefusedError as error:
            return result | {"failed": True, "msg": f"refused before anything was touched: {error}"}
        for line in plan_lines(arguments["moves"], names, former) if PASSWORDS in choice.parts else ():
            Display().display(line)
        return result | {"parts": list(choice.parts), "names": names, "former": former}


def due(choice: Choice, moves: Mapping[str, Mapping[str, Any]], former: Sequence[str]) -> list[str]:
    """Return the chosen secrets with anything left to do, as hosts tell of them. Raises RefusedError.

    Files have several secrets, so that a run can't leave a changed one alone.
    """
    if PASSWORDS not in choice.parts:
        return []
    changed = dict.fromkeys(name for left in moves.values() for name in left["settles"])
    chosen = [short(name) for name in choice.names]
    unnamed = [name for name in changed if name not in chosen]
    if unnamed:
        text = f"{', '.join(unnamed)} differ from the deployed ones, too"
        raise RefusedError(f"rotate: {text}: name them as well, or take the change back")
    return [name for name in chosen if name in changed or name in map(short, former)]


def keys_of(told: Iterable[Mapping[str, Any]], variable: str) -> set[str]:
    """Return the keys of a variable of all hosts."""
    return {str(key) for variables in told for key in variables.get(variable) or {}}


def former_names(told: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the dotted names of the secrets that have a former value."""
    return {f"{name}.{key}" for name in SECRET_VARIABLES for key in keys_of(told, FORMER_SECRETS[name])}


def refuse_unknown(without: Sequence[str], hosts: Sequence[str]) -> None:
    """Raise RefusedError for hosts that the inventory lacks."""
    for host in without:
        if host not in hosts:
            raise RefusedError(f"rotate_without: {host} is no host of a cluster; {suggestion(host, hosts)}")
