# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exchanges of the authority by hand, which services could not follow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cryptography")

from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted
from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Deployed
from ansible_collections.holdfast.ha.plugins.plugin_utils.authority_files import AuthorityDirectory
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import Authority, new_key, pem_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.authorities import judge_authorities
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import Host

NOW = datetime.now(UTC)
FORMER, OTHER = (Authority.create(new_key(), name, NOW, 900) for name in ("Former", "Other"))


def pem(*authorities: Authority) -> str:
    return pem_of(one.certificate for one in authorities).decode()


@pytest.fixture
def directory(tmp_path: Path) -> AuthorityDirectory:
    made = AuthorityDirectory(tmp_path / ".pki")
    made.present("Present", NOW, 900)
    return made


def told(directory: AuthorityDirectory, *hosts: tuple[str, bool | None], **variables: Any) -> list[str]:
    """Judge hosts by what they trust, and whether their certificates would still be accepted."""
    known = {"certificates_ca_directory": str(directory.path), **variables}
    seen = [
        (Host(f"db{number}", {}, known), Deployed(trusted=trusted, keeps=keeps))
        for number, (trusted, keeps) in enumerate(hosts, 1)
    ]
    return [difference.text for difference in judge_authorities(seen)]


def own(directory: AuthorityDirectory) -> str:
    return (directory.path / "ca.crt").read_text()


def test_what_hosts_trust_is_fine(directory: AuthorityDirectory) -> None:
    assert told(directory, (own(directory), True), (own(directory) + pem(OTHER), True)) == []
    assert told(directory, ("", None), ("", None)) == []


def test_an_issuer_that_nobody_trusts(directory: AuthorityDirectory) -> None:
    (text,) = told(directory, (pem(FORMER), False), (pem(FORMER), False), ("", None))
    assert text == "services on db1, db2 do not trust the authority that certificates would come from"
    assert told(directory, (pem(FORMER), False), certificates_replace_ca=True) == []


def test_a_renewed_certificate_of_the_same_authority(directory: AuthorityDirectory) -> None:
    before = own(directory)
    directory.present("Present", NOW + timedelta(days=901), 1800, again=True)
    assert own(directory) != before
    assert told(directory, (before, True), (before, True)) == []


def test_a_host_that_comes_back_after_a_change_follows(directory: AuthorityDirectory) -> None:
    present = own(directory)
    assert told(directory, (present, True), (present, True), (pem(FORMER), False)) == []


def test_an_authority_that_certificates_still_need(directory: AuthorityDirectory) -> None:
    present = own(directory) + pem(FORMER)
    (text,) = told(directory, (present, False), (present, False))
    assert text == "ca.crt lacks the authority that the certificates on db1, db2 come from"
    assert told(directory, (present, None), (present, None)) == []


def test_a_key_that_is_not_there_says_nothing(directory: AuthorityDirectory) -> None:
    (directory.path / "ca.crt").write_text(pem(FORMER, OTHER))
    assert told(directory, (own(directory), True)) == []


def test_certificates_of_the_user_s_own(directory: AuthorityDirectory, tmp_path: Path) -> None:
    wanted = Wanted("host.crt", "db1", "holdfast", ("db1",), ())
    path = tmp_path / "db1.crt"
    path.write_text(OTHER.issue(new_key().public_key(), wanted, NOW, 90))
    (directory.path / "ca.crt").write_text(pem(OTHER, FORMER))
    given = {"certificates_given": {"certificate": str(path), "key": "db1.key"}}
    assert told(directory, (pem(FORMER), True), **given) == [
        "services on db1 do not trust the authority that certificates would come from"
    ]
    assert told(directory, (pem(FORMER, OTHER), True), **given) == []


def test_a_replacement_after_the_key_was_lost(directory: AuthorityDirectory) -> None:
    """Hosts that trust the former one only are what each first step begins with."""
    before = own(directory)
    (directory.path / "ca.key").unlink()
    found = directory.read()
    assert found is not None
    directory.begun(found, directory.next_authority(found, "Next", NOW, 900))
    assert told(directory, (before, True), (before, True)) == []
