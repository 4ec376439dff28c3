# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters holdfast.ha.certificate_units and holdfast.ha.certificate_ports; documented in their yml files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_readers import (
    certificate_ports,
    certificate_units,
)


class FilterModule:
    """Offer the filters to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"certificate_units": certificate_units, "certificate_ports": certificate_ports}
