# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds a topology from the good base and a case's changes; starts a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.build import Topology, build
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import ROLES
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Inventory
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import RoleSpec, load_roles
from playwright.sync_api import Browser, sync_playwright

from tests.unit.plugins.plugin_utils.browsing import CHROMIUM

UNIT = Path(__file__).resolve().parents[2]
BASE = yaml.safe_load((UNIT / "data" / "topology_base.yml").read_text(encoding="utf-8"))
Case = Mapping[str, Any]


@pytest.fixture(scope="session")
def roles() -> dict[str, RoleSpec]:
    """The collection's own roles."""
    return load_roles(UNIT.parents[1], ROLES)


@pytest.fixture
def build_case(roles: dict[str, RoleSpec]) -> Callable[[Case], Topology]:
    """Builds the base with a case's changes."""
    return lambda case: build(changed_document(case), inventory(case), roles)


@pytest.fixture
def document_of() -> Callable[[Case], Any]:
    """The topology file of the base with a case's changes."""
    return changed_document


def changed_document(case: Case) -> Any:
    """The base's topology file with a case's changes."""
    document = merge(BASE["document"], case.get("document", {}))
    return merge(document, {"clusters": {"lab": case["cluster"]}} if "cluster" in case else {})


def inventory(case: Case) -> Inventory:
    """The base's hosts and groups with a case's changes."""
    hosts = merge(BASE["hosts"], case.get("hosts", {}))
    common = merge(BASE["all"], case.get("all", {}))
    groups = merge(BASE["groups"], case.get("groups", {}))
    everyone = {"all": sorted(hosts), **groups}
    return Inventory(
        {name: merge(common, variables) for name, variables in hosts.items()},
        {name: tuple(members) for name, members in everyone.items()},
    )


def merge(base: Any, changes: Any) -> Any:
    """Mappings are merged, None removes a key, anything else replaces."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return deepcopy(changes)
    merged = {**deepcopy(base), **{key: merge(base.get(key), value) for key, value in changes.items()}}
    return {key: value for key, value in merged.items() if value is not None}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
