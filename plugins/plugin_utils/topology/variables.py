# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for role variables in the inventory of the clusters' hosts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.package_repositories import problems as repository_problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.node import suggestion
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import (
    CHANGE,
    HIDDEN,
    IN_INI,
    OPAQUE,
    TEMPLATE_IN_TEXT,
    Opaque,
    Problem,
    Problems,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.secret_text import (
    LITERAL,
    TEMPLATED,
    has_control,
    text_problems,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import COMPONENTS, ROLES
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.connection_rules import check_connections
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.derive import pools
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.dynamic_configuration import VARIABLE as DYNAMIC
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.dynamic_configuration import (
    check_dynamic_configuration,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.hosts import FOREIGN, is_foreign
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.job_rules import VARIABLE as JOBS
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.job_rules import job_problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.lease_rules import check_lease_watch
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, Inventory, SqlObject
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.option_types import misfits
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.repositories import (
    OPTIONS,
    QUEUE,
    REPOSITORIES,
    REPOSITORY_OPTIONS,
    check_options,
    check_queue,
    check_repositories,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import RoleSpec
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.sql_names import check_system_roles
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import patroni_defaults

PACKAGE_REPOSITORIES = "packages_repositories"
SEE = "; see the role's argument_specs"
FLOOR = {"patroni_ttl": 20, "patroni_loop_wait": 1, "patroni_retry_timeout": 3}
"""Seconds; Patroni silently raises smaller values to these."""

LINES_MAY_BREAK = ("_private_key", ".environment")
"""Suffixes of the names of secrets that reach hosts as separate files, or as JSON."""

FREE = re.compile(r".*(_|^)(options|settings|parameters|rules|commands?|configuration|environment)")
"""Names of options in a program's own syntax, which may hold a password anywhere."""

PATTERNS = {
    "patroni_version": (r"\d+(\.\d+)+", 'write a version, such as "4.0"'),
}
"""Texts that become parts of paths or are compared."""

WIRED = {
    "backup_jobs_etcd_password": "set ha_secrets.etcd_root",
    "backup_jobs_etcd_username": "etcd's user has a fixed name",
    "certificates_ca_content": "put the authorities into certificates_ca_directory/ca.crt",
    "certificates_issued_since": "run playbooks/rotate_certificates.yml",
    "certificates_new_keys": "run playbooks/rotate_certificates.yml",
    **{variable: fix for component in COMPONENTS for variable, fix in component.wired.items()},
}
"""The settings to use in place of variables that the playbooks pass to the roles."""


def check_variables(cluster: Cluster, inventory: Inventory, roles: Mapping[str, RoleSpec], problems: Problems) -> None:
    """Note unknown and mistyped variables of the members, and values that the roles would refuse."""
    for host in cluster.hosts:
        _check_host(inventory.hosts[host.name], roles, problems)
        _check_snapshots(host.name, inventory.hosts[host.name].get(JOBS), cluster, problems)
    members = [host.name for host in cluster.of("postgresql")]
    for name in members:
        check_dynamic_configuration(inventory.hosts[name].get(DYNAMIC), members, problems)
    _check_timing(cluster, inventory, roles.get("patroni"), problems)
    if "patroni" in roles:
        check_lease_watch(cluster, inventory, roles["patroni"].defaults, problems)
        check_connections(cluster, inventory, roles["patroni"].defaults, problems)
    if "haproxy" in roles:
        option = _element(roles["haproxy"].options["haproxy_pools"])
        for pool in pools(cluster):
            _check_value(f"{cluster.path}.pools.{pool['name']}", pool, option, problems)
    if "postgresql_objects" in roles:
        options = roles["postgresql_objects"].options
        _check_sql(cluster.databases, options["postgresql_objects_databases"], problems)
        _check_sql(cluster.roles, options["postgresql_objects_roles"], problems)


def refused(variables: Mapping[str, Any], roles: Mapping[str, RoleSpec], *, values_only: bool = False) -> list[Problem]:
    """The evaluated variables of a host that the roles would refuse.

    :arg values_only: whether names that no role has, or that the playbooks set, are accepted.
    """
    problems = Problems()
    _check_host(variables, roles, problems, values_only)
    return problems.found


def role_of(variable: str) -> str | None:
    """The role whose variable a name may be, by its prefix.

    A second underscore marks a role's internal variable, the ending C(_result) what a role registers for others.
    """
    if variable.endswith("_result"):
        return None
    return next((role for role in ROLES if re.match(f"{role}(_(?!_)|$)", variable)), None)


def is_secret_variable(variable: str, roles: Mapping[str, RoleSpec]) -> bool:
    """Whether a role's variable holds a secret."""
    role = roles.get(role_of(variable) or "")
    return role is not None and _is_secret(role.options.get(variable, {}))


def judge_option(where: str, value: Any, option: Mapping[str, Any], for_role: bool) -> list[Problem]:
    """The problem of a playbook's option; templates are not evaluated, and null is as good as no value.

    :arg for_role: a role reads the option; otherwise a module or a filter does, which accept a text as a list.
    """
    if has_opaque(value) or (value is None and not for_role):
        return []
    return [
        Problem(
            f"{where}{misfit.path}",
            misfit.value,
            f"is not what the playbook takes ({misfit.what})",
            _fix(misfit.option, for_role and isinstance(misfit.value, str)).removesuffix(SEE),
        )
        for misfit in misfits(value, option, for_role)
    ]


def has_opaque(value: Any) -> bool:
    """Whether anything in a value is vaulted or templated."""
    if isinstance(value, dict):
        return any(map(has_opaque, value.values()))
    if isinstance(value, list):
        return any(map(has_opaque, value))
    return isinstance(value, Opaque)


def _check_host(
    variables: Mapping[str, Any], roles: Mapping[str, RoleSpec], problems: Problems, values_only: bool = False
) -> None:
    for variable, value in variables.items():
        role = role_of(variable)
        if role is None or role not in roles:
            continue
        if variable not in roles[role].options and is_foreign(variable, variables):
            continue
        if values_only or _is_to_be_set(variable, role, roles[role], problems):
            _check_variable(variable, value, roles[role].options.get(variable), problems)
        if variable in BEYOND_TYPES:
            BEYOND_TYPES[variable](value, problems)
    if "patroni" in roles:
        check_system_roles(variables, problems)


def _is_to_be_set(variable: str, role: str, spec: RoleSpec, problems: Problems) -> bool:
    """Whether a user may set a variable; if not, note why."""
    if variable not in spec.options:
        what = f"is not a variable of the role {role}"
        fix = f"{suggestion(variable, spec.options)}; if it is not Holdfast's, add it to the list {FOREIGN}"
        problems.add(variable, OPAQUE, what, fix)
    elif variable in spec.wired:
        fix = WIRED.get(variable, "use the role in a playbook of your own")
        problems.add(variable, OPAQUE, "is set by the playbooks, which would ignore this value", f"remove it; {fix}")
    else:
        return True
    return False


def _check_variable(variable: str, value: Any, option: Mapping[str, Any] | None, problems: Problems) -> None:
    if option is None:
        return
    _check_secrets(variable, value, option, problems)
    _check_keys(variable, value, option, problems)
    if not has_opaque(value):
        _check_value(variable, value, option, problems)
        _check_pattern(variable, value, problems)


def _check_keys(where: str, value: Any, option: Mapping[str, Any], problems: Problems) -> None:
    """Note keys of free mappings that would break their line in a file."""
    for number, part in enumerate(value) if isinstance(value, list) else ():
        _check_keys(f"{where}[{number}]", part, option, problems)
    options = option.get("options") or {}
    for key, part in value.items() if isinstance(value, dict) else ():
        if has_control(str(key)):
            what = "has a key with a line break or another control character, which ends a line of a configuration file"
            problems.add(where, HIDDEN, what, "write the key as the program's documentation does")
        else:
            _check_keys(f"{where}.{key}", part, options.get(key, {}), problems)


def _check_jobs(jobs: Any, problems: Problems) -> None:
    for problem in job_problems(jobs):
        problems.add(problem.where, problem.value, problem.what, problem.fix)


def _check_dynamic_configuration(value: Any, problems: Problems) -> None:
    check_dynamic_configuration(value, (), problems)


def _check_package_repositories(value: Any, problems: Problems) -> None:
    for problem in [] if has_opaque(value) or not isinstance(value, list) else repository_problems(value):
        problems.add(f"{PACKAGE_REPOSITORIES}{problem.where}", HIDDEN, problem.what, problem.fix)


BEYOND_TYPES: dict[str, Callable[[Any, Problems], None]] = {
    DYNAMIC: _check_dynamic_configuration,
    JOBS: _check_jobs,
    OPTIONS: partial(check_options, OPTIONS),
    PACKAGE_REPOSITORIES: _check_package_repositories,
    QUEUE: check_queue,
    REPOSITORIES: check_repositories,
    REPOSITORY_OPTIONS: partial(check_options, REPOSITORY_OPTIONS),
}
"""The checks of variables beyond the types of the roles' options."""


def _check_secrets(variable: str, value: Any, option: Mapping[str, Any], problems: Problems) -> None:
    """Note the problems of the secrets in a variable."""
    for where, secret in _secrets(variable, value, option):
        if secret is TEMPLATE_IN_TEXT:
            problems.add(where, HIDDEN, TEMPLATED, LITERAL)
        elif isinstance(secret, Opaque) or secret in (None, ""):
            continue
        elif where.endswith(LINES_MAY_BREAK):
            if "\0" in str(secret):
                problems.add(where, HIDDEN, "has a NUL, which no environment variable or text file can hold", CHANGE)
        else:
            for what in text_problems(secret):
                problems.add(where, HIDDEN, what, CHANGE)


def _secrets(where: str, value: Any, option: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the single secrets of a value with their paths; a free mapping's texts have the mapping's path."""
    if isinstance(value, dict):
        for key, part in value.items():
            if not option.get("no_log"):
                yield from _secrets(f"{where}.{key}", part, (option.get("options") or {}).get(key, {}))
            elif isinstance(part, (dict, list)):
                yield from _secrets(where, part, option)
            elif isinstance(part, (str, Opaque)):
                yield where, part
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from _secrets(f"{where}[{number}]", part, option)
    elif option.get("no_log"):
        yield where, value


def _check_pattern(variable: str, value: Any, problems: Problems) -> None:
    pattern, fix = PATTERNS.get(variable, (".*", ""))
    if isinstance(value, (str, int, float)) and not re.fullmatch(pattern, str(value), re.DOTALL):
        problems.add(variable, value, "is not a version", fix)


def _check_snapshots(host: str, jobs: Any, cluster: Cluster, problems: Problems) -> None:
    """A job takes the snapshot of the host's own member."""
    for job in jobs if isinstance(jobs, list) else ():
        is_snapshot = isinstance(job, Mapping) and job.get("kind") == "etcd_snapshot"
        if is_snapshot and host not in [member.name for member in cluster.of("etcd")]:
            what = f"is a job of {host}, which is not an etcd member"
            problems.add(f"{JOBS}[{job.get('name')}].kind", "etcd_snapshot", what, "declare it for the group etcd")


def _check_sql(objects: tuple[SqlObject, ...], option: Mapping[str, Any], problems: Problems) -> None:
    for item in objects:
        unknown = sorted(set(item.values) - set(option["options"]))
        for key in unknown:
            problems.add(f"{item.path}.{key}", HIDDEN, "is an unknown key", suggestion(key, option["options"]))
        if not unknown:
            _check_value(item.path, dict(item.values), _element(option), problems)


def _element(option: Mapping[str, Any]) -> dict[str, Any]:
    """What an element of a list of mappings is."""
    return {"type": "dict", "options": option["options"]}


def _check_value(where: str, value: Any, option: Mapping[str, Any], problems: Problems) -> None:
    """Judge a variable with Ansible's own validator, as the role would."""
    alone = {key: part for key, part in option.items() if key not in {"required", "default"}}
    secret = _is_secret(option)
    is_hidden = secret or _is_free(re.split(r"[.\[]", where)[0], option)
    for misfit in misfits(value, alone, for_role=True):
        what = "is not what the role takes" if secret else f"is not what the role takes ({misfit.what})"
        shown = HIDDEN if is_hidden else misfit.value
        problems.add(f"{where}{misfit.path}", shown, what, _fix(misfit.option, isinstance(misfit.value, str)))


def _is_free(name: str, option: Mapping[str, Any]) -> bool:
    """Whether an option, or one in it, is in a program's own syntax."""
    options = option.get("options") or {}
    return (
        bool(FREE.fullmatch(name))
        or (option.get("type") == "dict" and not options)
        or any(_is_free(key, part) for key, part in options.items())
    )


def _is_secret(option: Mapping[str, Any]) -> bool:
    return bool(option.get("no_log")) or any(_is_secret(part) for part in (option.get("options") or {}).values())


def _fix(option: Mapping[str, Any], is_text: bool = False) -> str:
    if is_text and option.get("type") in {"list", "dict"}:
        return (
            f"write a {option['type']}: as YAML in group_vars or host_vars, as JSON with -e '{{\"name\": value}}';"
            f" {IN_INI}"
        )
    if option.get("choices"):
        return f"use one of {', '.join(map(str, option['choices']))}"
    elements = f" of {option['elements']}" if option.get("elements") else ""
    return f"write a value of the type {option.get('type', 'str')}{elements}{SEE}"


def _check_timing(cluster: Cluster, inventory: Inventory, patroni: RoleSpec | None, problems: Problems) -> None:
    """Patroni guarantees a single leader only if loop_wait + 2 * retry_timeout <= ttl, equal on all members."""
    defaults = patroni_defaults(cluster.profile, patroni.defaults if patroni else {})
    first: dict[str, Any] = {}
    for host in cluster.of("postgresql"):
        variables = inventory.hosts[host.name]
        values = {name: variables.get(name, defaults[name]) for name in FLOOR}
        first = first or values
        for name, value in values.items():
            if str(value) != str(first[name]):
                what = f"differs on {host.name} from {first[name]!r} on {cluster.of('postgresql')[0].name}"
                problems.add(name, value, what, "set it in group_vars, once for all members of a cluster")
        _check_seconds({name: int(value) for name, value in values.items() if str(value).isdecimal()}, problems)


def _check_seconds(seconds: Mapping[str, int], problems: Problems) -> None:
    for name, number in seconds.items():
        if number < FLOOR[name]:
            what = "is below Patroni's minimum, which Patroni would use instead"
            problems.add(name, number, what, f"set it to {FLOOR[name]} or more")
    if len(seconds) < len(FLOOR):
        return
    ttl, loop_wait, retry_timeout = (seconds[name] for name in FLOOR)
    if loop_wait + 2 * retry_timeout > ttl:
        what = f"is less than patroni_loop_wait ({loop_wait}) + 2 * patroni_retry_timeout ({retry_timeout})"
        fix = f"raise it to {loop_wait + 2 * retry_timeout} or more, or lower one of the other two"
        problems.add("patroni_ttl", ttl, what, fix)
