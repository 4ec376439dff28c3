# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The declared state of a host: from its evaluated variables, as the roles would write it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Deployed, place, retention
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import UNITS, Host, mapping
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    ETCD_USERS,
    FORMER_SECRETS,
    ROLE_PASSWORDS,
    SECRET_VARIABLES,
    SECRETS,
    SQL_ROLES,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import role_defaults

RETENTION = ("full_type", "full", "diff", "archive")
VARIABLES = (
    "backup_jobs",
    "certificates_ca_directory",
    "certificates_ca_passphrase",
    "certificates_given",
    "certificates_replace_ca",
    *SECRET_VARIABLES,
    *FORMER_SECRETS.values(),
    "etcd_data_directory",
    "etcd_settings",
    "patroni_dynamic_configuration",
    "patroni_encoding",
    "patroni_locale",
    "patroni_namespace",
    "patroni_parameters",
    "patroni_replication_username",
    "patroni_rewind_username",
    "patroni_superuser_username",
    "pgbackrest_cipher_type",
    "pgbackrest_log_path",
    "pgbackrest_repositories",
    "pgbackrest_repository_options",
    "pgbackrest_repository_path",
    *(f"pgbackrest_retention_{kind}" for kind in RETENTION),
    "pgbackrest_spool_path",
)
ONLY_OPTIONS = "pgbackrest_repository_options"
ROLES = {secret.name: secret.sql_role for secret in SECRETS if secret.sql_role}


def host_of(name: str, variables: Mapping[str, Any], root: Path, seen: Mapping[str, Any] | None = None) -> Host:
    """Return a host from its variables, evaluated when they are read, and the result of holdfast.ha.deployed_info.

    root: the collection's directory, which has the roles' defaults.
    """
    told = (seen or {}).get("deployed")
    deployed = Deployed.load(told) if told else None
    given: dict[str, Any] = {key: role_defaults(root, "pgbackrest").get(key) for key in VARIABLES}
    for key in (key for key in VARIABLES if key in variables):
        try:
            given[key] = _evaluated(variables[key])
        except AnsibleUndefinedVariable:
            continue
        except AnsibleError:  # The error would show a secret that is not a template. The variable's user reports it.
            given[key] = None
    known = {key: value for key, value in given.items() if value is not None}
    distribution = distribution_versions(root).get(deployed.system, "") if deployed else ""
    return Host(name, variables["ha"], known, deployed, distribution)


def _evaluated(value: Any) -> Any:
    """Return a variable and everything in it, which is evaluated when it is read."""
    if isinstance(value, Mapping):
        return {key: _evaluated(value[key]) for key in value}
    return [_evaluated(item) for item in value] if isinstance(value, list) else value


def distribution_versions(root: Path) -> dict[str, str]:
    """Return the version of PostgreSQL by distribution, such as Debian 13.

    root: the collection's directory.
    """
    platforms = _read(root / "roles" / "patroni" / "vars" / "main.yml")["patroni__platforms"]
    return {system: str(platform["postgresql"]) for system, platform in platforms.items()}


@cache
def _read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return data


def wished(host: Host) -> dict[str, Any]:
    """Return what holdfast.ha.deployed_info compares on the host itself."""
    backup, postgresql, tls = host.ha["backup"] or {}, host.ha["postgresql"] or {}, host.ha["tls"]
    pooler, secrets = host.ha.get("pooler") or {}, secrets_of(host.variables, SECRET_VARIABLES)
    former = secrets_of(host.variables, FORMER_SECRETS.values())
    return {
        "secrets": secrets,
        "former": {name: value for name, value in former.items() if value != secrets.get(name)},
        "data_directory": postgresql.get("data_directory", ""),
        "stanza": backup.get("stanza", ""),
        "repositories": wished_repositories(host.variables) if "repository" in backup.get("kinds", ()) else [],
        "tls": {"ca": tls["ca"], "cert": tls["client_cert"], "key": tls["key"]},
        "certificate": tls["cert"],
        "trusted": trusted(host.variables),
        "units": UNITS,
        "etcd_users": ETCD_USERS,
        "stored": {secret.name: secret.stored for secret in SECRETS if secret.stored},
        "sql_roles": sql_logins(host),
        "rest_user": (postgresql.get("users") or {}).get("rest", ""),
        "console": {"port": pooler["port"], "user": pooler["users"]["admin"]} if pooler else None,
    }


