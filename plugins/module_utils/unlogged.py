# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module whose parameters may hold secrets under any name."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule


class UnloggedModule(AnsibleModule):
    """A module whose parameters reach neither the host's log nor the result.

    The controller says with each call whether to log, which overrides ``no_log`` of the module itself.
    """

    def _log_invocation(self) -> None:
        """Log nothing."""

    def _return_formatted(self, kwargs: dict[str, Any]) -> None:
        """Return a result without the parameters, which a user sees with ``-vvv``."""
        super()._return_formatted({"invocation": {"module_args": {}}, **kwargs})
