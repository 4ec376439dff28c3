# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No import of the drill's, the soak's, the exploration's or the evidence's runs back up."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import engine

PLUGIN_UTILS = Path(engine.__file__).parents[1]
PREFIX = "ansible_collections.holdfast.ha.plugins.plugin_utils."
# From the bottom to the top; a part, which is a file or a folder, imports from lower layers and from itself.
DRILL = (
    {"agent", "child", "plan", "verdict"},
    {"gate", "nodes", "packages"},
    {"harm"},
    {"faults"},
    {"injections", "patience", "report", "targets"},
    {"action", "gatekeeper", "process"},
    {"alerting", "clients", "etcd_admin"},
    {"conduct"},
    {"engine"},
)
SOAK = (
    {"judge", "lease", "schedule"},
    {"commands", "plan", "witness"},
    {"pgbench", "report"},
    {"engine"},
)
EXPLORE = (
    {"majority", "schedule"},
    {"kinds"},
    {"generate", "judge", "shrink"},
    {"records"},
    {"ladder", "timeline"},
    {"plan"},
    {"report"},
    {"engine"},
)
EVIDENCE = (
    {"life", "load", "recorder", "waits"},
    {"desk", "plan"},
    {"judge"},
    {"report"},
    {"engine"},
)
CONSISTENCY = (
    {"model"},
    {"graph", "history", "words"},
    {"dependencies", "direct"},
    {"cycles"},
    {"check"},
)
LAYERED = {"consistency": CONSISTENCY, "drill": DRILL, "soak": SOAK, "explore": EXPLORE, "evidence": EVIDENCE}
PACKAGES = ({"consistency", "rto"}, {"drill"}, {"evidence", "explore", "soak", "status"}, {"rolling"})


def modules(package: str) -> dict[str, Path]:
    """Return a package's modules by their dotted names within plugin_utils."""
    files = [path for path in (PLUGIN_UTILS / package).rglob("*.py") if path.name != "__init__.py"]
    return {".".join(path.relative_to(PLUGIN_UTILS).with_suffix("").parts): path for path in files}


def imported(path: Path, known: set[str]) -> Iterator[str]:
    """Yield what a module imports of known ones, for its annotations as well."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            named = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            yield from {name.removeprefix(PREFIX) for name in named} & known


def level(layers: tuple[set[str], ...], name: str) -> int:
    return next(number for number, names in enumerate(layers) if name in names)


def upward(layers: tuple[set[str], ...], arrows: set[tuple[str, str]]) -> list[str]:
    return sorted(f"{one} imports {other}" for one, other in arrows if level(layers, one) <= level(layers, other))


@pytest.mark.parametrize(("package", "layers"), LAYERED.items())
def test_parts_import_from_lower_layers_only(package: str, layers: tuple[set[str], ...]) -> None:
    found = modules(package)
    assert {name.split(".")[1] for name in found} == set.union(*layers)
    pairs = {(one.split(".")[1], other.split(".")[1]) for one in found for other in imported(found[one], set(found))}
    assert upward(layers, {(one, other) for one, other in pairs if one != other}) == []


@pytest.mark.parametrize("package", ["consistency", "drill", "soak", "explore", "evidence", "rto", "rolling"])
def test_modules_do_not_import_in_a_circle(package: str) -> None:
    found = modules(package)
    TopologicalSorter({name: set(imported(path, set(found))) for name, path in found.items()}).prepare()


def test_packages_import_from_lower_ones_only() -> None:
    every = {name: path for packages in PACKAGES for package in packages for name, path in modules(package).items()}
    pairs = {(one.split(".")[0], other.split(".")[0]) for one in every for other in imported(every[one], set(every))}
    assert {("drill", "rto"), ("soak", "drill"), ("status", "drill")} <= pairs
    assert upward(PACKAGES, {(one, other) for one, other in pairs if one != other}) == []


def test_the_agent_imports_nothing_else_of_the_collection_s_controller() -> None:
    """Its modules are shipped to the nodes."""
    found = modules("drill")
    every = {other for name in found if ".agent." in name for other in imported(found[name], set(found))}
    assert {other.split(".")[1] for other in every} == {"agent"}
