# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.certificate_authority."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.path import unfrackpath
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_x509 import end
from ansible_collections.holdfast.ha.plugins.plugin_utils.authority_files import AuthorityDirectory, Phase, State
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import RefusedError
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.followers import behind

ARGUMENTS = argument_spec("certificate_authority")
ARGUMENTS["passphrase"]["no_log"] = True
VARIABLE = "certificates_ca_directory"
GIVEN = "certificates_given"
REPLACE = "playbooks/site.yml -e certificates_replace_ca=true for all hosts"
NEXT = {
    Phase.TRUST: "hosts trust {following} beside {issuer}",
    Phase.ISSUE: "{issuer} issues all certificates; {former} is still trusted",
    Phase.DISTRUST: "hosts trust {issuer} only",
    Phase.SETTLED: "the authority is {issuer}",
}


class ActionModule(ActionBase):
    """Create the authority, or take a step of its replacement."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return how far a replacement is, and what hosts are to trust."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        directory = AuthorityDirectory(Path(arguments["directory"]).expanduser(), arguments["passphrase"])
        try:
            before = directory.read()
            if arguments["state"] == "present":
                return result | told(before, self._present(directory, before, arguments))
            if before is None:
                raise RefusedError(f"{directory.path} has no authority yet: run playbooks/site.yml first")
            if arguments["state"] == "read":
                return result | told(before, before)
            if arguments["state"] == "rotating":
                return result | told(before, self._rotating(directory, before, arguments, task_vars or {}))
            return result | self._followed(directory, before, arguments, task_vars or {})
        except (RefusedError, OSError) as error:
            return result | {"failed": True, "msg": f"The authority: {error}"}

    def _present(
        self, directory: AuthorityDirectory, found: State | None, arguments: Mapping[str, Any]
    ) -> State | None:
        now = datetime.now(UTC)
        if found is not None and not (arguments["replace"] and end(found.issuer) <= now):
            return found
        if self._task.check_mode:
            return None
        return directory.create(arguments["common_name"], now, arguments["validity_days"])

    def _rotating(
        self, directory: AuthorityDirectory, found: State, arguments: Mapping[str, Any], variables: Mapping[str, Any]
    ) -> State:
        now = datetime.now(UTC)
        if found.phase is not Phase.SETTLED:
            Display().display(f"A replacement of the authority is under way: {described(found)}.")
            return found
        if end(found.issuer) <= now:
            raise RefusedError(f"it has ended, nobody accepts its certificates: run {REPLACE}")
        if directory.age(now) < arguments["recent"]:
            text = f"The authorities changed {directory.age(now) / 60:.0f} minutes ago; they stay as they are"
            Display().display(f"{text} for {arguments['recent']:g} seconds (rotate_recent).")
            return found
        absent = [host for host in hosts_of(arguments, variables) if host not in variables["ansible_play_hosts_all"]]
        absent = [host for host in absent if host not in variables["groups"].get("holdfast_maintenance", [])]
        if absent:
            raise RefusedError(f"{', '.join(absent)} share it, and --limit leaves them out: run for all its hosts")
        own = [host for host in hosts_of(arguments, variables) if variables["hostvars"][host].get(GIVEN)]
        if own:
            raise RefusedError(f"{', '.join(own)} have certificates of your own ({GIVEN}): see docs/certificates.md")
        name, days = f"{arguments['common_name']} {now:%Y-%m-%d}", arguments["validity_days"]
        following = directory.next_authority(name, now, days, dry=self._task.check_mode)
        if self._task.check_mode:
            trusted = tuple(dict.fromkeys([*following, *found.trusted]))
            return replace(found, phase=Phase.TRUST, trusted=trusted, following=following[0])
        return directory.begun(found, following)

    def _followed(
        self, directory: AuthorityDirectory, found: State, arguments: Mapping[str, Any], variables: Mapping[str, Any]
    ) -> dict[str, Any]:
        hosts = {host: variables["hostvars"][host] for host in hosts_of(arguments, variables)}
        left = behind(
            {
                host: (one.get(arguments["register"]), one.get(arguments["proof_register"]))
                for host, one in hosts.items()
            }
        )
        stays = told(found, found) | {"left": left}
        settled = found.phase is Phase.SETTLED
        if self._task.check_mode or (settled and not set(left) & {*variables["ansible_play_hosts_all"]}):
            return stays
        if left:
            Display().display("\n".join(["Left:", *(f"  - {host}: {text}" for host, text in left.items())]))
            head = "not all is done" if settled else f"the replacement stays where it is: {described(found)}"
            return stays | {"failed": True, "msg": f"{head}. Mend what is left, see above, and run the same again"}
        if arguments["hold"]:
            Display().display(f"All {len(hosts)} hosts have followed: {described(found)}. It stays so (rotate_hold).")
            return stays
        after = directory.advanced(found)
        Display().display(f"All {len(hosts)} hosts have followed. Next: {described(after)}.")
        return told(found, after) | {"left": left}


def hosts_of(arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> list[str]:
    """Return the hosts that this authority issues certificates for."""
    hostvars, here = variables["hostvars"], arguments["directory"]
    hosts = variables["groups"].get(arguments["group"], [])
    found = [host for host in hosts if unfrackpath(hostvars[host].get(VARIABLE, here)) == unfrackpath(here)]
    if not found:
        raise RefusedError(f"{VARIABLE} of no host is {here}; give all hosts of a cluster the same one")
    return found


def described(state: State) -> str:
    """Return how far a replacement is, in words."""
    parts = {name: getattr(state, name) for name in ("issuer", "following", "former")}
    return NEXT[state.phase].format(**{name: one and one.subject.rfc4514_string() for name, one in parts.items()})


def told(before: State | None, after: State | None) -> dict[str, Any]:
    """Return the result of a step."""
    return {
        "changed": before != after or after is None,
        "before": before.phase.value if before else "",
        "phase": after.phase.value if after else "",
        "issuer": after.issuer.subject.rfc4514_string() if after else "",
        "issuer_content": after.chain if after else "",
        "ca_content": after.bundle if after else "",
    }
