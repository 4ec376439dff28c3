# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.rolling_summary."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.model import Left
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.render import not_done, summary_lines
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.reports import show

ARGUMENTS = argument_spec("rolling_summary")


class ActionModule(ActionBase):
    """Show what work that goes host by host has done."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what is left to do."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        done = arguments["done"]
        left = [*not_done(arguments["steps"], done), *(Left(**item) for item in arguments["left"])]
        show([summary_lines(arguments["verb"], arguments["steps"], done, left, arguments["waits"])])
        return {**result, "left": [item.as_data() for item in left]}
