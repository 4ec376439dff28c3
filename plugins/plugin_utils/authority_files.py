# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The directory of the certificate authority on the controller, and how one authority takes the place of another.

The files alone say how far a replacement is, and each of its steps is one atomic change of one file, the last one of
the step. C(old.crt) has what hosts are to forget at the end.

- TRUST: C(ca.crt) also has the next authority, whose key waits in C(next.key). Hosts are to trust both.
- ISSUE: C(ca.key) is the next one's, the former one's is in C(old.key). Hosts are to get certificates of the next one.
- DISTRUST: C(ca.crt) has lost the former one, C(old.crt) still has it. Hosts are to forget it.

A lost C(ca.key) does not stop this: nothing is issued until the next authority does, and there is no C(old.key).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_x509 import chain_of, end
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
    spki,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_chain import chain_problems, strict_problems

if TYPE_CHECKING:
    from cryptography import x509


TRIAL = Wanted("trial.crt", "trial", "holdfast", ("trial",), ())
"""The content of a certificate that no host gets."""
REPLACE_LOST = "replace the authority with playbooks/rotate_authority.yml"


class Phase(Enum):
    """How far the replacement of an authority is."""

    SETTLED = "settled"
    TRUST = "trust"
    ISSUE = "issue"
    DISTRUST = "distrust"


