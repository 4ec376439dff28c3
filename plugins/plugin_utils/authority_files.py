# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of the certificate authority on the controller, and how one authority takes the place of another.

The files alone say how far a replacement is, and each of its steps is one atomic change of one file:

- TRUST: C(ca.crt) also has the next authority, whose key waits in C(next.key). Hosts are to trust both.
- ISSUE: C(ca.key) is the next one's, the former one's is in C(old.key). Hosts are to get certificates of the next one.
- DISTRUST: C(ca.crt) has lost the former one, which is in C(old.crt). Hosts are to forget it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.holdfast.ha.plugins.module_utils.certificate_x509 import chain_of
from ansible_collections.holdfast.ha.plugins.plugin_utils import controller_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import (
    Authority,
    RefusedError,
    key_pem,
    load_certificates,
    load_key,
    new_key,
    owner_of,
    pem_of,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_chain import chain_problems

if TYPE_CHECKING:
    from cryptography import x509


class Phase(Enum):
    """How far the replacement of an authority is."""

    SETTLED = "settled"
    TRUST = "trust"
    ISSUE = "issue"
    DISTRUST = "distrust"


@dataclass(frozen=True)
class State:
    """The authority by its files.

    trusted: all certificates in C(ca.crt), in their order; issuer: the one that C(ca.key) belongs to. following: the
    one that C(next.key) belongs to. former: the one that C(old.key) belongs to, and that is still trusted.
    """

    phase: Phase
    trusted: tuple[x509.Certificate, ...]
    issuer: x509.Certificate
    following: x509.Certificate | None = None
    former: x509.Certificate | None = None

    @property
    def bundle(self) -> str:
        """What hosts trust, as PEM."""
        return pem_of(self.trusted).decode()

    @property
    def chain(self) -> str:
        """The issuer, and the authorities above it, as PEM."""
        return pem_of([self.issuer, *chain_of(self.issuer, self.trusted)]).decode()

    @property
    def superseded(self) -> tuple[x509.Certificate, ...]:
        """What hosts are to forget at the end: the former authority, and those above it that the issuer has not."""
        if self.former is None:
            return ()
        kept = [self.issuer, *chain_of(self.issuer, self.trusted)]
        return tuple(one for one in (self.former, *chain_of(self.former, self.trusted)) if one not in kept)


class AuthorityDirectory:
    """The files of an authority. Every method raises RefusedError and OSError."""

    def __init__(self, path: Path, passphrase: str = "") -> None:
        self.path = path
        self.passphrase = passphrase

    def read(self) -> State | None:
        """Return the authority, None where there is none yet."""
        if not self._file("ca.crt").exists():
            return None
        trusted = tuple(load_certificates(self._file("ca.crt").read_bytes()))
        if len(trusted) == 1 and not self._file("next.key").exists() and not self._file("old.key").exists():
            return State(Phase.SETTLED, trusted, trusted[0])
        issuer = self._owner("ca.key", trusted) if self._file("ca.key").exists() else trusted[0]
        if issuer is None:
            raise RefusedError(f"{self._file('ca.key')} is not the key of a certificate in ca.crt")
        following, former = self._owner("next.key", trusted), self._owner("old.key", trusted)
        if following is not None:
            return State(Phase.TRUST, trusted, issuer, following)
        if former is not None and former != issuer:
            return State(Phase.ISSUE, trusted, issuer, former=former)
        settled = not self._file("old.key").exists() or former == issuer
        return State(Phase.SETTLED if settled else Phase.DISTRUST, trusted, issuer)

    def age(self, now: datetime) -> float:
        """Return how many seconds ago the trusted authorities changed."""
        return now.timestamp() - self._file("ca.crt").stat().st_mtime

    def issuing(self) -> Authority:
        """Return the authority that issues now."""
        return self.authority("ca")

    def authority(self, which: str) -> Authority:
        """Return the authority of the files C(which.key) and C(ca.crt), or of C(old)."""
        certificates = self._file("old.crt" if which == "old" else "ca.crt").read_bytes()
        return Authority.load(certificates, self._file(f"{which}.key").read_bytes(), self.passphrase)

    def create(self, common_name: str, now: datetime, days: int) -> State:
        """Make the first authority, or one in the place of another that nobody trusts any more; return it.

        C(ca.crt) is written last: the next run after a killed one starts here again, with the key that is there.
        """
        with self._alone():
            key = self._key("ca.key")
            made = Authority.create(key, common_name, now, days)
            self._write("ca.crt", pem_of([made.certificate]), 0o644)
            for name in ("next.crt", "next.key", "old.crt", "old.key"):
                self._file(name).unlink(missing_ok=True)
            return State(Phase.SETTLED, (made.certificate,), made.certificate)

    def next_authority(self, common_name: str, now: datetime, days: int, *, dry: bool = False) -> list[Any]:
        """Return the certificates to be trusted for the next authority: the user's own in C(next.crt), or a new one.

        :arg dry: make the key for this call only.
        """
        if self._file("next.crt").exists():
            if not self._file("next.key").exists():
                raise RefusedError(f"{self._file('next.crt')} is there without next.key: put both there, or none")
            found = load_certificates(self._file("next.crt").read_bytes())
            if self._owner("ca.key", found) is not None:
                raise RefusedError("next.crt has the present key: put that certificate into ca.crt, and run site.yml")
            refuse_unfit(self._owner("next.key", found), found, now)
            return found
        key = new_key() if dry and not self._file("next.key").exists() else self._key("next.key")
        return [Authority.create(key, common_name, now, days).certificate]

    def begun(self, state: State, following: Sequence[Any]) -> State:
        """Have hosts trust the next authority, too; return the state after it."""
        with self._alone():
            self._write("ca.crt", pem_of(dict.fromkeys([*following, *state.trusted])), 0o644)
        return self._read_again()

    def advanced(self, state: State) -> State:
        """Go one step on, once all hosts have followed; return the state after it."""
        with self._alone():
            if state.phase is Phase.TRUST:
                self._write("old.key", self._file("ca.key").read_bytes(), 0o600)
                self._file("next.crt").unlink(missing_ok=True)
                self._file("next.key").replace(self._file("ca.key"))
            elif state.phase is Phase.ISSUE:
                self._write("old.crt", pem_of(state.superseded), 0o644)
                self._write("ca.crt", pem_of(one for one in state.trusted if one not in state.superseded), 0o644)
            else:
                self._file("old.crt").unlink(missing_ok=True)
                self._file("old.key").unlink(missing_ok=True)
        return self._read_again()

    def _read_again(self) -> State:
        found = self.read()
        if found is None:
            raise RefusedError(f"{self._file('ca.crt')} is gone")
        return found

    def _file(self, name: str) -> Path:
        return self.path / name

    def _owner(self, name: str, certificates: Sequence[Any]) -> Any:
        """The certificate that a key's file belongs to; None without the file, or one."""
        if not self._file(name).exists():
            return None
        return owner_of(load_key(self._file(name).read_bytes(), self.passphrase), certificates)

    def _key(self, name: str) -> Any:
        """A key's file, which is made if it is missing."""
        if not self._file(name).exists():
            self._write(name, key_pem(new_key(), self.passphrase), 0o600)
        return load_key(self._file(name).read_bytes(), self.passphrase)

    def _write(self, name: str, content: bytes, mode: int) -> None:
        controller_file.replace(self._file(name), content, mode=mode, keep_mode=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other runs on this controller away within the block."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def refuse_unfit(authority: Any, known: Sequence[Any], now: datetime) -> None:
    """Raise RefusedError unless a certificate is that of an authority which all programs accept as an issuer."""
    if authority is None:
        raise RefusedError("next.key is not the key of a certificate in next.crt")
    found = list(chain_problems([authority, *chain_of(authority, known)], now))
    if found:
        raise RefusedError(f"next.crt: {'; '.join(found)}")
