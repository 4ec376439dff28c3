# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""apt's repositories as data: what is wrong with them, and their files. Nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.holdfast.ha.plugins.module_utils.component import Kind, Ownership, WantedPath

MARK = "Managed by Ansible (holdfast.ha.package_repositories)"
SOURCES = "/etc/apt/sources.list.d/holdfast-{}.sources"
PREFERENCES = "/etc/apt/preferences.d/holdfast-{}.pref"
KEYRING = "/etc/apt/keyrings/holdfast-{}.asc"
PLACES = (SOURCES, PREFERENCES, KEYRING)
"""The files of a repository, in the order in which they are removed: nothing uses a key or a pin without its source."""

SCHEMES = ("file", "http", "https")
BEGIN = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")
WORD = re.compile(r"[^\s#\x00-\x1f\x7f]+")
WORDS = ("types", "uris", "suites", "components", "architectures", "pin_packages")
HIGHEST = 32767
"""apt keeps a priority in 16 bits."""

Repository = Mapping[str, Any]
"""A repository by the options of the module package_repositories. Absent keys have their defaults."""


class Problem(NamedTuple):
    """What is wrong with a key of a repository, and the fix; never with its value."""

    where: str
    what: str
    fix: str


def problems(repositories: Sequence[Any]) -> list[Problem]:
    """Return why repositories are refused. Values of a wrong type are left to the validation of types."""
    entries = [(number, entry) for number, entry in enumerate(repositories) if isinstance(entry, Mapping)]
    found = [
        Problem(f"[{number}].{key}", what, fix)
        for number, entry in entries
        for key, what, fix in (*_name(entry), *(_present(entry) if is_present(entry) else ()))
    ]
    names = [str(entry.get("name")) for _number, entry in entries]
    return found + [
        Problem(f"[{number}].name", f"is also the name of another repository ({name})", "give each a name of its own")
        for number, name in enumerate(names)
        if name in names[:number]
    ]


def is_present(repository: Repository) -> bool:
    """Whether a host is to have a repository."""
    return repository.get("state") != "absent"


def is_trusted(repository: Repository) -> bool:
    """Whether a repository needs no signature."""
    return boolean(repository.get("trusted") or False, strict=False)


def _name(entry: Repository) -> Iterator[Problem]:
    if not NAME.fullmatch(str(entry.get("name"))):
        yield Problem("name", "is no name of a file", "write lower-case letters, digits and -, at most 41")


def _present(entry: Repository) -> Iterator[Problem]:
    for key in WORDS:
        if not all(map(WORD.fullmatch, _words(entry, key))):
            yield Problem(key, "has an empty word, or one with a blank, a # or a line break", "write a list of words")
    yield from _uris(entry)
    yield from _suites(entry)
    yield from _key(entry)
    yield from _pin(entry)


def _words(entry: Repository, key: str) -> list[str]:
    found = entry.get(key) or ()
    return [found] if isinstance(found, str) else [str(word) for word in found] if isinstance(found, list) else []


def _uris(entry: Repository) -> Iterator[Problem]:
    for uri in _words(entry, "uris"):
        scheme, _colon, rest = uri.partition(":")
        if scheme not in SCHEMES or not (rest.startswith("/") if scheme == "file" else urlsplit(uri).hostname):
            yield Problem(
                "uris", "has no URI of a repository", "write it like https://apt.example.org or file:/srv/apt"
            )
        elif "@" in rest.removeprefix("//").partition("/")[0]:
            fix = "put the login into a file of its own in /etc/apt/auth.conf.d, which only root can read"
            yield Problem("uris", "has a login, and everyone on the host may read this file", fix)
    if not _words(entry, "uris"):
        yield Problem("uris", "is missing", "write a list of URIs")


def _suites(entry: Repository) -> Iterator[Problem]:
    suites, components = _words(entry, "suites"), _words(entry, "components")
    flat = [suite for suite in suites if suite.endswith("/")]
    if not suites:
        yield Problem("suites", "is missing", "write a list of suites, or [./] for a directory with packages")
    elif flat and components:
        yield Problem("components", "can't be with a suite that ends in /, which is a directory", "remove it")
    elif len(flat) < len(suites) and not components:
        yield Problem("components", "is missing", "write a list of components, such as [main]")


def _key(entry: Repository) -> Iterator[Problem]:
    key, given = entry.get("key"), entry.get("key") or entry.get("key_file")
    if key and entry.get("key_file"):
        yield Problem("key", "is given beside key_file", "keep one of them")
    elif given and is_trusted(entry):
        yield Problem("trusted", "is true beside a key, which apt would not look at", "keep one of them")
    elif not given and not is_trusted(entry):
        fix = "give the key that signs it in key or key_file; trusted: true takes whatever its server sends"
        yield Problem("key", "is missing", fix)
    elif isinstance(key, str) and key:
        yield from key_problems(key, "key")


