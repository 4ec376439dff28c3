# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters holdfast.ha.component_units and holdfast.ha.protection; documented in their yml files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.protection import component_units, protection


class FilterModule:
    """Offer the filters to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"component_units": component_units, "protection": protection}