def secrets_of(variables: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    """Return the secrets in two variables, those of SQL roles with the variable's name before theirs."""
    own, of_roles = (mapping(variables.get(name)) for name in names)
    found = {str(name): str(value) for name, value in own.items()}
    return found | {f"{ROLE_PASSWORDS}.{role}": str(value) for role, value in of_roles.items()}


def sql_logins(host: Host) -> dict[str, str]:
    """Return the SQL roles by the secret with their password: the collection's own, and the declared ones."""
    names = sql_role_names(host.variables)
    own = {secret: names[variable] for secret, variable in ROLES.items()}
    declared = (host.ha["postgresql"] or {}).get("roles") or ()
    present = [role["name"] for role in declared if role.get("state") != "absent"]
    return own | {f"{ROLE_PASSWORDS}.{role}": role for role in present}


def sql_role_names(variables: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of the collection's own SQL roles by their variables."""
    return {variable: str(variables.get(variable) or name) for variable, name in SQL_ROLES.items()}


def trusted(variables: Mapping[str, Any]) -> str:
    """Return the authorities that hosts are to trust, as PEM, "" where there are none yet or a new one is asked for."""
    directory = str(variables.get("certificates_ca_directory") or "")
    path = Path(directory).expanduser() / "ca.crt"
    if not directory or variables.get("certificates_replace_ca") or not path.is_file():
        return ""
    return path.read_text(encoding="ascii", errors="replace")


def wished_repositories(variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the repositories as the role pgbackrest writes them, with the variables of their passphrase and retention.

    variables: evaluated, with the role's defaults.
    """
    common = str((variables.get("ha_secrets") or {}).get("pgbackrest_cipher", ""))
    listed = variables.get("pgbackrest_repositories")
    found = []
    for number, given in enumerate(listed or [{}]):
        kind = str(given.get("type") or "posix")
        own = given.get("cipher_pass")
        shared = not own and kind == "posix"
        cipher_type = str(given.get("cipher_type") or variables.get("pgbackrest_cipher_type", ""))
        passphrase = common if shared else str(own or "")
        element = f"pgbackrest_repositories[{number}]."
        options = repository_options(given, variables)
        found.append(
            {
                "variable": "pgbackrest_cipher" if shared else f"{element}cipher_pass",
                "type": options["type"],
                "path": options["path"],
                "path_variable": f"{element}path" if given.get("path") else "pgbackrest_repository_path",
                "place": place(options),
                "retention": retention(options),
                "retention_variable": f"{element if listed else 'pgbackrest_'}retention_",
                "cipher_type": cipher_type,
                "cipher_pass": "" if cipher_type == "none" else passphrase.strip(),  # as pgBackRest reads it
            }
        )
    return found


def repository_options(given: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, str]:
    """Return an element of pgbackrest_repositories as pgBackRest's options, without their prefix repoN-."""
    names = {"sftp_port": "sftp-host-port"}
    common = {f"retention_{kind}": variables.get(f"pgbackrest_retention_{kind}", "") for kind in RETENTION}
    common |= {"type": "posix", "path": variables.get("pgbackrest_repository_path", "")}
    declared = common | {key: value for key, value in given.items() if value is not None and key != "options"}
    more = given.get("options") if variables.get("pgbackrest_repositories") else variables.get(ONLY_OPTIONS)
    options = {names.get(key, key.replace("_", "-")): str(value) for key, value in declared.items()}
    return options | {str(key).removeprefix("repo1-"): str(value) for key, value in (more or {}).items()}


def wished_parameters(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declared parameters of PostgreSQL in lower case, without those that the role patroni sets."""
    dynamic = mapping(mapping(variables.get("patroni_dynamic_configuration")).get("postgresql"))
    own = (mapping(variables.get("patroni_parameters")), mapping(dynamic.get("parameters")))
    given = {str(name).lower(): value for parameters in own for name, value in parameters.items()}
    return {"archive_mode": "on", "archive_command": "/bin/true", **given}


def etcd_directory(etcd: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
    """Return where etcd keeps its data, unless etcd_settings say otherwise."""
    return str(variables.get("etcd_data_directory") or f"/var/lib/etcd/{etcd['token']}")
