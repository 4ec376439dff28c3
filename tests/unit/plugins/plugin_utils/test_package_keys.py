# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.holdfast.ha.plugins.plugin_utils.package_keys import KeyFileError, key_findings, with_key

KEY = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----\n"


def write(folder: Path, content: bytes) -> dict[str, str]:
    (folder / "key.asc").write_bytes(content)
    return {"name": "one", "key_file": str(folder / "key.asc")}


def test_the_key_comes_from_its_file(tmp_path: Path) -> None:
    repository = write(tmp_path, KEY.encode())
    assert with_key(repository, DataLoader()) == {"name": "one", "key": KEY}
    assert with_key({"name": "one", "key": KEY}, DataLoader()) == {"name": "one", "key": KEY}
    assert list(key_findings([repository], DataLoader())) == []


@pytest.mark.parametrize(
    ("content", "expected"), [(b"\x99\x01\xff", "is no armored public key"), (b"PRIVATE KEY", "is a private key")]
)
def test_a_file_without_a_key(tmp_path: Path, content: bytes, expected: str) -> None:
    repository = write(tmp_path, content)
    with pytest.raises(KeyFileError, match=expected):
        with_key(repository, DataLoader())
    (finding,) = key_findings([{"name": "other"}, repository], DataLoader())
    assert finding.check == "packages_repositories[1]"
    assert expected in finding.value


def test_no_file(tmp_path: Path) -> None:
    missing = {"name": "one", "key_file": str(tmp_path / "none")}
    (finding,) = key_findings([missing], DataLoader())
    assert "No such file or directory on the controller" in finding.value
    assert list(key_findings([{**missing, "state": "absent"}], DataLoader())) == []


@pytest.mark.parametrize("value", [None, "x", 5, ["x", 5]])
def test_other_types_are_left_to_others(value: object) -> None:
    assert list(key_findings(value, DataLoader())) == []
