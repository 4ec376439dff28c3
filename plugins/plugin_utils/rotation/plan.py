# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left to do until every host and service has the desired secrets, from what the hosts tell.

Where services hold a login, another one, its stand-in, has the same rights and the new password meanwhile:

1. open: the stand-in can log in, too
2. move: the services log in as the stand-in
3. change: the login itself gets the new password
4. settle: the services log in as themselves again, with the new password
5. withdraw: the stand-in is gone

So at every moment each service has a login that works, whatever fails over or restarts then. A run that ended anywhere
is continued from what the hosts tell: before step 3 from step 1, afterwards from step 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.deployed import STANDIN, Verdict, combined
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import ROOT
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    COMPONENTS,
    ROLE_PASSWORDS,
    SECRETS,
    SQL_ROLES,
    Secret,
)

PATRONI = {
    "etcd_patroni": "etcd",
    "postgresql_replication": "replication",
    "postgresql_rewind": "rewind",
    "postgresql_superuser": "superuser",
    "patroni_rest": "rest",
}
"""The secrets in Patroni's configuration, with the part of it that each is for."""
OF_ROLE = f"{ROLE_PASSWORDS}."
KNOWN = {secret.name: secret for secret in SECRETS if secret.in_place}


@dataclass(frozen=True, slots=True)
class State:
    """A secret in a cluster: whether the login that it opens accepts it, whether all hosts have stored it, whether a
    stand-in exists and has another password, and whether the former value is accepted; None where that is unknown."""

    name: str
    accepted: bool | None = None
    stored: bool | None = None
    standin: bool | None = None
    foreign: bool | None = None
    former: bool | None = None

    @classmethod
    def of(cls, name: str, verdicts: Sequence[Verdict]) -> State:
        """Return the state by the hosts' verdicts: a standby may not know yet what the primary accepts."""
        return cls(
            name,
            accepted=any_of(verdict.accepted for verdict in verdicts),
            stored=combined(verdict.stored for verdict in verdicts),
            standin=any_of(verdict.standin for verdict in verdicts),
            foreign=combined(verdict.foreign for verdict in verdicts),
            former=any_of(verdict.former for verdict in verdicts),
        )

    @property
    def secret(self) -> Secret:
        """The secret; a role's password is that of its SQL role, which no service of the cluster holds."""
        return KNOWN.get(self.name) or Secret(self.name, sql_role=self.name.removeprefix(OF_ROLE))

    @property
    def changes(self) -> bool:
        """Whether the login needs the new password."""
        return self.secret.is_login and self.accepted is False

    @property
    def settles(self) -> bool:
        """Whether hosts need the new password, or have to leave the stand-in."""
        return self.changes or self.stored is False or self.standin is True


def any_of(verdicts: Iterable[bool | None]) -> bool | None:
    """Return True when one is, else False when one is, None when nothing is known."""
    known = {verdict for verdict in verdicts if verdict is not None}
    return max(known) if known else None


def states_of(told: Iterable[Mapping[str, Verdict]]) -> dict[str, State]:
    """Return the states of a cluster's secrets that can be rotated, from what each host tells."""
    hosts = list(told)
    names = dict.fromkeys(name for verdicts in hosts for name in verdicts if name in KNOWN or name.startswith(OF_ROLE))
    return {name: State.of(name, [verdicts[name] for verdicts in hosts if name in verdicts]) for name in names}


@dataclass(frozen=True, slots=True)
class Login:
    """A login of etcd's or PostgreSQL's, and its secret."""

    secret: Secret
    name: str

    @property
    def standin(self) -> str:
        """The login that stands in for it."""
        return f"{self.name}{STANDIN}"

    @property
    def opened(self) -> dict[str, Any]:
        """The stand-in as a module takes it."""
        replicates = {"replication": True} if self.secret.name == "postgresql_replication" else {}
        return {"name": self.standin, "like": self.name, **replicates}


@dataclass(frozen=True, slots=True)
class Accounts:
    """What is left to do with the logins of one service, as its module takes them: those that open, that change and
    that go; secrets has the secret of each."""

    open: tuple[Mapping[str, Any], ...] = ()
    change: tuple[Mapping[str, Any], ...] = ()
    gone: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Moves:
    """What is left to do in a cluster.

    changes, settles: names of secrets; components: those that hold them; patroni: the parts of Patroni's configuration
    that log in as a stand-in.
    """

    changes: tuple[str, ...] = ()
    settles: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    patroni: tuple[str, ...] = ()
    etcd: Accounts = Accounts()
    sql: Accounts = Accounts()

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data for tasks."""
        return asdict(self)


def plan(states: Mapping[str, State], roles: Mapping[str, str] = SQL_ROLES) -> Moves:
    """Return what is left to do.

    :arg roles: the names of the collection's own SQL roles by their variables.
    """
    settling = [state for state in states.values() if state.settles]
    changing = [state for state in settling if state.changes]
    return Moves(
        changes=tuple(state.name for state in changing),
        settles=tuple(state.name for state in settling),
        components=tuple(dict.fromkeys(holder for state in settling if (holder := holder_of(state.name)))),
        patroni=tuple(PATRONI[state.name] for state in changing if state.secret.standin and state.name in PATRONI),
        etcd=etcd_accounts([(state, Login(state.secret, state.secret.etcd_user)) for state in settling]),
        sql=sql_accounts([(state, Login(state.secret, sql_role(state.secret, roles))) for state in settling]),
    )


def sql_role(secret: Secret, roles: Mapping[str, str]) -> str:
    """Return the name of the SQL role with a password."""
    return roles.get(secret.sql_role, secret.sql_role)


def etcd_accounts(logins: Sequence[tuple[State, Login]]) -> Accounts:
    """Return what is left to do with etcd's users. Root's own password changes with the others'."""
    users = [(state, login) for state, login in logins if login.secret.etcd_user]
    others = [login for state, login in users if state.changes and login.name != ROOT]
    return replace(_accounts(users), change=tuple({"name": login.name, "like": login.name} for login in others))


def sql_accounts(logins: Sequence[tuple[State, Login]]) -> Accounts:
    """Return what is left to do with SQL roles."""
    roles = [(state, login) for state, login in logins if login.secret.sql_role]
    changing = [login for state, login in roles if state.changes]
    return replace(_accounts(roles), change=tuple({"name": login.name} for login in changing))


def _accounts(logins: Sequence[tuple[State, Login]]) -> Accounts:
    """Return the stand-ins to open and to remove, and the secrets."""
    own = [(state, login) for state, login in logins if login.secret.standin]
    names = [(name, login.secret.name) for _state, login in logins for name in (login.name, login.standin)]
    return Accounts(
        open=tuple(login.opened for state, login in own if state.changes),
        gone=tuple(login.standin for state, login in own if state.changes or state.standin),
        secrets=dict(names),
    )


def holder_of(name: str) -> str:
    """Return the component whose files have a secret, "" for none; etcd's own are those of its backup jobs."""
    found = (part.name for part in COMPONENTS for secret in part.secrets if secret.name == name)
    return next(found, "")
