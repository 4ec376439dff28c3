# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.maintenance_plan."""

from __future__ import annotations

import getpass
import socket
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.maintenance import (
    RefusedError,
    Wish,
    known_host,
    maintained,
    plan,
)

ARGUMENTS = argument_spec("maintenance_plan")


class ActionModule(ActionBase):
    """Plan how a host goes into maintenance or comes back."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the plan, or fail with every reason against it."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        playing = set(variables["ansible_play_hosts_all"])
        known = {
            name: known_host(variables["hostvars"][name], arguments["register"], plays=name in playing)
            for name in variables["groups"].get(arguments["group"], [])
        }
        if not arguments["asked"]:
            seen = maintained(known)
            others = [item.host for item in seen if item.left_out]
            half = [{"cluster": known[item.host].cluster, "text": item.half} for item in seen if not item.agreed]
            return {**result, "others": others, "half": half}
        now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        by = f"{getpass.getuser()}@{socket.gethostname()}"
        out, back, reason = (str(arguments[name]).strip() for name in ("out", "back", "reason"))
        try:
            return {**result, **plan(Wish(out, back, reason, now, by), known).as_data()}
        except RefusedError as error:
            return {**result, "failed": True, "msg": f"refused before anything was touched: {error}"}
