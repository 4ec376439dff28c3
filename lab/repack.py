# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's packages with a higher version in a repository of their own. It runs on the lab's package host, by itself.

    python3 repack.py FOLDER PROXY <wish.json    download, repack, and write the repository's index to FOLDER

The wish: {"security": false, "installed": {package: [version, ...]}}. The answer on standard output: {"release":
"trixie", "versions": {package: [version of the archive, new version]}}.

Only the control file of a package changes: its version, and relations to the exact version of a package that is
repacked with it. Files, scripts and triggers are those of the archive, byte for byte.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

_MAGIC = b"!<arch>\n"
_MEMBER_HEADER = 60
_RELATIONS = ("Pre-Depends", "Depends", "Recommends", "Suggests", "Enhances", "Breaks", "Conflicts", "Replaces")
_RELATION = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9.+-]+)(?P<rest>(?::[a-z0-9]+)?\s*\(\s*(?:=|<=)\s*)(?P<version>[^)\s]+)"
)
_SUFFIX = re.compile(r"\+holdfast([0-9]+)$")

Versions = Mapping[str, tuple[str, str]]
"""By package: the archive's version, and the new one."""


@dataclass(frozen=True)
class Suite:
    """A suite of the repository, named as the archive's own."""

    codename: str
    label: str
    suite: str


def suites(release: str) -> tuple[Suite, Suite]:
    """The suites of a point release and of security updates of a Debian release."""
    return Suite(release, "Debian", "stable"), Suite(f"{release}-security", "Debian-Security", "stable-security")


def serial(version: str) -> int:
    """How often a version was raised; 0 for one of the archive."""
    found = _SUFFIX.search(version)
    return int(found[1]) if found else 0


def members(archive: bytes) -> list[tuple[str, bytes]]:
    """The names and contents of an ar archive's members, which a .deb is; ValueError for anything else."""
    if not archive.startswith(_MAGIC):
        raise ValueError("not an ar archive")
    found = []
    at = len(_MAGIC)
    while at < len(archive):
        header = archive[at : at + _MEMBER_HEADER]
        size = int(header[48:58])
        at += _MEMBER_HEADER
        found.append((header[:16].decode().rstrip().rstrip("/"), archive[at : at + size]))
        at += size + size % 2
    return found


def joined(parts: Iterable[tuple[str, bytes]]) -> bytes:
    """An ar archive of these members."""
    archive = bytearray(_MAGIC)
    for name, content in parts:
        archive += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        archive += content + b"\n" * (len(content) % 2)
    return bytes(archive)


def control(package: bytes) -> str:
    """The text of a package's control file."""
    with _control_archive(package) as archive:
        file = archive.extractfile("./control")
        assert file is not None
        return file.read().decode()


