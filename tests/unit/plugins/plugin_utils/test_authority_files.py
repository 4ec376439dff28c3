# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of an authority's replacement, each of which a killed run may leave half done."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

from ansible_collections.holdfast.ha.plugins.plugin_utils.authority_files import (
    AuthorityDirectory,
    Phase,
    State,
    fingerprint,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import (
    SIGNS_CERTIFICATES,
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
    made.present("Holdfast CA", NOW, 3650)
    return made


def state_of(directory: AuthorityDirectory) -> State:
    found = directory.read()
    assert found is not None
    return found


def names(certificates: tuple[x509.Certificate, ...]) -> list[str]:
    return [one.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value for one in certificates]  # type: ignore[misc]


def begin(directory: AuthorityDirectory) -> State:
    found = state_of(directory)
    return directory.begun(found, directory.next_authority(found, "Next CA", NOW, 3650))


def go_on(directory: AuthorityDirectory) -> State:
    """What a run does: begin where nothing is under way that can be ended, then step by step."""
    found = state_of(directory)
    if found.phase is Phase.SETTLED or (found.phase is not Phase.TRUST and not found.has_key):
        found = begin(directory)
    while found.phase is not Phase.SETTLED:
        proven_for(directory, found)
        found = directory.advanced(found, NOW)
    return found


def proven_for(directory: AuthorityDirectory, found: State) -> None:
    """What a run reads for the hosts: who issues, the client of the next authority, and that of the former one."""
    assert directory.issuing().certificate in found.trusted
    if found.phase is Phase.TRUST:
        assert directory.authority("next").certificate == found.following
    if found.phase is Phase.DISTRUST:
        leaving = directory.leaving()
        assert leaving is None or leaving.certificate in found.leaving


def test_a_first_authority(directory: AuthorityDirectory) -> None:
    found = state_of(directory)
    assert (found.phase, names(found.trusted), found.leaving) == (Phase.SETTLED, ["Holdfast CA"], ())
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
    issue = directory.advanced(trust, NOW)
    assert (issue.phase, issue.trusted) == (Phase.ISSUE, trust.trusted)
    assert directory.issuing().certificate == issue.issuer == trust.following
    distrust = directory.advanced(issue, NOW)
    assert (distrust.phase, distrust.trusted) == (Phase.DISTRUST, (issue.issuer,))
    assert directory.authority("old").certificate == first.issuer
    end = directory.advanced(distrust, NOW)
    assert (end.phase, end.trusted) == (Phase.SETTLED, (issue.issuer,))
    assert files_of(directory) == {"ca.crt", "ca.key", "rotated"}


def test_when_it_took_the_place_of_another_one(directory: AuthorityDirectory) -> None:
    assert directory.rotated(state_of(directory)) is None
    end = go_on(directory)
    assert directory.rotated(end) == NOW
    ended = NOW + timedelta(days=3651)
    _before, again = directory.present("Holdfast CA", ended, 9, again=True)
    assert directory.rotated(again) is None
    for content in ("", "yesterday", f"{NOW.isoformat()} 1", f"yesterday {fingerprint(again.issuer)}"):
        (directory.path / "rotated").write_text(content)
        assert directory.rotated(again) is None


def test_hosts_files_change_twice_only(directory: AuthorityDirectory) -> None:
    """etcd restarts at each change of what hosts trust."""
    bundles = [state_of(directory).bundle]
    found = begin(directory)
    while found.phase is not Phase.SETTLED:
        bundles.append(found.bundle)
        found = directory.advanced(found, NOW)
    assert [one == other for one, other in itertools.pairwise(bundles)] == [False, True, False]


class KilledError(BaseException):
    """The process ends here."""


def killed_after(number: int, patched: pytest.MonkeyPatch, work: Callable[[], Any]) -> bool:
    """Do a piece of work, and die after so many changes of files; return whether it came to that."""
    left = [number]

    def then_killed(change: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **named: Any) -> Any:
            done = change(*arguments, **named)
            left[0] -= 1
            if left[0] < 0:
                raise KilledError
            return done

        return changed

    with patched.context() as patch:
        for name in ("replace", "unlink"):
            patch.setattr(Path, name, then_killed(getattr(Path, name)))
        try:
            work()
        except KilledError:
            return True
    return False


def lose(name: str) -> Callable[[AuthorityDirectory], None]:
    def lost(directory: AuthorityDirectory) -> None:
        (directory.path / name).unlink()

    return lost


def at(phase: Phase) -> Callable[[AuthorityDirectory], None]:
    """Take the steps to a phase, and lose the key of the issuer there."""

    def went(directory: AuthorityDirectory) -> None:
        found = begin(directory)
        while found.phase is not phase:
            found = directory.advanced(found, NOW)
        (directory.path / "ca.key").unlink()

    return went


def own_next(directory: AuthorityDirectory) -> None:
    root = root_of("Next CA")
    offer(directory, root.key, root.certificate)


STARTS: dict[str, Callable[[AuthorityDirectory], None]] = {
    "with all keys": lambda _directory: None,
    "to an authority of the user's": own_next,
    "with a lost key": lose("ca.key"),
    "with a key lost in the phase trust": at(Phase.TRUST),
    "with a key lost in the phase issue": at(Phase.ISSUE),
    "with a key lost in the phase distrust": at(Phase.DISTRUST),
}
MOST_CHANGES = 16


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("number", range(MOST_CHANGES))
def test_killed_after_any_change_of_a_file_the_next_run_completes_it(
    directory: AuthorityDirectory, monkeypatch: pytest.MonkeyPatch, start: str, number: int
) -> None:
    former = state_of(directory).issuer
    STARTS[start](directory)
    killed = killed_after(number, monkeypatch, lambda: go_on(directory))
    assert number < MOST_CHANGES - 1 or not killed, "there are more changes to be killed after"
    found = state_of(directory)
    if found.phase is not Phase.SETTLED or not found.has_key or former in found.trusted:
        found = go_on(directory)
    assert (found.phase, names(found.trusted)) == (Phase.SETTLED, ["Next CA"])
    assert former not in found.trusted
    assert directory.issuing().certificate == found.issuer
    assert files_of(directory) == {"ca.crt", "ca.key", "rotated"}


ENDED = NOW + timedelta(days=3651)
REPLACED: dict[str, Callable[[AuthorityDirectory], Any]] = {
    "with its key": lambda _directory: None,
    "with a lost key": lose("ca.key"),
    "while it was replaced": begin,
    "while it was replaced, with a lost key": at(Phase.TRUST),
    "with others that are trusted, and a lost key": lambda directory: (trust_too(directory), lose("ca.key")(directory)),
}


@pytest.mark.parametrize("start", REPLACED)
@pytest.mark.parametrize("number", range(8))
def test_killed_while_an_ended_one_is_made_again(
    directory: AuthorityDirectory, monkeypatch: pytest.MonkeyPatch, start: str, number: int
) -> None:
    REPLACED[start](directory)

    def work() -> State:
        return directory.present("Holdfast CA", ENDED, 9, again=True)[1]

    killed = killed_after(number, monkeypatch, work)
    assert number < 7 or not killed, "there are more changes to be killed after"
    again = work()
    assert again.issuer.not_valid_after_utc > ENDED
    assert (again.phase, names(again.trusted)) == (Phase.SETTLED, ["Holdfast CA"])
    assert directory.issuing().certificate == again.issuer == state_of(directory).issuer
    assert files_of(directory) == {"ca.crt", "ca.key"}


def trust_too(directory: AuthorityDirectory, common_name: str = "Other CA") -> x509.Certificate:
    """Have hosts trust another authority, too."""
    other = Authority.create(new_key(), common_name, NOW, 9).certificate
    with (directory.path / "ca.crt").open("ab") as file:
        file.write(pem_of([other]))
    return other


def files_of(directory: AuthorityDirectory) -> set[str]:
    return {path.name for path in directory.path.iterdir()}


# A lost key


def test_a_lost_key(directory: AuthorityDirectory) -> None:
    first = state_of(directory)
    lose("ca.key")(directory)
    lost = state_of(directory)
    assert (lost.phase, lost.issuer, lost.has_key) == (Phase.SETTLED, first.issuer, False)
    with pytest.raises(RefusedError, match=r"ca\.key is missing: put it back, or replace the authority"):
        directory.issuing()
    trust = begin(directory)
    assert (trust.phase, trust.issuer, names(trust.trusted)) == (Phase.TRUST, first.issuer, ["Next CA", "Holdfast CA"])
    assert trust.accepted == trust.bundle
    assert directory.issuing().certificate == trust.following
    issue = directory.advanced(trust, NOW)
    assert (issue.phase, issue.issuer, issue.former) == (Phase.ISSUE, trust.following, first.issuer)
    assert issue.accepted == pem_of([issue.issuer]).decode()
    distrust = directory.advanced(issue, NOW)
    assert (distrust.phase, names(distrust.trusted)) == (Phase.DISTRUST, ["Next CA"])
    assert directory.leaving() is None
    assert directory.advanced(distrust, NOW).phase is Phase.SETTLED


def test_a_key_that_is_lost_while_it_issues(directory: AuthorityDirectory) -> None:
    """Hosts then have certificates of both, and the next run begins another one beside them."""
    at(Phase.ISSUE)(directory)
    lost = state_of(directory)
    assert (lost.phase, names((lost.issuer,)), lost.accepted) == (
        Phase.ISSUE,
        ["Next CA"],
        pem_of([lost.issuer]).decode(),
    )
    following = directory.next_authority(lost, "Third CA", NOW, 9)
    trust = directory.begun(lost, following)
    assert names(trust.trusted) == ["Third CA", "Next CA", "Holdfast CA"]
    assert (trust.phase, trust.issuer, trust.accepted) == (Phase.TRUST, lost.issuer, trust.bundle)
    assert names(go_on(directory).trusted) == ["Third CA"]


def test_a_lost_key_below_a_root(directory: AuthorityDirectory) -> None:
    root = root_of("Root")
    own, another = below(root, "Own CA"), below(root, "Another CA")
    offer(directory, own.key, own.certificate, root.certificate)
    go_on(directory)
    lose("ca.key")(directory)
    trust_too(directory)
    offer(directory, another.key, another.certificate, root.certificate)
    trust = begin(directory)
    assert (trust.issuer, trust.following) == (own.certificate, another.certificate)
    assert names(go_on(directory).trusted) == ["Another CA", "Root", "Other CA"]


def test_a_passphrase_is_that_of_all_keys(tmp_path: Path) -> None:
    directory = AuthorityDirectory(tmp_path / "pki", "secret")
    directory.present("Holdfast CA", NOW, 9)
    begin(directory)
    assert b"ENCRYPTED" in (directory.path / "next.key").read_bytes()
    with pytest.raises(RefusedError, match="can't be read"):
        AuthorityDirectory(directory.path, "other").read()
    assert go_on(directory).phase is Phase.SETTLED


def test_others_that_are_trusted_stay(directory: AuthorityDirectory) -> None:
    trust_too(directory)
    assert names(go_on(directory).trusted) == ["Next CA", "Other CA"]


def test_an_offline_key_is_that_of_the_first(directory: AuthorityDirectory) -> None:
    trust_too(directory)
    (directory.path / "ca.key").unlink()
    assert names((state_of(directory).issuer,)) == ["Holdfast CA"]


def test_a_key_of_none_of_them(directory: AuthorityDirectory) -> None:
    (directory.path / "ca.crt").write_bytes(
        pem_of(Authority.create(new_key(), name, NOW, 9).certificate for name in ("One", "Two"))
    )
    with pytest.raises(RefusedError, match="not the key of a certificate"):
        directory.read()


def below(
    issuer: Authority,
    common_name: str,
    *,
    is_authority: bool = True,
    days: int = 900,
    now: datetime = NOW,
    lacks: type[x509.ExtensionType] | None = None,
) -> Authority:
    """An intermediate authority, or one that only claims to be one, or that lacks an extension."""
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
        SIGNS_CERTIFICATES,
    ):
        if not isinstance(extension, lacks or ()):
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
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
        SIGNS_CERTIFICATES,
    ):
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
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


