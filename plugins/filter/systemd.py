# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filters holdfast.ha.systemd_word and holdfast.ha.systemd_argument; documented in their yml files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.ha.plugins.plugin_utils import systemd


def _refusing(quote: Callable[[Any], str]) -> Callable[[Any], str]:
    def quoted(text: Any) -> str:
        try:
            return quote(text)
        except ValueError as error:
            raise AnsibleFilterError(str(error)) from error

    return quoted


class FilterModule:
    """Offer the filters to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"systemd_word": _refusing(systemd.word), "systemd_argument": _refusing(systemd.argument)}
