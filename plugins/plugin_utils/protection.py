# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a host's software other upgrades must leave alone: its packages and the units that they start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import Component, installed_on

OWN_UNITS = "holdfast-*"
"""The units that the collection itself lays down, all of which run programs of the stack."""


def component_units(ha: Mapping[str, Any], first: bool = False) -> list[dict[str, str]]:
    """Return the services of a host's components: {component, unit}, in the order of deployment; first: one of each."""
    most = 1 if first else None
    return [{"component": part.name, "unit": unit} for part in _components(ha) for unit in part.units[:most]]


def protection(ha: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return packages and units that only playbooks may upgrade and restart.

    packages: regular expressions of whole names. units: patterns with `*`, each ending with a unit's suffix.
    """
    parts = _components(ha)
    own = {*ha["packages"]}
    # A pattern of the registry covers some of the declared names.
    others = [pattern for part in parts for pattern in part.other_packages]
    names = [re.escape(name).replace(r"\-", "-") for name in sorted(own) if not _covered(name, others)]
    units = [unit for part in parts for unit in (*part.units, *part.other_units) if not unit.startswith(OWN_UNITS[:-1])]
    return {"packages": [*names, *others], "units": [*units, f"{OWN_UNITS}.service"]}


def _covered(name: str, patterns: list[str]) -> bool:
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def _components(ha: Mapping[str, Any]) -> list[Component]:
    return installed_on(ha["components"], {name for member in ha["members"] for name in member["components"]})
