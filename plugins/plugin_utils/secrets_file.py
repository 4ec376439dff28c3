# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets of an inventory: which there must be, and how a file is completed without touching what it has."""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

SECRETS_VARIABLE = "ha_secrets"
ROLES_VARIABLE = "ha_role_passwords"
SECRETS = (
    "etcd_root",
    "etcd_patroni",
    "etcd_lease_watcher",
    "postgresql_superuser",
    "postgresql_replication",
    "postgresql_rewind",
    "patroni_rest",
    "pgbackrest_cipher",
    "haproxy_stats",
    "pgbouncer",
)
ALPHABET = string.ascii_letters + string.digits
LENGTH = 32
MINIMUM_LENGTH = {SECRETS_VARIABLE: 16, ROLES_VARIABLE: 8}
HEADER = "---\n# Made by playbooks/secrets.yml, which adds what is missing and never changes what is there.\n"


class SecretsError(ValueError):
    """A secrets file that can't be completed; the message names the variable, never its value."""


class VaultedText(str):
    """A value that the user encrypted in place with `!vault`: carried over unread."""

    __slots__ = ()


class _Loader(yaml.SafeLoader):
    """A safe YAML loader that keeps `!vault` values."""


class _Dumper(yaml.SafeDumper):
    """A safe YAML dumper that writes `!vault` values back."""


_Loader.add_constructor("!vault", lambda loader, node: VaultedText(loader.construct_scalar(node)))  # type: ignore[arg-type]
_Dumper.add_representer(VaultedText, lambda dumper, value: dumper.represent_scalar("!vault", str(value), style="|"))


@dataclass(frozen=True, slots=True)
class Plan:
    """A completed secrets file: its variables (hidden from repr) and the names that were added."""

    document: dict[str, Any] = field(repr=False)
    added: tuple[str, ...]


def new_secret() -> str:
    """Return 32 random letters and digits (190 bits), safe unquoted in every configuration format."""
    return "".join(secrets.choice(ALPHABET) for _position in range(LENGTH))


def parse(text: str) -> dict[str, Any]:
    """Return a secrets file's variables; raises SecretsError when it isn't a YAML mapping."""
    try:
        document = yaml.load(text, Loader=_Loader) or {}  # noqa: S506 (a subclass of SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise SecretsError(f"not valid YAML{f' (line {mark.line + 1})' if mark else ''}") from None
    if not isinstance(document, dict):
        raise SecretsError("must be a mapping of variables")
    return document


def render(document: Mapping[str, Any]) -> str:
    """Return the text of a secrets file."""
    return HEADER + yaml.dump(dict(document), Dumper=_Dumper, sort_keys=False, width=1000)


def check_value(name: str, value: object, minimum: int) -> None:
    """Raise SecretsError when a present secret is not a text of at least minimum characters."""
    if isinstance(value, VaultedText):
        return
    if not isinstance(value, str):
        raise SecretsError(f"{name} must be a text, quote it")
    if len(value) < minimum:
        raise SecretsError(
            f"{name} has {len(value)} characters, {minimum} is the least: choose a longer one or remove the key"
            " to have one generated"
        )


def complete_mapping(
    variable: str, existing: object, keys: Iterable[str], generate: Callable[[], str]
) -> tuple[dict[str, Any], list[str]]:
    """Return a mapping with a value for every key, and the dotted names of those that were generated."""
    if not isinstance(existing, dict):
        raise SecretsError(f"{variable} must be a mapping")
    for key, value in existing.items():
        check_value(f"{variable}.{key}", value, MINIMUM_LENGTH[variable])
    missing = [key for key in keys if key not in existing]
    return existing | {key: generate() for key in missing}, [f"{variable}.{key}" for key in missing]


def complete(document: Mapping[str, Any], roles: Iterable[str], generate: Callable[[], str] = new_secret) -> Plan:
    """Plan a secrets file that has every secret and a password for each SQL role, keeping whatever it has.

    Raises SecretsError when a present value can't serve.
    """
    secret_values, added = complete_mapping(SECRETS_VARIABLE, document.get(SECRETS_VARIABLE) or {}, SECRETS, generate)
    role_values, added_roles = complete_mapping(
        ROLES_VARIABLE, document.get(ROLES_VARIABLE) or {}, sorted(set(roles)), generate
    )
    completed = dict(document) | {SECRETS_VARIABLE: secret_values, ROLES_VARIABLE: role_values}
    return Plan(document=completed, added=(*added, *added_roles))


def topology_roles(topology: object) -> set[str]:
    """Return the names of the SQL roles that a topology.ha.yml asks for; what it can't read it skips."""
    clusters = topology.get("clusters") if isinstance(topology, dict) else None
    names: set[str] = set()
    for cluster in clusters.values() if isinstance(clusters, dict) else ():
        roles = cluster.get("roles") if isinstance(cluster, dict) else None
        for role in roles if isinstance(roles, list) else ():
            name = role.get("name") if isinstance(role, dict) else None
            if isinstance(name, str):
                names.add(name)
    return names
