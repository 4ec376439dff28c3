# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt on this host knows of repositories and their packages."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.module_utils.apt_host import Apt
from ansible_collections.holdfast.ha.plugins.module_utils.package_repositories import (
    PLACES,
    SOURCES,
    Repository,
    is_present,
    is_trusted,
    sources_text,
)
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_version import server, servers

Run = Callable[[Sequence[str]], tuple[int, str, str]]


@dataclass(frozen=True)
class Lack:
    """A package that apt does not have, and the versions of PostgreSQL that it has if the package is a server."""

    name: str
    versions: Sequence[int] | None = None

    @property
    def text(self) -> str:
        """What apt lacks, and what it has instead."""
        if self.versions is None:
            return f"apt has no package {self.name}"
        there = ", ".join(map(str, self.versions)) or "no version"
        return f"apt has no package {self.name}; of PostgreSQL's server it has {there}"


def lacks(apt: Apt, names: Collection[str]) -> list[Lack]:
    """Return those of the packages for which apt has no candidate."""
    candidates = apt.candidates(names)
    missing = [name for name in names if not candidates.get(name)]
    versions = server_versions(apt) if servers(missing) else []
    return [Lack(name, versions if servers([name]) else None) for name in missing]


def server_versions(apt: Apt) -> list[int]:
    """Return the versions of PostgreSQL's server that apt could install."""
    known = servers(apt.names("postgresql-"))
    candidates = apt.candidates([server(str(version)) for version in known])
    return [version for version in known if candidates.get(server(str(version)))]


def present(root: Path = Path("/")) -> list[str]:
    """Return the files of repositories that the collection has written."""
    patterns = (place.format("*").lstrip("/") for place in PLACES)
    return sorted(f"/{path.relative_to(root)}" for pattern in patterns for path in root.glob(pattern))


def knows(apt: Apt, repositories: Iterable[Repository], root: Path = Path("/")) -> bool:
    """Whether apt has the lists of exactly these repositories, and of others, so that what it lacks is not there."""
    wanted = {SOURCES.format(one["name"]): sources_text(one) for one in filter(is_present, repositories)}
    paths = [path for path in present(root) if path.endswith(".sources")]
    found = {path: (root / path.lstrip("/")).read_text(encoding="utf-8", errors="replace") for path in paths}
    listed = apt.listed()
    return bool(listed) and found == wanted and wanted.keys() <= listed


def refusal(repository: Repository, run: Run) -> str:
    """Return why apt can't use a repository, "" if it can. The host's own sources and lists stay as they are."""
    with tempfile.TemporaryDirectory(prefix="holdfast-repository-") as folder:
        place = Path(folder)
        keyring, parts, lists = place / "key.asc", place / "parts", place / "lists"
        for directory in (parts, lists, lists / "partial"):
            directory.mkdir()
        # apt fetches and verifies as the user _apt.
        for directory in (place, parts, lists):
            directory.chmod(0o755)
        if not is_trusted(repository):
            keyring.write_text(repository["key"], encoding="utf-8")
            keyring.chmod(0o644)
        (parts / "one.sources").write_text(sources_text(repository, str(keyring)), encoding="utf-8")
        options = {
            "Dir::Etc::SourceList": os.devnull,
            "Dir::Etc::SourceParts": parts,
            "Dir::State::Lists": lists,
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Acquire::Languages": "none",
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        rc, out, err = run(["apt-get", "update", "--quiet", "--error-on=any", *words])
    return told(out + err) if rc else ""


def told(printed: str) -> str:
    """Return what apt says of a repository's failure, errors first."""
    lines = [line.strip() for line in printed.splitlines()]
    said = [line for kind in ("E:", "W:") for line in lines if line.startswith(kind)]
    return " | ".join(dict.fromkeys(said or lines[-3:]))
