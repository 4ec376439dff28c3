# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter holdfast.ha.profile_seconds; documented in profile_seconds.yml."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import LOSSES
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.declared import profile_seconds


class FilterModule:
    """Offer the filter to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"profile_seconds": partial(profile_seconds, losses=LOSSES)}