@dataclass(frozen=True)
class State:
    """The authority by its files.

    trusted: all certificates in C(ca.crt), in their order; issuer: the one that C(ca.key) belongs to, or belonged to.
    following: the one that C(next.key) belongs to. leaving: what hosts are to forget at the end, the former issuer
    first. has_key: whether C(ca.key) is there.
    """

    phase: Phase
    trusted: tuple[x509.Certificate, ...]
    issuer: x509.Certificate
    following: x509.Certificate | None = None
    leaving: tuple[x509.Certificate, ...] = ()
    has_key: bool = True

    @property
    def bundle(self) -> str:
        """What hosts trust, as PEM."""
        return pem_of(self.trusted).decode()

    @property
    def chain(self) -> str:
        """The issuer, and the authorities above it, as PEM."""
        return pem_of([self.issuer, *chain_of(self.issuer, self.trusted)]).decode()

    @property
    def accepted(self) -> str:
        """What hosts' certificates may come from, as PEM: the issuer, or any trusted one until a lost key is replaced.

        Nothing can be issued in their place before that.
        """
        waits = not self.has_key and self.phase in (Phase.SETTLED, Phase.TRUST)
        return self.bundle if waits else pem_of([self.issuer]).decode()

    @property
    def former(self) -> x509.Certificate | None:
        """The authority that hosts are to forget."""
        return self.leaving[0] if self.leaving else None

    def outgoing(self, following: Any, known: Sequence[Any]) -> tuple[x509.Certificate, ...]:
        """Return what hosts are to forget once another authority issues; raise RefusedError where that is above it.

        :arg known: certificates that have those above the other one.
        """
        kept = [following, *chain_of(following, known)]
        if self.issuer in kept:
            above, below = (one.subject.rfc4514_string() for one in (self.issuer, following))
            text = f"{above} is above {below}, so hosts would still trust it. Rotate to another authority first: move"
            raise RefusedError(f"{text} next.crt and next.key away")
        gone = dict.fromkeys([self.issuer, *chain_of(self.issuer, self.trusted), *self.leaving])
        return tuple(one for one in gone if one not in kept)


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
        has_key, leaving, following = self._file("ca.key").exists(), self._leaving(), self._owner("next.key", trusted)
        if len(trusted) == 1 and not leaving and following is None:
            return State(Phase.SETTLED, trusted, trusted[0], has_key=has_key)
        if has_key:
            issuer = self._owner("ca.key", trusted)
        else:
            # The lost key is the former authority's until next.key takes its place.
            others = [one for one in trusted if one != following]
            begun = following is not None
            issuer = ([one for one in others if (one in leaving) is begun] or others or trusted)[0]
        if issuer is None:
            raise RefusedError(f"{self._file('ca.key')} is not the key of a certificate in ca.crt")
        phase = Phase.SETTLED
        if following is not None:
            phase = Phase.TRUST
        elif leaving and issuer not in leaving:
            phase = Phase.ISSUE if set(leaving) & {*trusted} else Phase.DISTRUST
        return State(phase, trusted, issuer, following, leaving, has_key)

    def rotated(self, state: State) -> datetime | None:
        """Return when the issuer had taken the place of another one, None where it has not, or that is unknown."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            moment, _space, which = self._file("rotated").read_text(encoding="ascii").strip().partition(" ")
            return datetime.fromisoformat(moment) if which == fingerprint(state.issuer) else None
        return None

    def issuing(self) -> Authority:
        """Return the authority that issues now.

        Where its key is lost and hosts already are to trust the next one, that one issues what can't wait.
        """
        if self._file("ca.key").exists():
            return self.authority("ca")
        state = self.read()
        if state is not None and state.phase is Phase.TRUST:
            return self.authority("next")
        raise RefusedError(f"{self._file('ca.key')} is missing: put it back, or {REPLACE_LOST}")

    def leaving(self) -> Authority | None:
        """Return the authority that hosts are to forget, None without its key."""
        return self.authority("old") if self._file("old.key").exists() else None

    def authority(self, which: str) -> Authority:
        """Return the authority of the files C(which.key) and C(ca.crt), or of C(old)."""
        certificates = self._file("old.crt" if which == "old" else "ca.crt").read_bytes()
        return Authority.load(certificates, self._file(f"{which}.key").read_bytes(), self.passphrase)

    def refuse_unfit(self, now: datetime) -> None:
        """Raise RefusedError for an authority of the user's that can't issue what all programs accept.

        One that has issued certificates is left alone, as its hosts accept them; so is one that has ended.
        """
        state = None if self._file("issued").exists() else self.read()
        if state is not None and state.has_key and end(state.issuer) > now:
            refuse_unfit("ca.crt", self._pair(state.issuer, "ca.key"), state.trusted, now)

    def present(self, common_name: str, now: datetime, days: int, *, again: bool = False) -> tuple[State | None, State]:
        """Make the first authority if there is none; return the one before, and after it.

        :arg again: replace one that has ended, too.
        """
        with self._alone():
            found = self.read()
            if found is not None and not (again and end(found.issuer) <= now):
                return found, found
            return found, self._created(common_name, now, days)

    def _created(self, common_name: str, now: datetime, days: int) -> State:
        """Make an authority. C(ca.crt) comes last, and goes first if its key is lost: a killed run is begun again."""
        lost = [] if self._file("ca.key").exists() else ["ca.crt"]
        for name in (*lost, "next.crt", "next.key", "old.key", "old.crt"):
            self._file(name).unlink(missing_ok=True)
        made = Authority.create(self._key("ca.key"), common_name, now, days)
        self._write("ca.crt", pem_of([made.certificate]), 0o644)
        return State(Phase.SETTLED, (made.certificate,), made.certificate)

    def next_authority(
        self, state: State, common_name: str, now: datetime, days: int, *, dry: bool = False
    ) -> list[Any]:
        """Return the certificates to be trusted for the next authority: the user's own in C(next.crt), or a new one.

        :arg dry: make the key for this call only.
        """
        if self._file("next.crt").exists():
            if not self._file("next.key").exists():
                raise RefusedError(f"{self._file('next.crt')} is there without next.key: put both there, or none")
            found = load_certificates(self._file("next.crt").read_bytes())
            own = self._owner("next.key", found)
            if own is not None and spki(own.public_key()) == spki(state.issuer.public_key()):
                raise RefusedError("next.crt has the present key: put that certificate into ca.crt, and run site.yml")
            refuse_unfit("next.crt", None if own is None else self._pair(own, "next.key"), found, now)
            state.outgoing(own, found)
            return found
        key = new_key() if dry and not self._file("next.key").exists() else self._key("next.key")
        return [Authority.create(key, common_name, now, days).certificate]

    def begun(self, state: State, following: Sequence[Any]) -> State:
        """Have hosts trust the next authority, too; return the state after it."""
        trusted = list(dict.fromkeys([*following, *state.trusted]))
        outgoing = state.outgoing(self._owner("next.key", trusted), trusted)
        with self._alone():
            self._write("old.crt", pem_of(outgoing), 0o644)
            self._write("ca.crt", pem_of(trusted), 0o644)
        return self._read_again()

    def advanced(self, state: State, now: datetime) -> State:
        """Go one step on, once all hosts have followed; return the state after it."""
        with self._alone():
            if state.phase is Phase.TRUST:
                if state.has_key:
                    self._write("old.key", self._file("ca.key").read_bytes(), 0o600)
                self._file("next.crt").unlink(missing_ok=True)
                self._file("next.key").replace(self._file("ca.key"))
            elif state.phase is Phase.ISSUE:
                self._write("ca.crt", pem_of(one for one in state.trusted if one not in state.leaving), 0o644)
            else:
                self._write("rotated", f"{now.isoformat()} {fingerprint(state.issuer)}\n".encode(), 0o644)
                self._file("old.key").unlink(missing_ok=True)
                self._file("old.crt").unlink(missing_ok=True)
        return self._read_again()

    def _read_again(self) -> State:
        found = self.read()
        if found is None:
            raise RefusedError(f"{self._file('ca.crt')} is gone")
        return found

    def _file(self, name: str) -> Path:
        return self.path / name

    def _leaving(self) -> tuple[Any, ...]:
        """The certificates in C(old.crt)."""
        file = self._file("old.crt")
        return tuple(load_certificates(file.read_bytes())) if file.exists() else ()

    def _owner(self, name: str, certificates: Sequence[Any]) -> Any:
        """The certificate that a key's file belongs to; None without the file, or one."""
        if not self._file(name).exists():
            return None
        return owner_of(load_key(self._file(name).read_bytes(), self.passphrase), certificates)

    def _pair(self, certificate: Any, name: str) -> Authority:
        """A certificate and its key's file."""
        return Authority(certificate, load_key(self._file(name).read_bytes(), self.passphrase))

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


def fingerprint(certificate: Any) -> str:
    """Return what no other certificate has."""
    return hashlib.sha256(pem_of([certificate])).hexdigest()


def refuse_unfit(name: str, authority: Authority | None, known: Sequence[Any], now: datetime) -> None:
    """Raise RefusedError unless an authority is one which all programs accept as an issuer.

    :arg name: the file of its certificate, and of C(known), those above it.
    """
    if authority is None:
        raise RefusedError("next.key is not the key of a certificate in next.crt")
    found = list(chain_problems([authority.certificate, *chain_of(authority.certificate, known)], now))
    if not found:
        key = new_key()
        issued = authority.issue(key.public_key(), TRIAL, now, 1)
        found = list(strict_problems(issued, key_pem(key, "").decode(), pem_of(known).decode()))
    if found:
        raise RefusedError(f"{name}: {'; '.join(found)}")