def key_problems(text: str, where: str) -> Iterator[Problem]:
    """Yield why a text is no signing key."""
    if "PRIVATE KEY" in text:
        yield Problem(where, "is a private key", "export the public one: gpg --armor --export KEY")
    elif BEGIN not in text or "-----END PGP PUBLIC KEY BLOCK-----" not in text:
        yield Problem(where, "is no armored public key", "write the output of gpg --armor --export KEY")


def _pin(entry: Repository) -> Iterator[Problem]:
    priority = entry.get("pin_priority")
    if priority is None:
        if _words(entry, "pin_packages"):
            yield Problem("pin_packages", "is without pin_priority", "add pin_priority")
    elif isinstance(priority, int) and (priority == 0 or abs(priority) > HIGHEST):
        yield Problem("pin_priority", "is no priority of apt's", f"write 1 to {HIGHEST}, or a negative number")
    elif not all(_pins(entry)):
        what = "is of a directory of the host, which apt can't tell from what is installed"
        yield Problem("pin_priority", what, "remove it, or serve the directory with suites")


def sources_text(repository: Repository, keyring: str = "") -> str:
    """Return the content of a .sources file.

    :arg keyring: path of its key; by default the one that wanted_paths() names.
    """
    fields = {
        "Types": " ".join(_words(repository, "types")) or "deb",
        "URIs": " ".join(_words(repository, "uris")),
        "Suites": " ".join(_words(repository, "suites")),
        "Components": " ".join(_words(repository, "components")),
        "Architectures": " ".join(_words(repository, "architectures")),
        "Signed-By": "" if is_trusted(repository) else keyring or KEYRING.format(repository["name"]),
        "Trusted": "yes" if is_trusted(repository) else "",
    }
    return f"# {MARK}\n" + "".join(f"{name}: {value}\n" for name, value in fields.items() if value)


def preferences_text(repository: Repository) -> str:
    """Return the content of a file of preferences."""
    packages = " ".join(_words(repository, "pin_packages")) or "*"
    stanzas = (
        f"Explanation: {MARK}\nPackage: {packages}\nPin: {pin}\nPin-Priority: {repository['pin_priority']}\n"
        for pin in _pins(repository)
    )
    return "\n".join(stanzas)


def _pins(repository: Repository) -> list[str]:
    """Return what is pinned: the suites by their names, a directory by its server, "" for one without a server."""
    suites = [suite for suite in _words(repository, "suites") if not suite.endswith("/")]
    hosts = [urlsplit(uri).hostname or "" for uri in _words(repository, "uris")]
    # A suite's name may be that of the release, such as bookworm, or of what it is at present, such as oldstable.
    by_name = [f"release {field}={suite}" for suite in suites for field in "na"]
    return by_name or [f'origin "{host}"' if host else "" for host in dict.fromkeys(hosts)]


def wanted_paths(repositories: Iterable[Repository]) -> list[WantedPath]:
    """Return the files of the present repositories: a source comes after its key and its pin."""
    found = []
    for repository in filter(is_present, repositories):
        name = repository["name"]
        if not is_trusted(repository):
            found.append(_file(KEYRING.format(name), f"{repository['key'].strip()}\n"))
        if repository.get("pin_priority") is not None:
            found.append(_file(PREFERENCES.format(name), preferences_text(repository)))
        found.append(_file(SOURCES.format(name), sources_text(repository)))
    return found


def _file(path: str, content: str) -> WantedPath:
    return WantedPath(path, Kind.FILE, Ownership("root", "root", 0o644), content)


def absences(wanted: Iterable[WantedPath], present: Collection[str]) -> list[WantedPath]:
    """Return the absences of the files that are present and not wanted, in the order in which they are removed."""
    kept = {item.path for item in wanted}
    patterns = [re.compile(re.escape(place).replace(r"\{\}", ".*")) for place in PLACES]
    return [
        WantedPath(path, Kind.NOTHING)
        for pattern in patterns
        for path in sorted(present)
        if path not in kept and pattern.fullmatch(path)
    ]


def changed(repositories: Iterable[Repository], paths: Collection[str]) -> list[Repository]:
    """Return the present repositories whose key or source is among changed paths."""
    return [
        one
        for one in filter(is_present, repositories)
        if {SOURCES.format(one["name"]), KEYRING.format(one["name"])} & {*paths}
    ]