def field(text: str, name: str) -> str:
    """A field of a control file on one line; empty without it."""
    found = re.search(rf"^{name}:[ \t]*(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def raised(text: str, versions: Versions) -> str:
    """A control file with the new version, and with that of packages to whose exact version it relates."""
    new = versions[field(text, "Package")][1]

    def follow(match: re.Match[str]) -> str:
        old_version, new_version = versions.get(match["name"], ("", ""))
        return match["name"] + match["rest"] + (new_version if match["version"] == old_version else match["version"])

    lines = []
    name = ""
    for line in text.splitlines(keepends=True):
        name = name if line[0] in " \t" else line.partition(":")[0]
        lines.append(_RELATION.sub(follow, line) if name in _RELATIONS else line)
    return re.sub(r"^Version:.*$", f"Version: {new}", "".join(lines), count=1, flags=re.MULTILINE)


def repacked(package: bytes, versions: Versions) -> bytes:
    """The package with its control file raised; all else is as it was."""
    parts = members(package)
    return joined(
        ("control.tar.xz", _raised_archive(package, versions)) if name.startswith("control.tar") else (name, content)
        for name, content in parts
    )


def entry(package: bytes, filename: str) -> str:
    """The package's paragraph in a repository's index."""
    text = control(package).rstrip("\n")
    return f"{text}\nFilename: {filename}\nSize: {len(package)}\nSHA256: {hashlib.sha256(package).hexdigest()}\n"


def release_file(suite: Suite, architecture: str, index: bytes) -> str:
    """The Release file of a suite with one component, whose index is given."""
    path = f"main/binary-{architecture}/Packages"
    return (
        f"Origin: Debian\nLabel: {suite.label}\nSuite: {suite.suite}\nCodename: {suite.codename}\n"
        f"Date: {formatdate(usegmt=True)}\nArchitectures: {architecture}\nComponents: main\n"
        f"SHA256:\n {hashlib.sha256(index).hexdigest()} {len(index)} {path}\n"
    )


def write_index(folder: Path, release: str, architecture: str) -> None:
    """Write the indexes of all suites, each for the packages in pool/<codename>."""
    new = folder / "dists.new"
    shutil.rmtree(new, ignore_errors=True)
    for suite in suites(release):
        found = sorted((folder / "pool" / suite.codename).glob("*.deb"))
        index = "\n".join(entry(path.read_bytes(), str(path.relative_to(folder))) for path in found).encode()
        packages = new / suite.codename / "main" / f"binary-{architecture}" / "Packages"
        packages.parent.mkdir(parents=True)
        packages.write_bytes(index)
        (new / suite.codename / "Release").write_text(release_file(suite, architecture, index))
    shutil.rmtree(folder / "dists", ignore_errors=True)
    new.rename(folder / "dists")


def main() -> None:
    folder, proxy = Path(sys.argv[1]), sys.argv[2]
    wish = json.load(sys.stdin)
    release = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(), re.MULTILINE)
    assert release is not None
    point, security = suites(release[1])
    downloaded = _download(folder / "download", list(wish["installed"]), proxy)
    texts = {name: control(package) for name, package in downloaded.items()}
    suffix = f"+holdfast{_next_serial(folder, wish['installed'])}"
    versions = {name: (field(text, "Version"), field(text, "Version") + suffix) for name, text in texts.items()}
    _refuse_lower(versions, wish["installed"])
    pool = folder / "pool" / (security if wish["security"] else point).codename
    pool.mkdir(parents=True, exist_ok=True)
    for name, package in downloaded.items():
        for superseded in folder.glob(f"pool/*/{name}_*.deb"):
            superseded.unlink()
        version = versions[name][1].partition(":")[2] or versions[name][1]
        file = pool / f"{name}_{version}_{field(texts[name], 'Architecture')}.deb"
        file.write_bytes(repacked(package, versions))
    write_index(folder, release[1], _output("dpkg", "--print-architecture").strip())
    shutil.rmtree(folder / "download")
    json.dump({"release": release[1], "versions": versions}, sys.stdout)


def _next_serial(folder: Path, installed: Mapping[str, list[str]]) -> int:
    served = (path.stem.split("_")[1] for path in folder.glob("pool/*/*.deb"))
    return 1 + max(map(serial, (*served, *(version for known in installed.values() for version in known))))


def _download(folder: Path, names: list[str], proxy: str) -> dict[str, bytes]:
    """The archive's newest packages, through the cache."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    options = ("-q", "-o", f"Acquire::http::Proxy={proxy}", "-o", "APT::Sandbox::User=root")
    _output("apt-get", *options, "-o", "APT::Update::Error-Mode=any", "update", cwd=folder)
    _output("apt-get", *options, "download", *names, cwd=folder)
    packages = [path.read_bytes() for path in sorted(folder.glob("*.deb"))]
    return {field(control(package), "Package"): package for package in packages}


def _refuse_lower(versions: Versions, installed: Mapping[str, list[str]]) -> None:
    """Refuse new versions that a host would not take, such as those of another release."""
    for name, known in installed.items():
        for version in known:
            if subprocess.run(["dpkg", "--compare-versions", versions[name][1], "gt", version], check=False).returncode:
                raise SystemExit(f"{name}: {versions[name][1]} is not higher than the installed {version}")


def _output(*command: str, cwd: Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:1] + command[-1:])}: {done.stderr.strip()[-800:]}")
    return done.stdout


def _control_archive(package: bytes) -> tarfile.TarFile:
    content = next(content for name, content in members(package) if name.startswith("control.tar"))
    return tarfile.open(fileobj=io.BytesIO(content))


def _raised_archive(package: bytes, versions: Versions) -> bytes:
    out = io.BytesIO()
    with _control_archive(package) as old, tarfile.open(fileobj=out, mode="w:xz", format=tarfile.GNU_FORMAT) as new:
        for member in old:
            content = old.extractfile(member)
            if member.name == "./control":
                text = raised(control(package), versions).encode()
                member.size = len(text)
                new.addfile(member, io.BytesIO(text))
            else:
                new.addfile(member, content)
    return out.getvalue()


if __name__ == "__main__":
    main()
