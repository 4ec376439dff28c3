# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.certificate_authority."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
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
from ansible_collections.holdfast.ha.plugins.plugin_utils.playbooks import interface, value_of

ARGUMENTS = argument_spec("certificate_authority")
ARGUMENTS["passphrase"]["no_log"] = True
VARIABLE = "certificates_ca_directory"
OF_HOSTS = {
    "passphrase": "certificates_ca_passphrase",
    "common_name": "certificates_ca_common_name",
    "validity_days": "certificates_ca_validity_days",
}
"""The hosts' variables that are options of an authority whose directory they name."""
GIVEN = "certificates_given"
REPLACE = "playbooks/site.yml -e certificates_replace_ca=true for all hosts"
NEXT = {
    Phase.TRUST: "hosts trust {following} beside {issuer}",
    Phase.ISSUE: "{issuer} issues all certificates; {former} is still trusted",
    Phase.DISTRUST: "hosts trust {issuer} only",
    Phase.SETTLED: "the authority is {issuer}",
}
"""What a phase means, in their order."""


@dataclass(frozen=True)
class Site:
    """An authority: its directory and options, and the hosts that it issues certificates for.

    title: what goes before all that is said of it, where there are several.
    """

    directory: AuthorityDirectory
    options: Mapping[str, Any]
    hosts: Sequence[str] = ()
    title: str = ""

    def say(self, text: str) -> None:
        """Show the user a line."""
        Display().display(f"{self.title}{text}")

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Name the authority in what is raised within the block."""
        try:
            yield
        except (RefusedError, OSError) as error:
            raise RefusedError(f"The authority in {self.directory.path}: {error}") from error

    def read(self) -> State:
        """Return the authority; raise RefusedError without one."""
        with self.named():
            found = self.directory.read()
            if found is None:
                raise RefusedError("there is none yet: run playbooks/site.yml first")
        return found

    def next_authority(self, found: State, now: datetime, *, dry: bool) -> list[Any]:
        """Return the certificates to be trusted for the next authority."""
        name, days = f"{self.options['common_name']} {now:%Y-%m-%d}", self.options["validity_days"]
        with self.named():
            return self.directory.next_authority(found, name, now, days, dry=dry)

    def begun(self, found: State, now: datetime) -> State:
        """Have hosts trust the next authority, too; return the state after it."""
        following = self.next_authority(found, now, dry=False)
        with self.named():
            return self.directory.begun(found, following)


Found = Sequence[tuple[Site, State]]


class ActionModule(ActionBase):
    """Create the authority, or take a step of its replacement."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return how far a replacement is, and what hosts are to trust."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        try:
            if arguments["state"] == "present":
                return result | self._present(arguments)
            found = [(site, site.read()) for site in sites_of(arguments, variables)]
            if arguments["state"] == "read":
                return result | told_all(found, [state for _site, state in found])
            if arguments["state"] == "rotating":
                return result | told_all(found, self._rotating(found, arguments, variables))
            return result | self._followed(found, arguments, variables)
        except (RefusedError, ValueError) as error:
            return result | {"failed": True, "msg": str(error)}

    def _present(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if not arguments["directory"]:
            raise RefusedError("directory: name the folder of the authority")
        site, now = site_at(arguments["directory"], arguments), datetime.now(UTC)
        name, days, again = arguments["common_name"], arguments["validity_days"], arguments["replace"]
        with site.named():
            if not self._task.check_mode:
                return told(*site.directory.present(name, now, days, again=again))
            found = site.directory.read()
        return told(found, None if found is not None and again and end(found.issuer) <= now else found)

    def _rotating(self, found: Found, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> list[State]:
        """Begin where it is due, once nothing is in the way of any; return the states after it."""
        now = datetime.now(UTC)
        after: dict[AuthorityDirectory, State] = {}
        due = [(site, state) for site, state in found if is_due(site, state, arguments["recent"], now)]
        for site, state in due:
            with site.named():
                refuse_unready(site, state, variables, now)
            following = site.next_authority(state, now, dry=True)
            trusted = tuple(dict.fromkeys([*following, *state.trusted]))
            after[site.directory] = replace(state, phase=Phase.TRUST, trusted=trusted, following=following[0])
        if not self._task.check_mode:
            after = {site.directory: site.begun(state, now) for site, state in due}
        return [after.get(site.directory, state) for site, state in found]

    def _followed(self, found: Found, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
        """Take the next step of each authority whose hosts have all followed."""
        after: list[State] = []
        left: dict[str, str] = {}
        why: list[str] = []
        for site, state in found:
            lacking, settled = lacking_of(site, arguments, variables), state.phase is Phase.SETTLED
            left |= lacking
            stays = self._task.check_mode or (settled and not {*lacking} & {*variables["ansible_play_hosts_all"]})
            if lacking and not stays:
                head = "not all is done" if settled else f"the replacement stays where it is: {described(state)}"
                why.append(f"{site.title}{head}. Mend what is left, see above, and run the same again")
            stays = stays or bool(lacking)
            after.append(state if stays else self._advanced(site, state, hold=arguments["hold"]))
        if why:
            Display().display("\n".join(["Left:", *(f"  - {host}: {text}" for host, text in left.items())]))
        failure = {"failed": True, "msg": "\n".join(why)} if why else {}
        return told_all(found, after) | {"left": left} | failure

    @staticmethod
    def _advanced(site: Site, found: State, *, hold: bool) -> State:
        followed = f"All {len(site.hosts)} hosts have followed"
        if hold:
            site.say(f"{followed}: {described(found)}. It stays so (rotate_hold).")
            return found
        with site.named():
            after = site.directory.advanced(found, datetime.now(UTC))
        site.say(f"{followed}. Next: {described(after)}.")
        return after


def is_due(site: Site, found: State, recent: float, now: datetime) -> bool:
    """Return whether to begin a replacement; say why not."""
    if found.phase is Phase.TRUST or (found.has_key and found.phase is not Phase.SETTLED):
        site.say(f"A replacement of the authority is under way: {described(found)}.")
        return False
    if not found.has_key:
        site.say("ca.key is missing: no certificate is issued or renewed until the next authority issues.")
        return True
    since = site.directory.rotated(found)
    seconds = recent if since is None else (now - since).total_seconds()
    if seconds < recent:
        minutes = f"took the place of another one {seconds / 60:.0f} minutes ago"
        site.say(f"Nothing is replaced: {described(found)}, which {minutes}. To replace it too: -e rotate_recent=0")
    return seconds >= recent


def refuse_unready(site: Site, found: State, variables: Mapping[str, Any], now: datetime) -> None:
    """Raise RefusedError where an authority can't be replaced in this run."""
    if end(found.issuer) <= now:
        raise RefusedError(f"it has ended, nobody accepts its certificates: run {REPLACE}")
    absent = [host for host in site.hosts if host not in variables["ansible_play_hosts_all"]]
    absent = [host for host in absent if host not in maintained(variables)]
    if absent:
        raise RefusedError(f"{', '.join(absent)} share it, and --limit leaves them out: run for all its hosts")
    own = [host for host in site.hosts if variables["hostvars"][host].get(GIVEN)]
    if own:
        raise RefusedError(f"{', '.join(own)} have certificates of your own ({GIVEN}): see docs/certificates.md")


def lacking_of(site: Site, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, str]:
    """Return the hosts of an authority that have not followed, each with what it lacks."""
    hosts = {host: variables["hostvars"][host] for host in site.hosts}
    register, proof = arguments["register"], arguments["proof_register"]
    return behind({host: (one.get(register), one.get(proof)) for host, one in hosts.items()})


def sites_of(arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> list[Site]:
    """Return the authority of the given directory, or all those of the run's hosts."""
    hostvars, here = variables["hostvars"], arguments["directory"]
    places: dict[str, list[str]] = {}
    for host in variables["groups"].get(arguments["group"], []):
        if place := hostvars[host].get(VARIABLE, here):
            places.setdefault(unfrackpath(place), []).append(host)
    if here:
        if unfrackpath(here) not in places:
            raise RefusedError(f"{VARIABLE} of no host is {here}; give all hosts of a cluster the same one")
        return [site_at(here, arguments, places[unfrackpath(here)])]
    # A limit also leaves out hosts in maintenance; without one they concern the run.
    hosts = {*variables["ansible_play_hosts_all"], *([] if variables.get("ansible_limit") else maintained(variables))}
    concerned = {place: of_place for place, of_place in places.items() if hosts & {*of_place}}
    if not concerned:
        raise RefusedError(f"{VARIABLE}: no host of this run has it; name the folder of the authority")
    return [
        site_at(
            place, {**arguments} | options_of(hostvars[named[0]]), named, f"{place}: " if len(concerned) > 1 else ""
        )
        for place, named in concerned.items()
    ]


def site_at(place: str, options: Mapping[str, Any], hosts: Sequence[str] = (), title: str = "") -> Site:
    """Return the authority in a directory."""
    return Site(AuthorityDirectory(Path(place).expanduser(), options["passphrase"]), options, hosts, title)


def options_of(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a host's variables set; raise ValueError for a value of another type."""
    told = {option: (name, variables.get(name)) for option, name in OF_HOSTS.items()}
    given = {option: value_of(*pair, interface(), is_shown=False) for option, pair in told.items()}
    return {option: value for option, value in given.items() if value is not None}


def maintained(variables: Mapping[str, Any]) -> list[str]:
    """Return the hosts in maintenance."""
    return list(variables["groups"].get("holdfast_maintenance", []))


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


def told_all(found: Found, after: Sequence[State]) -> dict[str, Any]:
    """Return the result of a step of several authorities: that of the one furthest behind, and each host's own."""
    results = [told(before, state) for (_site, before), state in zip(found, after, strict=True)]
    order = [phase.value for phase in NEXT]
    behind_all = min(results, key=lambda one: order.index(one["phase"]))
    authorities = {host: one for (site, _state), one in zip(found, results, strict=True) for host in site.hosts}
    return behind_all | {"changed": any(one["changed"] for one in results), "authorities": authorities}
