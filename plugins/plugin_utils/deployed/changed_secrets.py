# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets that a run would change at one of their ends only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Deployed, Verdict, combined
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.declared import ROLES
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import TAKE_BACK, Difference, Host
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import SECRETS

NO_ROTATION = f"{TAKE_BACK}; changing this secret of a running cluster is not supported yet"
ENDS = {secret.name: secret.ends for secret in SECRETS if secret.ends}
"""Secrets that site.yml can change, with the components whose hosts must take part."""


def judge_kept(seen: Sequence[tuple[Host, Deployed]]) -> Iterator[Difference]:
    """Yield the changed secrets that a run would write at one end only."""
    for name in dict.fromkeys(name for _host, deployed in seen for name in deployed.secrets):
        verdicts = [(host, deployed.secrets[name]) for host, deployed in seen if name in deployed.secrets]
        variable = name if name.startswith("pgbackrest_repositories") else f"ha_secrets.{name}"
        if name not in ENDS and (told := why_refused(name, [verdict for _host, verdict in verdicts])):
            yield Difference(verdicts[0][0].name, variable, *told)


def why_refused(name: str, verdicts: Sequence[Verdict]) -> tuple[str, str] | None:
    """Return a secret's problem and fix, or None; a value that a running service accepts is right."""
    accepted = [verdict.accepted for verdict in verdicts if verdict.accepted is not None]
    stored = combined(verdict.stored for verdict in verdicts)
    if any(accepted) or (not accepted and stored is not False):
        return None
    if not accepted:
        return "differs from the deployed one, and no running service accepts it", NO_ROTATION
    if stored and name in ROLES:
        return (
            "is what all members have, but the role's password in the database is another: no new session can log in",
            f"set it on the primary, as root: psql -U postgres, then \\password and the role ({ROLES[name]})",
        )
    return "is not the one in use, and a run would change it on one side only", NO_ROTATION


def judge_ends(hosts: Sequence[Host], *, whole: bool) -> Iterator[Difference]:
    """Yield the changed secrets that site.yml would change, but this run not at all of their ends."""
    for name, ends in ENDS.items():
        holders = [host for host in hosts if set(ends) & set(host.ha["components"])]
        verdicts = {host.name: host.deployed.secrets.get(name, Verdict()) for host in holders if host.deployed}
        changed = [host for host, verdict in verdicts.items() if verdict.stored is False and not verdict.accepted]
        absent = [host.name for host in holders if host.deployed is None]
        if changed and absent:
            text = f"differs from the deployed one, and {', '.join(absent)} can't follow"
            yield Difference(changed[0], f"ha_secrets.{name}", text, f"{TAKE_BACK} until all hosts take part in a run")
        elif changed and not whole:
            text = "differs from the deployed one, which part of the cluster would keep"
            yield Difference(changed[0], f"ha_secrets.{name}", text, "run site.yml, which changes it everywhere")
