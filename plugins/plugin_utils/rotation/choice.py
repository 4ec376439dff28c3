# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the option C(rotate) asks for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.node import suggestion
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    ROLE_PASSWORDS,
    SECRET_VARIABLES,
    SECRETS,
)

PASSWORDS, CERTIFICATES, AUTHORITY = "passwords", "certificates", "authority"
PARTS = (PASSWORDS, CERTIFICATES, AUTHORITY)
"""What rotate.yml can rotate, each by a playbook of its own; every other word names a password."""
ALL = "all"
KEPT = {secret.name for secret in SECRETS if not secret.in_place}
HOW_KEPT = "can't change in place: add a repository with another passphrase, see docs/rotation.md"


class RefusedError(ValueError):
    """The option is refused; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The parts to rotate, and the dotted names of the passwords."""

    parts: tuple[str, ...]
    names: tuple[str, ...] = ()


def choose(words: Sequence[str], roles: Collection[str]) -> Choice:
    """Return what is asked for by parts and by names, which may be dotted. Raises RefusedError.

    A new authority issues all certificates, so that these are then no part of their own.

    :arg roles: the SQL roles with a password.
    """
    if not words:
        raise RefusedError(f"rotate is not set: name secrets or SQL roles, or {', '.join(PARTS)} or {ALL}")
    parts = [part for part in PARTS if {part, ALL} & set(words)]
    if AUTHORITY in parts and CERTIFICATES in parts:
        parts.remove(CERTIFICATES)
    every = every_name(roles)
    names = list(every) if PASSWORDS in parts else []
    for word in words:
        if word not in (*PARTS, ALL):
            names.append(_name(word, every))
    if names and PASSWORDS not in parts:
        parts.insert(0, PASSWORDS)
    return Choice(tuple(parts), tuple(dict.fromkeys(names)))


def every_name(roles: Collection[str]) -> tuple[str, ...]:
    """Return the dotted names of all passwords that can be rotated."""
    secrets, of_roles = SECRET_VARIABLES
    own = [f"{secrets}.{secret.name}" for secret in SECRETS if secret.in_place]
    return (*own, *(f"{of_roles}.{role}" for role in sorted(roles)))


def _name(word: str, every: Collection[str]) -> str:
    if word.removeprefix(f"{SECRET_VARIABLES[0]}.") in KEPT:
        raise RefusedError(f"rotate: {word} {HOW_KEPT}")
    found = [name for name in every if word in (name, name.partition(".")[2])]
    if len(found) > 1:
        raise RefusedError(f"rotate: {word} is a secret and a SQL role: write {' or '.join(found)}")
    if not found:
        known = [*PARTS, ALL, *(name.partition(".")[2] for name in every)]
        raise RefusedError(f"rotate: {word} is unknown; {suggestion(word, known)}")
    return found[0]


def short(name: str) -> str:
    """Return a dotted name as the hosts tell of it: that of a role's password stays, others lose the variable."""
    return name if name.startswith(f"{ROLE_PASSWORDS}.") else name.partition(".")[2]
