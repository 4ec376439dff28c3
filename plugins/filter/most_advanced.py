# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter holdfast.ha.most_advanced; documented in most_advanced.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_position import (
    Position,
    PositionError,
    most_advanced,
)


def by_name(positions: Mapping[str, Mapping[str, Any] | None], leader: str = "") -> str:
    """Return the member's name; see DOCUMENTATION."""
    try:
        return most_advanced({name: Position(**each) if each else None for name, each in positions.items()}, leader)
    except (PositionError, TypeError) as error:
        raise AnsibleFilterError(f"most_advanced: {error}") from error


class FilterModule:
    """Offer the filter to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"most_advanced": by_name}
