# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tries logins at this host's services: True where one is accepted, False where refused, None without a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.deployed import STANDIN
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import ROOT
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import EtcdClient, WrongPasswordError
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.pgbouncer import CONSOLE_DATABASE, local_settings
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import (
    connect,
    is_refused_password,
    psycopg2,
)
from ansible_collections.holdfast.ha.plugins.module_utils.scram import is_password_of

SECONDS = 3.0
UNAUTHORIZED, FORBIDDEN = 401, 403
NOTHING_TO_CHANGE: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Values:
    """The desired and the former values, by secret."""

    desired: Mapping[str, str] = field(repr=False)
    former: Mapping[str, str] = field(repr=False, default_factory=dict)


@dataclass
class Trials:
    """What the services say of the logins, by secret: of the desired and the former value, whether there is a
    stand-in, and whether that refuses the desired value."""

    accepted: dict[str, bool | None] = field(default_factory=dict)
    former: dict[str, bool | None] = field(default_factory=dict)
    standing: dict[str, bool] = field(default_factory=dict)
    foreign: dict[str, bool] = field(default_factory=dict)

    def with_values(self, values: Values) -> tuple[tuple[dict[str, bool | None], Mapping[str, str]], ...]:
        """Return what is said of the desired and of the former values, with these."""
        return (self.accepted, values.desired), (self.former, values.former)

    def merge(self, other: Trials) -> None:
        """Add what other services say; where two say something of one secret, both must agree to accept it."""
        for own, more in ((self.accepted, other.accepted), (self.former, other.former)):
            for name, verdict in more.items():
                known = [one for one in (own.get(name), verdict) if one is not None]
                own[name] = (all(known) if own is self.accepted else any(known)) if known else None
        self.standing |= other.standing
        self.foreign |= other.foreign


def try_etcd(client: EtcdClient, users: Mapping[str, str], values: Values) -> tuple[Trials, EtcdClient]:
    """Try etcd's users, by secret; return the client too, logged in as root if possible. Raises EndpointError.

    Of a user that does not exist there is no verdict; etcd itself refuses it as it refuses a wrong password.
    """
    found, admin = Trials(), client
    for name, user in users.items():
        for verdicts, known in found.with_values(values):
            if name in known:
                verdicts[name], logged_in = log_in(client, user, known[name])
                admin = logged_in if user == ROOT and logged_in else admin
    if admin is not client:
        names = admin.call("/v3/auth/user/list").get("users", ())
        found.standing = {name: f"{user}{STANDIN}" in names for name, user in users.items()}
        found.foreign = {
            name: log_in(client, f"{users[name]}{STANDIN}", values.desired[name])[0] is False
            for name, stands in found.standing.items()
            if stands and name in values.desired
        }
        missing = [name for name, user in users.items() if user not in names]
        for verdicts, known in found.with_values(values):
            verdicts.update(dict.fromkeys(known.keys() & {*missing}))
    return found, admin


def log_in(client: EtcdClient, user: str, password: str) -> tuple[bool | None, EtcdClient | None]:
    """Return whether etcd accepts a login, None while authentication is off, and the client that is logged in."""
    try:
        logged_in = client.login(user, password)
    except WrongPasswordError:
        return False, None
    return (True, logged_in) if logged_in else (None, None)


def try_roles(roles: Mapping[str, str], stored: Mapping[str, str | None], values: Values) -> Trials:
    """Compare SQL roles' passwords, by secret, with what PostgreSQL has stored, as it would at a login."""
    found = Trials(standing={name: f"{role}{STANDIN}" in stored for name, role in roles.items()})
    found.foreign = {
        name: not is_password_of(f"{roles[name]}{STANDIN}", values.desired[name], stored[f"{roles[name]}{STANDIN}"])
        for name, stands in found.standing.items()
        if stands and name in values.desired
    }
    for verdicts, known in found.with_values(values):
        verdicts.update(
            (name, is_password_of(role, known[name], stored.get(role))) for name, role in roles.items() if name in known
        )
    return found


def try_rest(client: HttpJsonClient) -> bool | None:
    """Try Patroni's REST interface with a change of nothing, which it refuses after the login."""
    try:
        status = client.fetch("PATCH", "/config", NOTHING_TO_CHANGE).status
    except EndpointError:
        return None
    return None if status == FORBIDDEN else status != UNAUTHORIZED


def try_page(client: HttpJsonClient) -> bool | None:
    """Try a page that asks for a password."""
    with suppress(EndpointError):
        return client.fetch("GET", "/").status != UNAUTHORIZED
    return None


def try_console(port: int, username: str, password: str) -> bool | None:
    """Try the console of this host's PgBouncer."""
    if psycopg2 is None:
        return None
    try:
        connect(local_settings(port, CONSOLE_DATABASE, username, password), SECONDS).close()
    except TimeoutError:
        return None
    except psycopg2.Error as error:
        return False if is_refused_password(error) else None
    return True


def each(name: str, values: Values, attempt: Callable[[str], bool | None]) -> Trials:
    """Try the values of one secret with a function of a value."""
    found = Trials()
    for verdicts, known in found.with_values(values):
        if name in known:
            verdicts[name] = attempt(known[name])
    return found


def merged(trials: Iterable[Trials]) -> Trials:
    """Return what several services say."""
    found = Trials()
    for one in trials:
        found.merge(one)
    return found
