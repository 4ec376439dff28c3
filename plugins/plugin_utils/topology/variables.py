# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Role variables and secrets as the inventory gives them to the clusters' hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .model import Cluster, Inventory
from .node import suggestion
from .problems import HIDDEN, OPAQUE, Opaque, Problems
from .roles import RoleSpec

ROLES = ("certificates", "etcd", "haproxy", "keepalived", "packages", "patroni", "pgbackrest", "postgresql_objects")
"""Roles whose variables are checked; each variable begins with its role's name."""

SECRETS = {
    "etcd": ("etcd_root",),
    "postgresql": ("etcd_patroni", "postgresql_superuser", "postgresql_replication", "postgresql_rewind", "patroni_rest"),
    "haproxy": ("haproxy_stats",),
    "backup": ("pgbackrest_cipher",),
}
"""Keys of ha_secrets by the component that needs them."""

MAKE_SECRETS = "generate it with playbooks/secrets.yml"
TIMING_DEFAULTS = {"patroni_ttl": 20, "patroni_loop_wait": 1, "patroni_retry_timeout": 3}
TIMING_FLOORS = {"patroni_ttl": 20, "patroni_loop_wait": 1, "patroni_retry_timeout": 3}
"""Seconds; Patroni silently raises smaller values to these."""


def check_variables(clusters: Iterable[Cluster], inventory: Inventory, roles: Mapping[str, RoleSpec], problems: Problems) -> None:
    """Note unknown, mistyped and missing variables of every member."""
    for cluster in clusters:
        for host in cluster.hosts:
            variables = inventory.hosts.get(host.name, {})
            _check_roles(host.name, variables, roles, problems)
        _check_secrets(cluster, inventory, problems)
        _check_passwords(cluster, inventory, problems)
        for host in cluster.of("postgresql"):
            _check_timing(inventory.hosts.get(host.name, {}), roles.get("patroni"), problems)


def role_of(variable: str) -> str | None:
    """The role whose prefix a variable carries."""
    return next((role for role in ROLES if variable.startswith(f"{role}_")), None)


def has_opaque(value: Any) -> bool:
    """Whether anything in a value is vaulted or templated."""
    if isinstance(value, dict):
        return any(map(has_opaque, value.values()))
    if isinstance(value, list):
        return any(map(has_opaque, value))
    return isinstance(value, Opaque)


def _check_roles(host: str, variables: Mapping[str, Any], roles: Mapping[str, RoleSpec], problems: Problems) -> None:
    for variable, value in variables.items():
        spec = roles.get(role_of(variable) or "")
        if spec is None:
            continue
        if variable not in spec.options:
            problems.add(variable, OPAQUE, f"is not a variable of the role {role_of(variable)}", suggestion(variable, spec.options))
        elif not has_opaque(value):
            _check_value(variable, value, spec.options[variable], problems)


def _check_value(variable: str, value: Any, option: Mapping[str, Any], problems: Problems) -> None:
    """Let Ansible's own validator judge one variable."""
    alone = {key: part for key, part in option.items() if key not in ("required", "default")}
    result = ArgumentSpecValidator({variable: alone}).validate({variable: value})
    secret = _is_secret(option)
    for message in result.error_messages:
        what = f"is not of the type {option.get('type', 'str')} that the role documents" if secret else f"is refused ({message})"
        problems.add(variable, HIDDEN if secret else value, what, _type_fix(option))


def _is_secret(option: Mapping[str, Any]) -> bool:
    return bool(option.get("no_log")) or any(_is_secret(part) for part in (option.get("options") or {}).values())


def _type_fix(option: Mapping[str, Any]) -> str:
    if option.get("choices"):
        return f"use one of {', '.join(map(str, option['choices']))}"
    elements = f" of {option['elements']}" if option.get("elements") else ""
    return f"write a value of the type {option.get('type', 'str')}{elements} as the role's argument_specs say"


def _check_secrets(cluster: Cluster, inventory: Inventory, problems: Problems) -> None:
    for component, keys in SECRETS.items():
        for host in cluster.of(component):
            secrets = inventory.hosts.get(host.name, {}).get("ha_secrets")
            for key in keys:
                _check_secret("ha_secrets", key, secrets, component, problems)


def _check_passwords(cluster: Cluster, inventory: Inventory, problems: Problems) -> None:
    wanted = [str(role["name"]) for role in cluster.roles if role.get("login", True)]
    for host in cluster.of("postgresql"):
        passwords = inventory.hosts.get(host.name, {}).get("ha_role_passwords")
        for name in wanted:
            _check_secret("ha_role_passwords", name, passwords, f"the role in {cluster.path}.roles", problems)


def _check_secret(variable: str, key: str, secrets: Any, needed_by: str, problems: Problems) -> None:
    """Only the presence counts; no value is ever shown."""
    if isinstance(secrets, Opaque):
        return
    if secrets is not None and not isinstance(secrets, dict):
        problems.add(variable, HIDDEN, "is not a mapping", f"write it as 'name: secret' lines, or {MAKE_SECRETS}")
        return
    value = (secrets or {}).get(key)
    if isinstance(value, Opaque) or (isinstance(value, str) and value.strip()):
        return
    what = "is missing" if value is None else "is not a non-empty text"
    problems.add(f"{variable}.{key}", HIDDEN, f"{what}, and {needed_by} needs it", f"{MAKE_SECRETS} or put it in your vaulted group_vars")


def _check_timing(variables: Mapping[str, Any], patroni: RoleSpec | None, problems: Problems) -> None:
    """Patroni keeps its promise of one leader only while loop_wait + 2 * retry_timeout <= ttl."""
    defaults = {**TIMING_DEFAULTS, **({} if patroni is None else patroni.defaults)}
    values = {name: variables.get(name, defaults[name]) for name in TIMING_DEFAULTS}
    numbers = {name: value for name, value in values.items() if isinstance(value, int) and not isinstance(value, bool)}
    for name, number in numbers.items():
        if number < TIMING_FLOORS[name]:
            problems.add(name, number, "is below Patroni's floor, which Patroni would use instead", f"set it to {TIMING_FLOORS[name]} or more")
    if len(numbers) < len(values):
        return
    least = numbers["patroni_loop_wait"] + 2 * numbers["patroni_retry_timeout"]
    if least > numbers["patroni_ttl"]:
        shown = " + 2 * ".join(f"{name} ({numbers[name]})" for name in ("patroni_loop_wait", "patroni_retry_timeout"))
        fix = f"raise patroni_ttl to {least} or more, or lower patroni_loop_wait or patroni_retry_timeout"
        problems.add("patroni_ttl", numbers["patroni_ttl"], f"is less than {shown}", fix)
