# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of an authority's replacement, each of which a killed run may leave half done."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

from ansible_collections.holdfast.ha.plugins.plugin_utils.authority_files import AuthorityDirectory, Phase, State
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import (
    Authority,
    RefusedError,
    key_pem,
    new_key,
    pem_of,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def directory(tmp_path: Path) -> AuthorityDirectory:
    made = AuthorityDirectory(tmp_path / "pki")
    made.create("Holdfast CA", NOW, 3650)
    return made


def state_of(directory: AuthorityDirectory) -> State:
    found = directory.read()
    assert found is not None
    return found


def names(certificates: tuple[x509.Certificate, ...]) -> list[str]:
    return [one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value for one in certificates]  # type: ignore[misc]


def begin(directory: AuthorityDirectory) -> State:
    return directory.begun(state_of(directory), directory.next_authority("Next CA", NOW, 3650))


def go_on(directory: AuthorityDirectory) -> State:
    """What a run does: begin where nothing is under way, then step by step."""
    found = state_of(directory)
    if found.phase is Phase.SETTLED:
        found = begin(directory)
    while found.phase is not Phase.SETTLED:
        found = directory.advanced(found)
    return found


def test_a_first_authority(directory: AuthorityDirectory) -> None:
    found = state_of(directory)
    assert (found.phase, names(found.trusted), found.superseded) == (Phase.SETTLED, ["Holdfast CA"], ())
    assert directory.issuing().certificate == found.issuer
    assert {path.name: path.stat().st_mode & 0o777 for path in directory.path.iterdir()} == {
        "ca.crt": 0o644,
        "ca.key": 0o600,
    }
    assert AuthorityDirectory(directory.path.with_name("none")).read() is None


def test_the_steps(directory: AuthorityDirectory) -> None:
    first = state_of(directory)
    trust = begin(directory)
    assert (trust.phase, names(trust.trusted)) == (Phase.TRUST, ["Next CA", "Holdfast CA"])
    assert directory.issuing().certificate == first.issuer
    assert directory.authority("next").certificate == trust.following
    issue = directory.advanced(trust)
    assert (issue.phase, issue.trusted) == (Phase.ISSUE, trust.trusted)
    assert directory.issuing().certificate == issue.issuer == trust.following
    distrust = directory.advanced(issue)
    assert (distrust.phase, distrust.trusted) == (Phase.DISTRUST, (issue.issuer,))
    assert directory.authority("old").certificate == first.issuer
    end = directory.advanced(distrust)
    assert (end.phase, end.trusted) == (Phase.SETTLED, (issue.issuer,))
    assert {path.name for path in directory.path.iterdir()} == {"ca.crt", "ca.key"}


def test_hosts_files_change_twice_only(directory: AuthorityDirectory) -> None:
    """etcd restarts at each change of what hosts trust."""
    bundles = [state_of(directory).bundle]
    found = begin(directory)
    while found.phase is not Phase.SETTLED:
        bundles.append(found.bundle)
        found = directory.advanced(found)
    assert [one == other for one, other in itertools.pairwise(bundles)] == [False, True, False]


class KilledError(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("number", range(LAST_CHANGE := 16))
def test_killed_after_any_change_of_a_file_the_next_run_completes_it(
    directory: AuthorityDirectory, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    former, left = state_of(directory).issuer, [number]

    def then_killed(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **named: Any) -> Any:
            done = change(*arguments, **named)
            left[0] -= 1
            if left[0] < 0:
                raise KilledError
            return done

        return changed

    with monkeypatch.context() as patched, contextlib.suppress(KilledError):
        for name in ("replace", "unlink"):
            patched.setattr(Path, name, then_killed(getattr(Path, name)))
        go_on(directory)
    assert number < LAST_CHANGE - 1 or left[0] >= 0, "there are more changes to be killed after"
    found = state_of(directory)
    assert directory.issuing().certificate in found.trusted
    if found.phase is not Phase.SETTLED or former in found.trusted:
        found = go_on(directory)
    assert (found.phase, names(found.trusted)) == (Phase.SETTLED, ["Next CA"])
    assert former not in found.trusted
    assert {path.name for path in directory.path.iterdir()} == {"ca.crt", "ca.key"}


def test_a_passphrase_is_that_of_all_keys(tmp_path: Path) -> None:
    directory = AuthorityDirectory(tmp_path / "pki", "secret")
    directory.create("Holdfast CA", NOW, 9)
    begin(directory)
    assert b"ENCRYPTED" in (directory.path / "next.key").read_bytes()
    with pytest.raises(RefusedError, match="can't be read"):
        AuthorityDirectory(directory.path, "other").read()
    assert go_on(directory).phase is Phase.SETTLED


def test_others_that_are_trusted_stay(directory: AuthorityDirectory) -> None:
    other = Authority.create(new_key(), "Other CA", NOW, 9).certificate
    with (directory.path / "ca.crt").open("ab") as file:
        file.write(pem_of([other]))
    assert names(go_on(directory).trusted) == ["Next CA", "Other CA"]


def test_an_offline_key_is_that_of_the_first(directory: AuthorityDirectory) -> None:
    other = Authority.create(new_key(), "Other CA", NOW, 9).certificate
    with (directory.path / "ca.crt").open("ab") as file:
        file.write(pem_of([other]))
    (directory.path / "ca.key").unlink()
    assert names((state_of(directory).issuer,)) == ["Holdfast CA"]


def test_a_key_of_none_of_them(directory: AuthorityDirectory) -> None:
    (directory.path / "ca.crt").write_bytes(
        pem_of(Authority.create(new_key(), name, NOW, 9).certificate for name in ("One", "Two"))
    )
    with pytest.raises(RefusedError, match="not the key of a certificate"):
        directory.read()


def below(
    issuer: Authority, common_name: str, *, is_authority: bool = True, days: int = 900, now: datetime = NOW
) -> Authority:
    """An intermediate authority, or one that only claims to be one."""
    key = new_key()
    builder = x509.CertificateBuilder(
        issuer_name=issuer.certificate.subject,
        subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]),
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - timedelta(days=9),
        not_valid_after=now + timedelta(days=days),
    )
    for extension in (
        x509.BasicConstraints(ca=is_authority, path_length=None),
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()),
    ):
        builder = builder.add_extension(extension, critical=False)
    return Authority(builder.sign(issuer.key, hashes.SHA256()), key)


