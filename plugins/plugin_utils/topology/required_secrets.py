# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for secrets: they must exist and have only characters that every file can hold; no value is ever shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import (
    CHANGE,
    HIDDEN,
    TEMPLATE_IN_TEXT,
    Opaque,
    Problems,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.secret_text import LITERAL, TEMPLATED, secret_problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    COMPONENTS,
    FORMER_SECRETS,
    SECRET_VARIABLES,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, Inventory, SqlObject

GENERATE = "run playbooks/secrets.yml with the same -i, or put it into a vaulted file of group_vars"

ABSENT: Mapping[str, Any] = {}
"""Stands for the secrets of a kind that the inventory lacks."""


def check_secrets(cluster: Cluster, inventory: Inventory, problems: Problems) -> None:
    """Note missing keys of ha_secrets and missing passwords of roles that log in."""
    for host in cluster.hosts:
        for variable in (*SECRET_VARIABLES, *FORMER_SECRETS.values()):
            _judge(variable, inventory.hosts[host.name].get(variable), problems)
    for component in (component for component in COMPONENTS if component.secrets):
        for host in cluster.of(component.name):
            secrets = _mapping("ha_secrets", inventory.hosts[host.name], problems)
            for secret in component.secrets:
                _present(f"ha_secrets.{secret.name}", secrets, f"{component.name} on {host.name}", problems)
    for host in cluster.of("postgresql"):
        passwords = _mapping("ha_role_passwords", inventory.hosts[host.name], problems)
        for role in filter(_logs_in, cluster.roles):
            _present(f"ha_role_passwords.{role.name}", passwords, f"the role {role.name} in {cluster.path}", problems)


def _judge(variable: str, secrets: Any, problems: Problems) -> None:
    """Note the problems of a variable's secrets."""
    for key, value in secrets.items() if isinstance(secrets, dict) else ():
        where = f"{variable}.{key}"
        if value is TEMPLATE_IN_TEXT:
            problems.add(where, HIDDEN, TEMPLATED, LITERAL)
        elif value is not None and not isinstance(value, Opaque):
            for what in secret_problems(where, value):
                problems.add(where, HIDDEN, what, CHANGE)


def _logs_in(role: SqlObject) -> bool:
    """Whether a role needs a password."""
    flags = re.split(r"[\s,]+", str(role.values.get("flags", "")).upper())
    return "NOLOGIN" not in flags and role.values.get("state") != "absent"


def _mapping(variable: str, variables: Mapping[str, Any], problems: Problems) -> Mapping[str, Any] | None:
    """The secrets by key, or None where they can't be read."""
    secrets = variables.get(variable, ABSENT)
    if isinstance(secrets, dict):
        return secrets
    if not isinstance(secrets, Opaque):
        problems.add(variable, HIDDEN, "is not a mapping", "write it as 'name: secret' lines")
    return None


def _present(where: str, secrets: Mapping[str, Any] | None, needed_by: str, problems: Problems) -> None:
    if secrets is None or any(problem.where == where for problem in problems.found):
        return
    variable, _dot, key = where.partition(".")
    if secrets is ABSENT:
        problems.add(variable, HIDDEN, "is missing", GENERATE)
    elif secrets.get(key) is None:
        problems.add(where, HIDDEN, f"is missing; {needed_by} needs it", GENERATE)
