# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specs from the documentation of modules, the only place of types and defaults."""

from __future__ import annotations

from typing import Any

import yaml

CHECKED = ("type", "elements", "required", "default", "choices")


def argument_spec(documentation: str) -> dict[str, Any]:
    """Return the argument spec of an action plugin from its module's documentation."""
    options = yaml.safe_load(documentation)["options"]
    return {name: {key: option[key] for key in CHECKED if key in option} for name, option in options.items()}
