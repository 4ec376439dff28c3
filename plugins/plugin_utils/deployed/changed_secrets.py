# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that differ from the deployed ones: those that a run can't change, and what it does for the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Deployed, Verdict, combined
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.declared import sql_role_names
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import TAKE_BACK, Difference, Host
from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation.choice import HOW_KEPT
from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation.plan import KNOWN, Moves, State, plan, states_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import FORMER_SECRETS

DIFFERS = "differs from the deployed one"
ROTATE = "playbooks/rotate.yml -e rotate="
REPOSITORIES = "pgbackrest"
"""What the names of repositories' passphrases begin with."""


def judge_secrets(hosts: Sequence[Host], *, whole: bool, without: Collection[str] = ()) -> Iterator[Difference]:
    """Yield the secrets of a cluster that a run would not change everywhere.

    whole: the run covers all parts of the cluster. without: hosts that are down and may keep the former values.
    """
    seen = [(host, host.deployed) for host in hosts if host.deployed is not None]
    yield from judge_passphrases(seen)
    for state in states_of(deployed.secrets for _host, deployed in seen).values():
        told = why_refused(state, hosts, whole=whole, without=without)
        if told and state.name in KNOWN:
            holders = [host.name for host, deployed in seen if state.name in deployed.secrets]
            yield Difference(holders[0], f"ha_secrets.{state.name}", *told)


def moves_of(hosts: Sequence[Host]) -> Moves:
    """Return what is left to do in a cluster until all of it has the desired secrets."""
    states = states_of(host.deployed.secrets for host in hosts if host.deployed is not None)
    database = next((host for host in hosts if "postgresql" in host.ha["components"]), hosts[0])
    return plan(states, sql_role_names(database.variables))


def judge_passphrases(seen: Sequence[tuple[Host, Deployed]]) -> Iterator[Difference]:
    """Yield the passphrases of repositories that differ; a running pgBackRest tells whether one is right."""
    names = dict.fromkeys(name for _host, deployed in seen for name in deployed.secrets)
    for name in (name for name in names if name.startswith(REPOSITORIES)):
        verdicts = [(host, deployed.secrets[name]) for host, deployed in seen if name in deployed.secrets]
        accepted = [verdict.accepted for _host, verdict in verdicts if verdict.accepted is not None]
        stored = combined(verdict.stored for _host, verdict in verdicts)
        if any(accepted) or (not accepted and stored is not False):
            continue
        variable = name if name.startswith("pgbackrest_repositories") else f"ha_secrets.{name}"
        yield Difference(verdicts[0][0].name, variable, DIFFERS, f"{TAKE_BACK}; it {HOW_KEPT}")


def why_refused(
    state: State, hosts: Sequence[Host], *, whole: bool, without: Collection[str]
) -> tuple[str, str] | None:
    """Return why a run can't change a secret everywhere, and the fix; None where it can or need not."""
    secret = state.secret
    if state.accepted is None and state.stored is False and secret.needs_service:
        return f"{DIFFERS}, and no running service accepts it", f"{TAKE_BACK} until a service runs"
    holders = [host for host in hosts if set(secret.ends) & set(host.ha["components"])]
    if not state.changes and not any(differs(state.name, host) for host in holders):
        return None
    rotate = f"{ROTATE}{state.name}"
    if state.changes and (reason := why_not_by_value(state, rotate)):
        return reason
    absent = [host.name for host in holders if host.deployed is None and host.name not in without]
    if absent:
        listed = ", ".join(absent)
        fix = f"{TAKE_BACK} until all hosts take part in a run, or run {rotate} -e rotate_without={','.join(absent)}"
        return f"{DIFFERS}, and {listed} can't follow", fix
    if not whole:
        fix = f"run site.yml or {rotate}, which change it everywhere"
        return f"{DIFFERS}, which part of the cluster would keep", fix
    return None


def why_not_by_value(state: State, rotate: str) -> tuple[str, str] | None:
    """Return why no run can change a login from the value that it has, and the fix; rotate: the command to run then."""
    if state.secret.etcd_user == "root" and not state.former:
        former = f"{FORMER_SECRETS['ha_secrets']}.{state.name}"
        fix = f"put the former password into {former}, or {TAKE_BACK} and run playbooks/secrets.yml -e rotate="
        return f"{DIFFERS}, and only the former password can replace it", f"{fix}{state.name}; then {rotate}"
    if state.foreign:
        fix = "put that value back and run this again, or take the change back to the value before"
        return f"{DIFFERS}, and a rotation to another value has not ended", fix
    return None


def differs(name: str, host: Host) -> bool:
    """Return whether a host has stored another value, and the service does not accept the desired one there."""
    verdict = host.deployed.secrets.get(name, Verdict()) if host.deployed else Verdict()
    return verdict.stored is False and not verdict.accepted
