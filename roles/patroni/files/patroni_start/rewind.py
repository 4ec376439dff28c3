# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory that pg_rewind failed on is removed only while replication is synchronous.

What only a former primary has was then never acknowledged. Patroni's setting alone stays on when an operator turns
synchronous replication off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

REWIND_FAILURE = "remove_data_directory_on_rewind_failure"


class Removal:
    """Whether a data directory that pg_rewind failed on may be removed."""

    def __init__(self) -> None:
        self._synchronous = False

    def noting(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's step before a rewind (Ha._handle_rewind_or_reinitialize), which notes the mode."""

        def note_and_handle(ha: Any) -> Any:
            self._synchronous = bool(ha.is_synchronous_mode())
            return handle(ha)

        return note_and_handle

    def limiting(self, get: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's read of a local setting (ConfigHandler.get), false for the removal when asynchronous."""

        def get_limited(config: Any, key: str, *args: Any) -> Any:
            value = get(config, key, *args)
            return value if key != REWIND_FAILURE or self._synchronous else False

        return get_limited


def replacements(handle: Any, get: Any, _mode: Any) -> Mapping[str, Any]:
    """Return the replacements of Removal."""
    removal = Removal()
    return {
        "patroni.ha:Ha._handle_rewind_or_reinitialize": removal.noting(handle),
        "patroni.postgresql.config:ConfigHandler.get": removal.limiting(get),
    }
