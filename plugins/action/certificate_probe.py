# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action around the module holdfast.ha.certificate_probe: issues the client's certificate for the handshakes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted
from ansible_collections.holdfast.ha.plugins.plugin_utils.authority_files import AuthorityDirectory
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import (
    Authority,
    RefusedError,
    public_key_of,
)


class ActionModule(ActionBase):
    """Run the module; issue the certificate it asks for, and run it again."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = {name: value for name, value in self._task.args.items() if name != "authority_passphrase"}
        try:
            stranger = self._stranger()
            if stranger is None:
                arguments["phase"] = "settled"
            examined = self._execute_module(module_args=arguments, task_vars=task_vars)
            if stranger is None or examined.get("failed") or "csr" not in examined:
                return result | examined
            signed = self._signed(stranger, str(examined["csr"]))
        except (RefusedError, OSError) as error:
            return result | {"failed": True, "msg": f"The host can't be probed: {error}"}
        return result | self._execute_module(module_args={**arguments, "signed": signed}, task_vars=task_vars)

    def _stranger(self) -> Authority | None:
        """The authority whose client is tried, None for none, as where the former one's key is lost."""
        args = self._task.args
        passphrase = str(args.get("authority_passphrase") or "")
        directory = AuthorityDirectory(Path(args["authority_directory"]).expanduser(), passphrase)
        if args["phase"] == "trust":
            return directory.authority("next")
        return directory.leaving() if args["phase"] == "distrust" else None

    def _signed(self, stranger: Authority, request: str) -> str:
        wanted = Wanted.from_entry(self._task.args["certificate"])
        return stranger.issue(public_key_of(request), wanted, datetime.now(UTC), 0.05)
