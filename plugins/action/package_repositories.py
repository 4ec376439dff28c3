# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action before the module holdfast.ha.package_repositories: reads the keys from files on the controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.ha.plugins.plugin_utils.package_keys import KeyFileError, with_key


class ActionModule(ActionBase):
    """Put the keys' contents into the repositories, then run the module."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        repositories = self._task.args.get("repositories") or []
        try:
            found = [with_key(item, self._loader) if isinstance(item, Mapping) else item for item in repositories]
        except KeyFileError as error:
            raise AnsibleActionFail(str(error)) from None
        arguments = {**self._task.args, "repositories": found}
        return result | self._execute_module(module_args=arguments, task_vars=task_vars)
