# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The changelog has every module, plugin and role of the tree, and no other."""

from __future__ import annotations

import re
from importlib import import_module
from itertools import chain

import pytest
import yaml

from tests.unit.docs.shell_blocks import ROOT

RELEASES = yaml.safe_load((ROOT / "changelogs/changelog.yaml").read_text(encoding="utf-8"))["releases"].values()
KINDS = {
    "module": "plugins/modules",
    "callback": "plugins/callback",
    "filter": "plugins/filter",
    "inventory": "plugins/inventory",
    "lookup": "plugins/lookup",
    "role": "roles",
}
"""What a user calls by name, and the folders of it."""


def in_tree(kind):
    folder = ROOT / KINDS[kind]
    if kind == "role":
        return sorted(path.parent.parent.name for path in folder.glob("*/meta/main.yml"))
    files = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    if kind == "filter":
        loaded = (import_module(f"ansible_collections.holdfast.ha.plugins.filter.{name}") for name in files)
        return sorted(chain.from_iterable(module.FilterModule().filters() for module in loaded))
    return files


def in_changelog(kind):
    listed = chain.from_iterable(
        release.get("modules", []) if kind == "module" else found.get(kind, [])
        for release in RELEASES
        for found in [release.get("plugins", {}) | release.get("objects", {})]
    )
    return sorted(entry["name"] for entry in listed)


@pytest.mark.parametrize("kind", KINDS)
def test_the_changelog_has_what_the_tree_has(kind):
    assert in_changelog(kind) == in_tree(kind)


def test_the_page_has_what_the_changelog_has():
    page = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").replace("\\", "")
    named = re.findall(r"^\* holdfast\.ha\.(\w+) - ", page, re.MULTILINE)
    assert sorted(named) == sorted(chain.from_iterable(map(in_changelog, KINDS)))
