# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosts' reports from Ansible's variables, and lines on Ansible's display."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.render import Line
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import SQL_ROLES
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.sql_names import named


def report(variables: Mapping[str, Any], register: str) -> dict[str, Any]:
    """Return a host's report for observe() from its variables."""
    seen = variables.get(register) or {}
    reason = None
    if "probes" not in seen:
        reason = str(seen.get("msg") or "no answer").strip().splitlines()[-1].removeprefix("Task failed: ")
    own = named(variables, SQL_ROLES).values()
    return {"ha": variables["ha"], "unreachable": reason, "probes": seen.get("probes"), "own_roles": list(own)}


def show(clusters: Iterable[Iterable[Line]]) -> None:
    """Show the clusters, separated by empty lines, in color where Ansible's own output is."""
    for number, lines in enumerate(clusters):
        if number:
            Display().display("")
        for text, color in lines:
            Display().display(text, color=color)
