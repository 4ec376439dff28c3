# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Passwords of SQL roles, and roles that stand in for others: what is there, and the statements that are missing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import Rows, Session, answer, connect
from ansible_collections.holdfast.ha.plugins.module_utils.scram import is_password_of, verifier

SECONDS = 15.0
POLL_SECONDS = 0.2
SALT_BYTES = 16
# The statements hold what the server stores of a password; it must not log that either.
UNLOGGED = (
    "-c log_statement=none -c log_min_duration_statement=-1 -c log_min_duration_sample=-1"
    " -c log_min_error_statement=panic -c log_transaction_sample_rate=0 -c auto_explain.log_min_duration=-1"
    " -c pg_stat_statements.track_utility=off -c pgaudit.log=none"
)
RECOVERY = "SELECT pg_is_in_recovery()"
ROLES = """
    SELECT rolname, rolpassword, rolcanlogin, rolreplication, ARRAY(
        SELECT role.rolname::text FROM pg_auth_members
        JOIN pg_roles AS role ON role.oid = roleid WHERE member = found.oid
    ) FROM pg_authid AS found WHERE rolname = ANY(%s)
"""
RECEIVER = "SELECT status, conninfo FROM pg_stat_wal_receiver"


@dataclass(frozen=True)
class Wanted:
    """A role with its password. C(like): the role for which it stands in, having all of its rights; else it exists."""

    name: str
    password: str = field(repr=False)
    like: str = ""
    replication: bool = False


@dataclass(frozen=True)
class Role:
    """A role as it is found; C(stored) is what the server keeps of its password."""

    stored: str | None = field(repr=False)
    can_login: bool
    replication: bool
    member_of: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Statement:
    """A statement, and what it does in words."""

    text: str
    sql: str = field(repr=False)


def plan(
    found: Mapping[str, Role], wanted: Sequence[Wanted], absent: Collection[str], salt: Callable[[int], bytes]
) -> list[Statement]:
    """Return the missing statements; a role that does not exist, and stands in for none that does, is left out."""
    missing = [statement for role in wanted for statement in _plan_role(found, role, salt)]
    gone = [Statement(f"drop role {name}", f"DROP ROLE {quoted(name)}") for name in absent if name in found]
    return [*missing, *gone]


def _plan_role(found: Mapping[str, Role], wanted: Wanted, salt: Callable[[int], bytes]) -> Iterator[Statement]:
    there, name = found.get(wanted.name), quoted(wanted.name)
    if (wanted.like or wanted.name) not in found:
        return
    password = f"PASSWORD '{verifier(wanted.password, salt(SALT_BYTES))}'"
    attributes = f"LOGIN{' REPLICATION' if wanted.replication else ''}"
    if there is None:
        yield Statement(f"add role {wanted.name}", f"CREATE ROLE {name} {attributes} {password}")
    elif not is_password_of(wanted.name, wanted.password, there.stored):
        yield Statement(f"set the password of role {wanted.name}", f"ALTER ROLE {name} {password}")
    if not wanted.like:
        return
    if there and not (there.can_login and there.replication >= wanted.replication):
        yield Statement(f"let role {wanted.name} log in", f"ALTER ROLE {name} {attributes}")
    if not (there and wanted.like in there.member_of):
        yield Statement(f"grant {wanted.like} to {wanted.name}", f"GRANT {quoted(wanted.like)} TO {name}")


def quoted(name: str) -> str:
    """Return a name as SQL takes it."""
    return '"{}"'.format(name.replace('"', '""'))


def upstream_role(conninfo: str | None) -> str:
    """Return the role in a connection string as a walreceiver shows it, "" without one."""
    found = re.search(r"(?:^|\s)user='?([^\s']+)", conninfo or "")
    return found[1] if found else ""


class Server:
    """The server of this host, over its local socket. Every method raises TimeoutError or psycopg2.Error."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = {**settings, "options": UNLOGGED}
        self._session: Session | None = None

    def ask(self, statement: str, values: Sequence[Any] = ()) -> Rows:
        """Return a statement's rows."""
        if self._session is None:
            self._session = connect(self._settings, SECONDS)
        return answer(self._session, statement, values, SECONDS)

    def close(self) -> None:
        """Close the session."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def is_primary(self) -> bool:
        """Return whether it accepts writes."""
        return not self.ask(RECOVERY)[0][0]

    def roles(self, names: Sequence[str]) -> dict[str, Role]:
        """Return those of the roles that exist."""
        rows = self.ask(ROLES, (list(names),))
        return {
            name: Role(stored, login, replication, frozenset(groups))
            for name, stored, login, replication, groups in rows
        }

    def wait_for_upstream(self, role: str, seconds: float) -> str:
        """Wait until a standby receives WAL as a role; return why it does not, "" when it does."""
        deadline = time.monotonic() + seconds
        while True:
            status, conninfo = (self.ask(RECEIVER) or [("", "")])[0]
            if status == "streaming" and upstream_role(conninfo) == role:
                return ""
            if time.monotonic() >= deadline:
                now = f"is {status} as {upstream_role(conninfo) or 'another role'}" if status else "does not run"
                return f"the walreceiver {now}, not streaming as {role}, after {seconds:g} s"
            time.sleep(POLL_SECONDS)
