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
from ansible_collections.holdfast.ha.plugins.plugin_utils.authority_files import AuthorityDirectory, Phase
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import (
    RefusedError,
    claim,
    foreign_facts,
    lifetime,
    public_key_of,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import module_options
from ansible_collections.holdfast.ha.plugins.plugin_utils.given_certificates import problems, read_given

OPTIONS = module_options("certificate")
VALIDITY, RENEW = (OPTIONS[name]["default"] for name in ("validity_days", "renew_before_days"))
ONLY_HERE = frozenset({"authority_passphrase", "given"})


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
        arguments["renew_before_days"] = min(int(arguments.get("renew_before_days", RENEW)), self._days // 2)
        try:
            arguments |= self._given() or self._issuing()
            examined = self._execute_module(module_args=arguments, task_vars=variables)
            if examined.get("failed") or not examined.get("requests"):
                return result | examined
            signed = self._signed(requests_by_path(examined["requests"]))
        except (RefusedError, OSError) as error:
            return result | {"failed": True, "msg": f"The host gets no certificate: {error}"}
        installed = self._execute_module(module_args={**arguments, "signed": signed}, task_vars=variables)
        return result | installed | ({} if installed.get("failed") else merged(examined, installed))

    @property
    def _days(self) -> int:
        return int(self._task.args.get("validity_days", VALIDITY))

    @property
    def _directory(self) -> AuthorityDirectory:
        passphrase = str(self._task.args.get("authority_passphrase") or "")
        return AuthorityDirectory(Path(self._task.args["authority_directory"]).expanduser(), passphrase)

    @property
    def _wanted(self) -> list[Wanted]:
        return [Wanted.from_entry(entry) for entry in self._task.args["certificates"]]

    def _issuing(self) -> dict[str, Any]:
        """The arguments that a directory's authority sets: who issues, and whether renewals wait for the next."""
        state = self._directory.read()
        waits = state is not None and state.phase is not Phase.SETTLED and not state.has_key
        return ({"issuer": state.accepted} if state else {}) | ({"renew_before_days": 0} if waits else {})

    def _given(self) -> dict[str, Any]:
        """The arguments with the user's own certificates and key; {} where none are given."""
        if not self._task.args.get("given"):
            return {}
        given = read_given(self._task.args["given"], self._loader)
        found = problems(given, self._wanted, self._task.args["ca_content"], datetime.now(UTC))
        if found:
            raise RefusedError("; ".join(found))
        return {"private_key": given.key, "signed": {one.path: given.of(one) for one in self._wanted}}

    def _signed(self, requests: Mapping[str, str]) -> dict[str, str]:
        """Issue the certificates that the arguments describe; a request supplies the public key only."""
        directory = self._directory
        authority = directory.issuing()
        days, now = self._days, datetime.now(UTC)
        signed = {}
        for wanted in self._wanted:
            if wanted.path in requests:
                public_key, host = public_key_of(requests[wanted.path]), wanted.common_name or wanted.unit_name
                claim(directory.path / "issued", public_key, host)
                signed[wanted.path] = authority.issue(public_key, wanted, now, lifetime(days, host))
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
