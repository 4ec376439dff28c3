# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories that the real apt verifies, in a directory of their own."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.module_utils import package_repositories, package_sources
from ansible_collections.holdfast.ha.plugins.modules import package_repositories as module

pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or not shutil.which("apt-get") or not shutil.which("gpg"), reason="needs root, apt and gpg"
)
PACKAGES = """Package: postgresql-77
Version: 1
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: none
Filename: ./none.deb
Size: 1
SHA256: {}
"""


class Signer:
    """Keys by name, and what they sign."""

    def __init__(self, home: Path) -> None:
        self.environment = {**os.environ, "GNUPGHOME": str(home)}

    def gpg(self, *arguments: str) -> str:
        command = ["gpg", "--batch", "--yes", "--quiet", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def key(self, name: str) -> str:
        self.gpg("--passphrase", "", "--quick-gen-key", f"{name}@example.org", "ed25519", "sign", "never")
        return self.gpg("--armor", "--export", f"{name}@example.org")


@pytest.fixture(scope="module")
def signer() -> Iterator[Signer]:
    home = Path(tempfile.mkdtemp())  # short, for it holds the agent's socket
    signer = Signer(home)
    yield signer
    subprocess.run(["gpgconf", "--kill", "all"], env=signer.environment, check=True)
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def keys(signer: Signer) -> dict[str, str]:
    return {name: signer.key(name) for name in ("right", "wrong")}


@pytest.fixture
def mirror(signer: Signer, keys: dict[str, str]) -> Iterator[Path]:
    """A directory with packages, which the user _apt can read."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    index = PACKAGES.format("0" * 64).encode()
    (folder / "Packages").write_bytes(index)
    digest = f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
    (folder / "Release").write_text(f"Origin: x\nDate: {formatdate(usegmt=True)}\nSHA256:\n{digest}")
    signer.gpg(
        "--local-user",
        "right@example.org",
        "--output",
        str(folder / "InRelease"),
        "--clearsign",
        str(folder / "Release"),
    )
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in place of /etc/apt."""
    for name in ("SOURCES", "PREFERENCES", "KEYRING"):
        path = getattr(package_repositories, name).replace("/etc/apt", str(tmp_path / "apt"))
        monkeypatch.setattr(package_repositories, name, path)
    places = (package_repositories.SOURCES, package_repositories.PREFERENCES, package_repositories.KEYRING)
    for user in (package_repositories, package_sources):
        monkeypatch.setattr(user, "PLACES", places)
    monkeypatch.setattr(package_sources, "SOURCES", package_repositories.SOURCES)
    return tmp_path / "apt"


Converge = Callable[..., dict[str, Any]]


@pytest.fixture
def converge(place: Path, capsys: pytest.CaptureFixture[str]) -> Converge:
    """Runs the module with these repositories."""

    def run(*repositories: dict[str, Any], **options: Any) -> dict[str, Any]:
        arguments = {"repositories": list(repositories), **options}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return run


def files(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


def repository(mirror: Path, **more: Any) -> dict[str, Any]:
    return {"name": "one", "uris": [f"file:{mirror}"], "suites": ["./"], **more}


def test_a_repository_comes_stays_and_goes(converge: Converge, mirror: Path, keys: dict[str, str], place: Path) -> None:
    one = repository(mirror, key=keys["right"])
    predicted = converge(one, _ansible_check_mode=True, _ansible_diff=True)
    assert predicted["changed"]
    assert files(place) == []
    assert "Signed-By: " in str(predicted["diff"])
    assert converge(one)["changed_paths"] == predicted["changed_paths"]
    there = ["keyrings/holdfast-one.asc", "sources.list.d/holdfast-one.sources"]
    assert files(place) == there
    assert {(place / name).stat().st_mode & 0o777 for name in there} == {0o644}
    shutil.rmtree(mirror, ignore_errors=True)  # what has not changed is not asked again
    mirror.mkdir()
    assert not converge(one)["changed"]
    (place / "sources.list.d/other.sources").touch()
    (place / "preferences.d").mkdir()
    (place / "preferences.d/holdfast-old.pref").touch()
    assert converge()["changed"]
    assert files(place) == ["sources.list.d/other.sources"]


def test_a_wrong_key_leaves_nothing(converge: Converge, mirror: Path, keys: dict[str, str], place: Path) -> None:
    for check in (True, False):
        told = converge(repository(mirror, key=keys["wrong"]), _ansible_check_mode=check)
        assert told["failed"]
        assert "repository one: apt refuses it, so nothing was written" in told["msg"]
        assert "NO_PUBKEY" in told["msg"] or "not signed" in told["msg"]
        assert files(place) == []


def test_a_wrong_key_leaves_the_right_one(converge: Converge, mirror: Path, keys: dict[str, str], place: Path) -> None:
    converge(repository(mirror, key=keys["right"]))
    assert converge(repository(mirror, key=keys["wrong"]))["failed"]
    assert (place / "keyrings/holdfast-one.asc").read_text() == keys["right"]


def test_no_signature_only_where_it_is_declared(converge: Converge, mirror: Path, keys: dict[str, str]) -> None:
    (mirror / "InRelease").unlink()
    assert converge(repository(mirror, key=keys["right"]))["failed"]
    assert converge(repository(mirror, trusted=True))["changed"]


def test_a_repository_that_is_not_there(converge: Converge, tmp_path: Path, place: Path) -> None:
    told = converge(repository(tmp_path / "nowhere", trusted=True))
    assert told["failed"]
    assert "No such file or directory" in told["msg"]
    assert files(place) == []


def test_nonsense_is_refused_before_anything_is_asked(converge: Converge, place: Path) -> None:
    told = converge({"name": "A"})
    assert told["failed"]
    assert "repositories[0].name is no name" in told["msg"]


def test_what_apt_lacks(monkeypatch: pytest.MonkeyPatch, converge: Converge, mirror: Path) -> None:
    refreshed = []
    monkeypatch.setattr(module.Apt, "refresh", lambda _apt: refreshed.append(1))
    monkeypatch.setattr(module.Apt, "names", lambda _apt, _prefix: ["postgresql-15", "postgresql-17", "postgresql-9.6"])
    candidates = {"postgresql-15": "", "postgresql-17": "17.6-0", "patroni": "4.0"}
    monkeypatch.setattr(
        module.Apt, "candidates", lambda _apt, names: {name: candidates.get(name, "") for name in names}
    )
    assert converge(names=["patroni", "postgresql-17"])["refreshed"] is True
    told = converge(names=["patroni", "postgresql-16"])["msg"]
    assert told.startswith("apt has no package postgresql-16; of PostgreSQL's server it has 17. Nothing was installed.")
    assert "apt has no package patroni-x. Nothing" in converge(names=["patroni-x"])["msg"]
    assert converge(names=["patroni-x"], _ansible_check_mode=True)["refreshed"] is False
    assert len(refreshed) == 3


def test_whether_apt_knows_the_repositories(tmp_path: Path) -> None:
    one = {"name": "one", "uris": ["file:/srv"], "suites": ["./"], "trusted": True}
    source = tmp_path / "etc/apt/sources.list.d/holdfast-one.sources"
    debian = "/etc/apt/sources.list.d/debian.sources:1\n"
    listed = f"{debian}/etc/apt/sources.list.d/holdfast-one.sources:2\n"

    def knows(told: str, *repositories: dict[str, Any]) -> bool:
        return package_sources.knows(module.Apt(lambda _command: (0, told, "")), repositories, tmp_path)

    assert not knows("")  # without lists apt knows nothing
    assert knows(debian)
    assert not knows(debian, one)
    source.parent.mkdir(parents=True)
    source.write_text(package_repositories.sources_text(one))
    assert knows(listed, one)
    assert not knows(listed)
    assert not knows(listed, {**one, "uris": ["file:/other"]})
    assert not knows(debian, one)  # its lists could not be fetched