@pytest.mark.parametrize("lacks", [x509.KeyUsage, x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier])
def test_the_first_one_must_be_one_that_all_programs_accept(tmp_path: Path, lacks: type[x509.ExtensionType]) -> None:
    root, directory = root_of("Root"), AuthorityDirectory(tmp_path)

    def put(own: Authority) -> None:
        (tmp_path / "ca.key").write_bytes(key_pem(own.key, ""))
        (tmp_path / "ca.crt").write_bytes(pem_of([own.certificate, root.certificate]))

    put(below(root, "Own CA"))
    directory.refuse_unfit(NOW)
    put(below(root, "Own CA", lacks=lacks))
    with pytest.raises(RefusedError, match=r"ca\.crt: it isn't accepted: .*RFC 5280.; have it issued anew"):
        directory.refuse_unfit(NOW)
    (tmp_path / "issued").mkdir()
    directory.refuse_unfit(NOW)


def test_next_authorities_that_are_refused(directory: AuthorityDirectory) -> None:
    root, narrow = root_of("Root"), root_of("Narrow", path_length=0)
    offered = {
        "allows 0 authorities below it": (below(narrow, "Own CA"), (narrow.certificate,)),
        "is missing: add those up to the root": (below(root, "Own CA"), ()),
        "is no authority": (below(root, "db1", is_authority=False), (root.certificate,)),
        "is valid from": (below(root, "Own CA", days=-1), (root.certificate,)),
        r"next\.crt: it isn't accepted.*RFC 5280": (below(root, "Own CA", lacks=x509.KeyUsage), (root.certificate,)),
    }
    for message, (own, above) in offered.items():
        offer(directory, own.key, own.certificate, *above)
        with pytest.raises(RefusedError, match=message):
            begin(directory)
    offer(directory, new_key(), root.certificate)
    with pytest.raises(RefusedError, match=r"next\.key is not the key"):
        begin(directory)
    present = directory.issuing()
    for lost in (False, True):
        if lost:
            (directory.path / "ca.key").unlink()
        offer(directory, present.key, present.certificate)
        with pytest.raises(RefusedError, match="has the present key"):
            begin(directory)
    (directory.path / "next.key").unlink()
    with pytest.raises(RefusedError, match=r"without next\.key"):
        begin(directory)
    assert state_of(directory).phase is Phase.SETTLED


