# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role metrics lays down is all that the service needs, and what is left when it goes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.metrics_settings import parse

from tests.unit.roles.render import ROLES, evaluate, render

MODULES = ROLES.parent / "plugins" / "module_utils"
INPUTS = {"role_path": str(ROLES / "metrics"), "inventory_hostname": "db1", "metrics_profile": {"ttl": 20.0}}


def needed(*names: str) -> set[str]:
    """Return modules and all that they import of the collection."""
    found: set[str] = set()
    new = set(names)
    while new:
        found |= new
        texts = [(MODULES / f"{name}.py").read_text(encoding="utf-8") for name in new]
        new = {name for text in texts for name in imported(text)} - found
    return found


def imported(text: str) -> list[str]:
    package = r"^from ansible_collections\.holdfast\.ha\.plugins\.module_utils"
    several = re.findall(package + r" import (\([^)]*\)|.*)$", text, re.MULTILINE)
    single = re.findall(package + r"\.(\w+) import", text, re.MULTILINE)
    return [*single, *(name for names in several for name in re.findall(r"\w+", names))]


def laid_down(role: str, variable: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = evaluate(role, "{{ " + variable + " }}", {"role_path": str(ROLES / role)})
    return found


def test_every_module_that_the_service_imports_is_laid_down_once():
    names = [Path(item["path"]).stem for item in laid_down("metrics", "metrics__code")]
    assert sorted(names) == sorted(needed("metrics", "metrics_survey"))


def test_the_sources_are_the_collection_s_own_modules():
    for item in laid_down("metrics", "metrics__code"):
        assert Path(item["source"]).resolve() == MODULES / Path(item["path"]).name


def test_no_other_role_removes_what_the_service_imports():
    removed = set(evaluate("restore_verify", "{{ restore_verify__absent }}", {"role_path": "/x"}))
    assert {item["path"] for item in laid_down("metrics", "metrics__code")} & removed == set()


def test_what_goes_is_not_what_other_programs_import():
    gone = {Path(path).stem for path in evaluate("metrics", "{{ metrics__absent }}", INPUTS) if path.endswith(".py")}
    assert gone == {"metrics", "metrics_settings", "metrics_survey", "metrics_text"}


def test_the_service_takes_what_the_role_writes():
    document = evaluate("metrics", "{{ metrics__settings | to_nice_json }}", INPUTS)
    settings = parse(json.loads(document))
    assert (settings.host, settings.interval, settings.profile) == ("db1", 15, {"ttl": 20.0})
    assert settings.directory == "/run/holdfast-metrics"


def test_the_unit_can_write_to_its_own_directory_only():
    unit = render("metrics", "holdfast-metrics.service.j2", INPUTS)
    assert "User=holdfast-metrics\n" in unit
    assert "RuntimeDirectory=holdfast-metrics\n" in unit
    assert "ProtectSystem=strict\n" in unit
    assert "ReadWritePaths" not in unit