def offer(directory: AuthorityDirectory, key: Any, *certificates: x509.Certificate) -> None:
    (directory.path / "next.key").write_bytes(key_pem(key, ""))
    (directory.path / "next.crt").write_bytes(pem_of(certificates))


def root_of(common_name: str, *, now: datetime = NOW, path_length: int | None = None) -> Authority:
    """A root that has room for authorities below it; one that Holdfast makes has none."""
    key = new_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=9)).not_valid_after(now + timedelta(days=900))
    for extension in (
        x509.BasicConstraints(ca=True, path_length=path_length),
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
    ):
        builder = builder.add_extension(extension, critical=False)
    return Authority(builder.sign(key, hashes.SHA256()), key)


def test_a_next_authority_of_the_user_s_below_a_root(directory: AuthorityDirectory) -> None:
    root = root_of("Root")
    own = below(root, "Own CA")
    offer(directory, own.key, own.certificate, root.certificate)
    trust = begin(directory)
    assert names(trust.trusted) == ["Own CA", "Root", "Holdfast CA"]
    end = go_on(directory)
    assert (end.issuer, names(end.trusted)) == (own.certificate, ["Own CA", "Root"])
    # and another one of the same root
    another = below(root, "Another CA")
    offer(directory, another.key, another.certificate, root.certificate)
    assert names(go_on(directory).trusted) == ["Another CA", "Root"]


def test_next_authorities_that_are_refused(directory: AuthorityDirectory) -> None:
    root, narrow = root_of("Root"), root_of("Narrow", path_length=0)
    offered = {
        "allows 0 authorities below it": (below(narrow, "Own CA"), (narrow.certificate,)),
        "is missing: add those up to the root": (below(root, "Own CA"), ()),
        "is no authority": (below(root, "db1", is_authority=False), (root.certificate,)),
        "is valid from": (below(root, "Own CA", days=-1), (root.certificate,)),
    }
    for message, (own, above) in offered.items():
        offer(directory, own.key, own.certificate, *above)
        with pytest.raises(RefusedError, match=message):
            begin(directory)
    offer(directory, new_key(), root.certificate)
    with pytest.raises(RefusedError, match=r"next\.key is not the key"):
        begin(directory)
    present = directory.issuing()
    offer(directory, present.key, present.certificate)
    with pytest.raises(RefusedError, match="has the present key"):
        begin(directory)
    (directory.path / "next.key").unlink()
    with pytest.raises(RefusedError, match=r"without next\.key"):
        begin(directory)
    assert state_of(directory).phase is Phase.SETTLED


def test_a_prediction_makes_no_file(directory: AuthorityDirectory) -> None:
    before = os.listdir(directory.path)  # noqa: PTH208
    assert names(tuple(directory.next_authority("Next CA", NOW, 9, dry=True))) == ["Next CA"]
    assert os.listdir(directory.path) == before  # noqa: PTH208


def test_one_that_ended_begins_anew_with_its_key(directory: AuthorityDirectory) -> None:
    former = state_of(directory).issuer
    again = directory.create("Holdfast CA", NOW, 9)
    assert again.issuer != former
    assert again.issuer.public_key() == former.public_key()
    assert directory.issuing().certificate == again.issuer
