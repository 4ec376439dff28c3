# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles' templates as Ansible renders them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).resolve().parents[3] / "roles"


def render(role: str, template: str, variables: Mapping[str, Any]) -> str:
    """Return a template of a role with its defaults and vars, changed by variables."""
    loader = DataLoader()
    loader.set_basedir(str(ROLES / role / "templates"))
    files = [str(ROLES / role / part / "main.yml") for part in ("defaults", "vars")]
    known: dict[str, Any] = {"inventory_hostname": "host1"}
    for file in files:
        known |= loader.load_from_file(file, trusted_as_template=True)
    text = (ROLES / role / "templates" / template).read_text(encoding="utf-8")
    templar = Templar(loader=loader, variables=known | dict(variables))
    return str(templar.template(trust_as_template(text), escape_backslashes=False))
