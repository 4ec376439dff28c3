# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.preflight_report."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.plugins.action import ActionBase
from ansible.release import __version__ as ansible_version
from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.module_utils.host_preflight import WARNING, Finding
from ansible_collections.holdfast.ha.plugins.plugin_utils import preflight
from ansible_collections.holdfast.ha.plugins.plugin_utils.authority_files import AuthorityDirectory
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import RefusedError
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.changed_secrets import moves_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.declared import host_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.judge import judge, why_not_without, words_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import Host
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.versions import versions
from ansible_collections.holdfast.ha.plugins.plugin_utils.directories import directory_findings
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.given_certificates import (
    VARIABLE,
    problems,
    read_given,
    wanted_of,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.maintenance import Maintenance, known_host, left_out
from ansible_collections.holdfast.ha.plugins.plugin_utils.package_keys import key_findings
from ansible_collections.holdfast.ha.plugins.plugin_utils.preflight import HostFinding
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.secret_text import LITERAL
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    FORMER_SECRETS,
    ROLES,
    SECRET_VARIABLES,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.hosts import FOREIGN
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import load_roles
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.variables import (
    PACKAGE_REPOSITORIES,
    is_secret_variable,
    role_of,
)

NOT_EVALUATED = "holds a value that Ansible can't evaluate as a template or decrypt; it is not shown"
ROOT = Path(__file__).resolve().parent.parent.parent
NO_CONNECTION = "check ansible_host, the SSH key and that the host is up"
CONNECTION_FIXES = {
    "Host key verification failed": "compare the host's key and add it to known_hosts, as an ssh login does",
    "Permission denied": "check ansible_user, and that the host accepts the controller's SSH key",
}
"""Fixes by a part of ssh's message."""
ARGUMENTS = argument_spec("preflight_report")
SECRETS = (*SECRET_VARIABLES, *FORMER_SECRETS.values())


def manifest(folder: Path) -> dict[str, Any]:
    """Return an installed collection's MANIFEST.json or a source tree's galaxy.yml as data, {} without either."""
    built, source = folder / "MANIFEST.json", folder / "galaxy.yml"
    if built.is_file():
        return json.loads(built.read_text(encoding="utf-8"))["collection_info"]
    return (yaml.safe_load(source.read_text(encoding="utf-8")) or {}) if source.is_file() else {}


def installed_version(name: str) -> str | None:
    """Return a collection's version, "" when it has none, None when the collection isn't installed."""
    try:
        folders = list(importlib.import_module(f"ansible_collections.{name}").__path__)
    except ImportError:
        return None
    return str(manifest(Path(folders[0])).get("version") or "")


def controller_findings(root: Path) -> Iterator[Finding]:
    """Yield the controller's unmet requirements for the collection in root."""
    requires = yaml.safe_load((root / "meta" / "runtime.yml").read_text(encoding="utf-8"))["requires_ansible"]
    dependencies = manifest(root).get("dependencies") or {}
    versions = {name: installed_version(name) for name in dependencies}
    yield from preflight.version_findings(ansible_version, requires, versions, dependencies)


def host_findings(host: str, seen: Mapping[str, Any] | None) -> Iterator[HostFinding]:
    """Yield the findings of holdfast.ha.host_preflight on a host; none if --limit left it out, or it is down."""
    if seen and "findings" not in seen and not is_down(seen):
        yield HostFinding(host, Finding("connection", reason_of(seen), NO_CONNECTION))
    for finding in (seen or {}).get("findings", ()):
        yield HostFinding(host, Finding(**finding))


def why_down(variables: Mapping[str, Any], registers: Iterable[str]) -> str | None:
    """Return why a host could not be reached, None if it could or --limit left it out."""
    for result in (variables.get(register) or {} for register in registers):
        if is_down(result):
            return reason_of(result)
    return None


def down_hosts(hosts: Iterable[str], hostvars: Mapping[str, Any], registers: Iterable[str]) -> dict[str, str]:
    """Return the hosts that could not be reached, each with the reason."""
    reasons = {host: why_down(hostvars[host], registers) for host in hosts}
    return {host: reason for host, reason in reasons.items() if reason is not None}


def is_down(result: Mapping[str, Any]) -> bool:
    """Whether a task could not reach its host, by the result of Ansible or of holdfast.ha.host_preflight."""
    return bool(result.get("unreachable") or result.get("down"))


def reason_of(result: Mapping[str, Any]) -> str:
    """Return the last line of a failed task's message, which has the reason."""
    return str(result.get("msg") or "no answer").strip().splitlines()[-1].removeprefix("Task failed: ")


def down_findings(
    down: Mapping[str, str], known: Sequence[Host], kept_out: Collection[str] = ()
) -> Iterator[HostFinding]:
    """Yield each host that is down: an error, unless a run can go on without it.

    :arg kept_out: hosts in maintenance; maintenance_findings() reports them.
    """
    clusters = {host.name: host.ha["cluster"] for host in known}
    for host, reason in down.items():
        cluster = clusters[host]
        why = why_not_without([other for other in known if clusters[other.name] == cluster], down)
        fix = next((fix for part, fix in CONNECTION_FIXES.items() if part in reason), NO_CONNECTION)
        if why:
            yield HostFinding(host, Finding("connection", reason, fix))
            text = f"nothing can be done in {cluster} before it is up: {why}"
            yield HostFinding(host, Finding("down", text, "have it up, and run this again"))
        elif host not in kept_out:
            yield HostFinding(host, Finding("down", reason, f"left out; {fix}, then run this again", WARNING))


def maintenance_findings(kept_out: Mapping[str, Maintenance]) -> Iterator[HostFinding]:
    """Yield each host that a run leaves out because it is in maintenance."""
    for host, item in kept_out.items():
        fix = f"left out; {item.back}, then run this again"
        yield HostFinding(host, Finding("maintenance", item.text, fix, WARNING))


def evaluated(container: Mapping[Any, Any] | Sequence[Any], key: Any, failed: list[AnsibleError]) -> Any:
    """Return an item evaluated in depth, each part that can't be evaluated as OPAQUE.

    :arg failed: gets the reason of each such part.
    """
    try:
        value = container[key]
    except AnsibleError as error:
        failed.append(error)
        return OPAQUE
    if isinstance(value, Mapping):
        return {part: evaluated(value, part, failed) for part in value}
    if isinstance(value, list):
        return [evaluated(value, number, failed) for number in range(len(value))]
    return value


def deployed_findings(
    seen: Mapping[str, Mapping[str, Any]], known: Sequence[Host], *, rotates: bool, arguments: Mapping[str, Any]
) -> Iterator[HostFinding]:
    """Yield conflicts of the declared with the deployed state, from the results of holdfast.ha.deployed_info.

    rotates: the run changes secrets everywhere.
    """
    for host, told in seen.items():
        if "unknown" in told or (told.get("failed") and not is_down(told)):
            fix = "give Ansible root's rights (become) and Python 3.11 or newer there"
            reason = told.get("unknown") or reason_of(told)
            yield HostFinding(host, Finding("deployed", f"can't be examined: {reason}", fix))
    if any(seen.values()):
        accept = [*words_of(arguments["accept"]), *words_of(arguments["confirmed"])]
        yield from judge(known, whole=rotates, accept=accept, without=arguments["without"])


def moves_by_cluster(known: Sequence[Host]) -> dict[str, dict[str, Any]]:
    """Return what is left to do until each cluster has the desired secrets, for those with anything left."""
    clusters: dict[str, list[Host]] = {}
    for host in known:
        clusters.setdefault(host.ha["cluster"], []).append(host)
    moves = {name: moves_of(hosts) for name, hosts in clusters.items()}
    return {name: left.as_data() for name, left in moves.items() if left.settles}


def former_findings(hosts: Iterable[str], hostvars: Mapping[str, Any]) -> Iterator[HostFinding]:
    """Yield a warning where secrets have former values: their rotation has not ended."""
    for variable in FORMER_SECRETS.values():
        names = sorted({str(name) for host in hosts for name in hostvars[host].get(variable) or ()})
        if names:
            fix = f"run playbooks/rotate.yml -e rotate={','.join(names)}"
            text = f"has former values of {', '.join(names)}: their rotation has not ended"
            yield HostFinding("controller", Finding(variable, text, fix, WARNING))


def authority_findings(hosts: list[str], hostvars: Mapping[str, Any]) -> Iterator[HostFinding]:
    """Yield clusters whose hosts would get certificates of different authorities."""
    clusters: dict[str, dict[str, str]] = {}
    for host in hosts:
        # A value that needs a variable of the role itself can't be evaluated here.
        with contextlib.suppress(AnsibleUndefinedVariable, KeyError):
            directory = str(hostvars[host]["certificates_ca_directory"])
            clusters.setdefault(hostvars[host]["ha"]["cluster"], {})[host] = directory
    for directories in clusters.values():
        yield from preflight.authority_findings(directories)
    for directory, host in {where: host for each in clusters.values() for host, where in each.items()}.items():
        yield from unfit_authority(host, directory, hostvars[host])


def unfit_authority(host: str, directory: str, variables: Mapping[str, Any]) -> Iterator[HostFinding]:
    """Yield why a first authority of the user's can't issue certificates that all programs accept."""
    failed: list[AnsibleError] = []
    option = "certificates_ca_passphrase"
    passphrase = evaluated(variables, option, failed) if option in variables else ""
    if failed or not isinstance(passphrase, str):  # _variables() tells
        return
    try:
        AuthorityDirectory(Path(directory).expanduser(), passphrase).refuse_unfit(datetime.now(UTC))
    except (RefusedError, OSError) as error:
        found = Finding("certificates_ca_directory", f"{directory}: {error}", "see docs/certificates.md")
        yield HostFinding(host, found)


def store_findings(seen: Mapping[str, Any], hostvars: Mapping[str, Any]) -> Iterator[HostFinding]:
    """Yield clusters whose etcd and Patroni are incompatible, from the results of holdfast.ha.host_preflight."""
    stores = {host: item["store"] for host, item in seen.items() if item and "store" in item}
    for cluster in sorted({hostvars[host]["ha"]["cluster"] for host in stores}):
        ours = {host: store for host, store in stores.items() if hostvars[host]["ha"]["cluster"] == cluster}
        yield from preflight.store_findings(ours)


class ActionModule(ActionBase):
    """Show the findings of all hosts and fail when one of them is an error."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the findings, all of them warnings: [{host, check, value, fix, level}], and the hosts that answer."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        hosts = list(variables["groups"].get(arguments["group"], []))
        hostvars = variables["hostvars"]
        whole = not arguments["part"]
        rotates = whole if arguments["secrets"] is None else arguments["secrets"]
        kept_out = left_out({host: known_host(hostvars[host], arguments["deployed"]) for host in hosts})
        serving = [host for host in hosts if host not in kept_out]
        found = self._complete(serving, hostvars, arguments) if whole else []
        # A partial run checks neither hosts that it leaves alone, nor settings that it may not need.
        judged = serving if whole else [host for host in serving if host in variables["ansible_play_hosts_all"]]
        found += [*self._secrets(judged, hostvars, whole), *self._variables(judged, hostvars, whole)]
        found += [*authority_findings(hosts, hostvars), *self._given(judged, hostvars), *self._keys(judged, hostvars)]
        found += former_findings(hosts, hostvars) if whole else ()
        seen = {host: hostvars[host].get(arguments["deployed"]) or {} for host in hosts}
        down = down_hosts(hosts, hostvars, (arguments["register"], arguments["deployed"]))
        # Its components count as those of a host that --limit leaves out: a changed secret would not reach it.
        seen |= {host: {} for host in kept_out}
        is_told = down or any(seen.values())
        known = [host_of(host, hostvars[host], ROOT, told) for host, told in seen.items()] if is_told else []
        found += down_findings(down, known, kept_out)
        found += deployed_findings(seen, known, rotates=rotates, arguments=arguments) if known else ()
        found += maintenance_findings(kept_out)
        text = preflight.report(len(hosts), found)
        stopping = preflight.errors(found)
        if found or whole:
            Display().display(text)
        if stopping:
            result |= {"failed": True, "msg": f"{len(stopping)} errors, nothing was changed"}
        else:
            result["findings"] = [{"host": item.host, **asdict(item.finding)} for item in found]
            result["down"] = {host: reason for host, reason in down.items() if host not in kept_out}
            result["maintenance"] = {host: item.text for host, item in kept_out.items()}
            result["postgresql"] = versions(known)
            result["moves"] = moves_by_cluster(known) if rotates else {}
            result["present"] = [host for host in variables["ansible_play_hosts_all"] if host not in {*down, *kept_out}]
        return result

    def _complete(
        self, hosts: list[str], hostvars: Mapping[str, Any], arguments: Mapping[str, Any]
    ) -> list[HostFinding]:
        """Return the other findings that block site.yml."""
        seen = {host: hostvars[host].get(arguments["register"]) for host in hosts}
        clocks = {host: tuple(item["clock"]) for host, item in seen.items() if item and "clock" in item}
        return [
            *(HostFinding("controller", finding) for finding in controller_findings(ROOT)),
            *(HostFinding("controller", finding) for finding in preflight.topology_findings(hosts)),
            *(finding for host in hosts for finding in host_findings(host, seen[host])),
            *store_findings(seen, hostvars),
            *preflight.clock_findings(clocks, arguments["clock_skew"]),
        ]

    def _given(self, hosts: list[str], hostvars: Mapping[str, Any]) -> Iterator[HostFinding]:
        """Yield what is wrong with certificates of the user's own."""
        for host in hosts:
            failed: list[AnsibleError] = []
            files = evaluated(hostvars[host], VARIABLE, failed) if VARIABLE in hostvars[host] else {}
            if not isinstance(files, dict) or not files or failed:  # _variables() tells
                continue
            trusted = Path(str(hostvars[host]["certificates_ca_directory"])).expanduser() / "ca.crt"
            try:
                given = read_given(files, self._loader)
                text = trusted.read_text(encoding="utf-8")
                texts = problems(given, wanted_of(hostvars[host]["ha"]), text, datetime.now(UTC))
            except (RefusedError, AnsibleError, OSError) as error:
                texts = [str(error)]
            for text in texts:
                yield HostFinding(host, Finding(VARIABLE, text, "see docs/certificates.md"))

    def _keys(self, hosts: list[str], hostvars: Mapping[str, Any]) -> Iterator[HostFinding]:
        """Yield files of package repositories that hold no key."""
        for host in (host for host in hosts if PACKAGE_REPOSITORIES in hostvars[host]):
            failed: list[AnsibleError] = []
            repositories = evaluated(hostvars[host], PACKAGE_REPOSITORIES, failed)
            for finding in () if failed else key_findings(repositories, self._loader):
                yield HostFinding(host, finding)

    @staticmethod
    def _variables(hosts: list[str], hostvars: Mapping[str, Any], whole: bool) -> Iterator[HostFinding]:
        """Yield values that the roles would refuse; one that needs a variable of the role can't be evaluated here."""
        roles = load_roles(ROOT, ROLES)
        for host in hosts:
            variables: dict[str, Any] = {}
            for name in (name for name in hostvars[host] if role_of(name) or name == FOREIGN):
                failed: list[AnsibleError] = []
                value = evaluated(hostvars[host], name, failed)
                if value is not OPAQUE:
                    variables[name] = value
                broken = [error for error in failed if not isinstance(error, AnsibleUndefinedVariable)]
                if whole and broken:  # the error would show the text that is not a template
                    if not is_secret_variable(name, roles):
                        raise broken[0]
                    yield HostFinding(host, Finding(name, NOT_EVALUATED, LITERAL))
            refused = list(preflight.variable_findings(variables, roles, values_only=not whole))
            known = {**roles["pgbackrest"].defaults, **variables}
            for finding in refused or (directory_findings(hostvars[host]["ha"], known) if whole else ()):
                yield HostFinding(host, finding)
            for finding in preflight.lease_watch_findings(hostvars[host]["ha"], variables, roles) if whole else ():
                yield HostFinding(host, finding)

    @staticmethod
    def _secrets(hosts: list[str], hostvars: Mapping[str, Any], whole: bool) -> Iterator[HostFinding]:
        """Yield the problems of the secrets, checked once per cluster."""
        clusters: dict[str, str] = {}
        for host in hosts:
            clusters.setdefault(hostvars[host]["ha"]["cluster"], host)
        for host in clusters.values():
            variables: dict[str, Any] = {}
            for name in (name for name in SECRETS if name in hostvars[host]):
                failed: list[AnsibleError] = []
                value = evaluated(hostvars[host], name, failed)
                if isinstance(value, dict):
                    value = {key: part for key, part in value.items() if part is not OPAQUE}
                if value is not OPAQUE:
                    variables[name] = value
                if whole and failed:
                    yield HostFinding(host, Finding(name, NOT_EVALUATED, LITERAL))
            for finding in preflight.secrets_findings(variables):
                yield HostFinding(host, finding)
