# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action around the module holdfast.ha.firewall: with a new table, a host is asked over a new connection."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Close the connection before the host is asked what it reaches with its new table."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result. A host that can't be reached any more is unreachable."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        reset = getattr(self._connection, "reset", None)
        if self._task.args.get("state") == "probed" and reset and not self._task.check_mode:
            reset()
        return result | self._execute_module(task_vars=task_vars)
