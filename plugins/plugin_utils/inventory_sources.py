# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that C(-i) names, in the order in which Ansible reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ansible.inventory.manager import IGNORED

TOPOLOGIES = ("topology.ha.yml", "topology.ha.yaml")
"""How the names of topology files end."""


def is_topology(path: str | None) -> bool:
    """Whether a file is a topology by its name."""
    return path is not None and path.endswith(TOPOLOGIES)


def files(sources: Iterable[str]) -> Iterator[str]:
    """Yield every file, also those in folders at any depth; a comma-separated list of hosts is not a file."""
    for source in sources:
        if Path(source).is_dir():
            entries = sorted(entry for entry in Path(source).iterdir() if not IGNORED.search(entry.name.encode()))
            yield from files(map(str, entries))
        elif "," not in source:
            yield source


def folders(sources: Iterable[str]) -> list[Path]:
    """Return the folders in which Ansible looks for group_vars, each once, for sources that exist."""
    paths = [path for path in map(Path, sources) if path.exists()]
    return list(dict.fromkeys(path if path.is_dir() else path.parent for path in paths))


def secrets_files(directories: Iterable[Path]) -> list[Path]:
    """Return the path of each folder's secrets file, which may not exist yet."""
    return [directory / "group_vars" / "all" / "secrets.yml" for directory in directories]


def after(sources: Iterable[str], path: str) -> list[str]:
    """Return the files that Ansible reads after a given one, without other topologies."""
    listed = list(dict.fromkeys(files(sources)))
    rest = listed[listed.index(path) + 1 :] if path in listed else []
    return [name for name in rest if not is_topology(name)]
