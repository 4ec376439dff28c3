# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module's options as its documentation has them: types and defaults stand there only."""

from __future__ import annotations

from typing import Any

import yaml

CHECKED = ("type", "elements", "required", "default", "choices")


def argument_spec(documentation: str) -> dict[str, Any]:
    """Return what an action plugin validates its arguments with."""
    options = yaml.safe_load(documentation)["options"]
    return {name: {key: option[key] for key in CHECKED if key in option} for name, option in options.items()}