def test_an_authority_below_the_present_one_is_refused(directory: AuthorityDirectory) -> None:
    """Hosts would go on to accept certificates of the present one."""
    root = root_of("Root")
    offer(directory, root.key, root.certificate)
    go_on(directory)
    own = below(root, "Own CA")
    offer(directory, own.key, own.certificate, root.certificate)
    before = files_of(directory)
    with pytest.raises(RefusedError, match=r"CN=Root is above CN=Own CA.*move next\.crt and next\.key away"):
        begin(directory)
    assert (state_of(directory).phase, files_of(directory)) == (Phase.SETTLED, before)


def test_a_prediction_makes_no_file(directory: AuthorityDirectory) -> None:
    before = os.listdir(directory.path)  # noqa: PTH208
    assert names(tuple(directory.next_authority(state_of(directory), "Next CA", NOW, 9, dry=True))) == ["Next CA"]
    assert os.listdir(directory.path) == before  # noqa: PTH208


def test_one_that_ended_begins_anew_with_its_key(directory: AuthorityDirectory) -> None:
    former = state_of(directory).issuer
    assert directory.present("Holdfast CA", NOW, 9, again=True)[1].issuer == former
    before, again = directory.present("Holdfast CA", NOW + timedelta(days=3651), 9, again=True)
    assert before is not None
    assert before.issuer == former != again.issuer
    assert again.issuer.public_key() == former.public_key()
    assert directory.issuing().certificate == again.issuer
