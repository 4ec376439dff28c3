# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The topology's modules stand in layers: each imports from layers below its own only, so there is no circle."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TOPOLOGY = Path(__file__).resolve().parents[5] / "plugins" / "plugin_utils" / "topology"
LAYERS = (
    ("tcp",),
    ("components", "timing", "document", "dynamic_configuration", "job_rules", "option_types", "repositories"),
    ("schema", "roles"),
    ("model",),
    ("extensions", "hosts", "monitoring", "pool_targets", "vrrp"),
    ("pools",),
    ("parse", "derive"),
    ("addresses", "connection_rules", "lease_rules", "ports", "required_secrets", "sql_names", "vrrp_rules"),
    ("validate", "variables"),
    ("build",),
)
"""From what imports no neighbour to what puts everything together."""

BELOW = ("module_utils", "reading", "secret_text")
"""What the topology takes from the rest of the collection."""


def imported(module: str) -> set[str]:
    """Return the neighbours that a module imports, and whatever else of the collection by its folder or name."""
    found = set()
    for node in ast.walk(ast.parse((TOPOLOGY / f"{module}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and "holdfast" in str(node.module):
            path = str(node.module).rpartition("plugins.")[2].removeprefix("plugin_utils.")
            folder, _dot, name = path.partition(".")
            if folder != "topology":
                found.add(folder)
            else:
                found |= {name} if name else {alias.name for alias in node.names}
    return found


def test_every_module_has_a_layer():
    assert {path.stem for path in TOPOLOGY.glob("*.py")} - {"__init__"} == {name for layer in LAYERS for name in layer}


@pytest.mark.parametrize(
    ("number", "module"), [(number, name) for number, layer in enumerate(LAYERS) for name in layer], ids=str
)
def test_a_module_imports_from_below(number, module):
    assert imported(module) <= {*BELOW, *(name for layer in LAYERS[:number] for name in layer)}
