# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action around the module holdfast.ha.certificate: the authority on the controller issues missing ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import (
    Authority,
    RefusedError,
    claim,
    foreign_facts,
    public_key_of,
)

ONLY_HERE = frozenset({"authority_passphrase"})


class ActionModule(ActionBase):
    """Run the module; issue the missing certificates, and run the module again to install them."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result, over both runs."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        foreign = foreign_facts(variables.get("ansible_facts", {}))
        if foreign:
            return result | {"failed": True, "msg": FOREIGN.format(names=", ".join(foreign))}
        arguments = {name: value for name, value in self._task.args.items() if name not in ONLY_HERE}
        examined = self._execute_module(module_args=arguments, task_vars=variables)
        if examined.get("failed") or not examined.get("requests"):
            return result | examined
        try:
            signed = self._signed(requests_by_path(examined["requests"]))
        except (RefusedError, OSError) as error:
            return result | {"failed": True, "msg": f"The host gets no certificate: {error}"}
        installed = self._execute_module(module_args={**arguments, "signed": signed}, task_vars=variables)
        return result | installed | ({} if installed.get("failed") else merged(examined, installed))

    def _signed(self, requests: Mapping[str, str]) -> dict[str, str]:
        """Issue the certificates that the arguments describe; a request supplies the public key only."""
        directory = Path(self._task.args["authority_directory"]).expanduser()
        authority = Authority.load(
            (directory / "ca.crt").read_bytes(),
            (directory / "ca.key").read_bytes(),
            str(self._task.args.get("authority_passphrase") or ""),
        )
        days = int(self._task.args.get("validity_days", 730))
        now = datetime.now(UTC)
        signed = {}
        for entry in self._task.args["certificates"]:
            wanted = Wanted.from_entry(entry)
            if wanted.path in requests:
                public_key = public_key_of(requests[wanted.path])
                claim(directory / "issued", public_key, wanted.common_name or wanted.unit_name)
                signed[wanted.path] = authority.issue(public_key, wanted, now, days)
        return signed


FOREIGN = "The host may be compromised: its facts have {names}, which only the inventory may set; nothing was issued"


def requests_by_path(requests: Any) -> dict[str, str]:
    """Return a host's signing requests by path; raise RefusedError where it answers anything else."""
    try:
        found = {request["path"]: request["csr"] for request in requests}
    except (TypeError, KeyError) as error:
        raise RefusedError("its answer holds no signing requests") from error
    if not all(isinstance(part, str) for pair in found.items() for part in pair):
        raise RefusedError("its answer holds no signing requests")
    return found


def merged(examined: Mapping[str, Any], installed: Mapping[str, Any]) -> dict[str, Any]:
    """Return the combined result of two runs of the module."""
    paths = sorted({*examined["changed_paths"], *installed["changed_paths"]})
    return {"changed": True, "changed_paths": paths, "reasons": examined["reasons"], "diff": examined["diff"]}
