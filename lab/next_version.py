# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A next version of the stack's packages for the lab's nodes: Debian's own with a higher version number.

    python -m lab.next_version up                        all packages of the stack that are installed on a node
    python -m lab.next_version up pgbouncer libpq5       these, and what is installed of the same source packages
    python -m lab.next_version up --security             in a security suite, which unattended-upgrades takes, too
    python -m lab.next_version down                      the nodes and the package host forget them

The content and the maintainer scripts are Debian's (lab/repack.py). The lab's package host serves them; the nodes know
them after the next `apt-get update`. Each `up` raises the version once more. What is installed stays after `down`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_version import of_installed

from lab import packages, repack
from lab.engine import Engine, LabError, ready_engine
from lab.nodes import list_inventory, network_of, nodes_of, running_nodes
from lab.progress import say, step

_INVENTORY = Path("inventory/lab")
_SOURCES = "/etc/apt/sources.list.d/lab-next-version.sources"
_SETTINGS = "/etc/apt/apt.conf.d/01lab-next-version"
_DECLARE = f'cat >{_SOURCES} && echo "$1" >{_SETTINGS}'
_QUERY = "${db:Status-Abbrev}\t${Package}\t${source:Package}\t${Version}\t${Pre-Depends}, ${Depends}\n"


@dataclass(frozen=True)
class Installed:
    """A package as a node has it."""

    name: str
    source: str
    version: str
    depends: str


def installed(listing: str) -> list[Installed]:
    """The installed packages in dpkg-query's output."""
    rows = (line.split("\t") for line in listing.splitlines())
    return [
        Installed(name, source, version, depends) for state, name, source, version, depends in rows if state == "ii "
    ]


def stack(inventory: dict[str, Any]) -> set[str]:
    """The packages that the clusters' hosts need, in `ansible-inventory --list`'s output."""
    hosts = inventory["_meta"]["hostvars"].values()
    return {package for host in hosts for package in host.get("ha", {}).get("packages", ())}


def wanted(found: Iterable[Installed], names: Iterable[str]) -> dict[str, list[str]]:
    """The installed packages built from the same sources as the named ones, and their versions on the nodes.

    A metapackage stands for the package that has its name and a version: postgresql for postgresql-17.
    """
    found = list(found)
    asked = set(of_installed(names, {package.name for package in found}))
    named = [package for package in found if package.name in asked]
    meant = {dependency for package in named for dependency in _versioned_name(package)}
    sources = {package.source for package in (*named, *(one for one in found if one.name in meant))}
    versions: dict[str, set[str]] = {}
    for package in found:
        if package.source in sources:
            versions.setdefault(package.name, set()).add(package.version)
    return {name: sorted(known) for name, known in sorted(versions.items())}


def _versioned_name(package: Installed) -> Iterator[str]:
    for dependency in package.depends.split(","):
        name = re.split(r"[\s(:]", dependency.strip(), maxsplit=1)[0]
        if re.fullmatch(rf"{re.escape(package.name)}-[0-9.]+", name):
            yield name


def sources(url: str, release: str) -> str:
    """The apt source of the new packages."""
    codenames = " ".join(suite.codename for suite in repack.suites(release))
    return f"Types: deb\nURIs: {url}\nSuites: {codenames}\nComponents: main\nTrusted: yes\n"


def up(engine: Engine, inventory: dict[str, Any], names: Sequence[str], *, security: bool) -> None:
    """Repack the packages, serve them, and let the running nodes know the source."""
    network = network_of(nodes_of(inventory))
    nodes = running_nodes(engine, network)
    with step(f"asking {len(nodes)} nodes for their packages"):
        listings = _everywhere(engine, nodes, "dpkg-query", "--show", f"--showformat={_QUERY}")
    found = [package for listing in listings for package in installed(listing)]
    if unknown := sorted(set(names) - {package.name for package in found}):
        raise LabError(f"no running node has the package {', '.join(unknown)}; name installed ones")
    versions = wanted(found, names or stack(inventory))
    if not versions:
        raise LabError("no running node has a package of the stack; make lab installs them")
    with step(f"repacking {len(versions)} packages"):
        url = packages.publish(engine, network.packages_address)
        wish = json.dumps({"security": security, "installed": versions})
        answer = json.loads(packages.in_repository(engine, Path(repack.__file__), wish))
    with step(f"naming their source to {len(nodes)} nodes"):
        direct = f'Acquire::http::Proxy::{network.packages_address} "DIRECT";'
        text = sources(url, answer["release"])
        _everywhere(engine, nodes, "sh", "-c", _DECLARE, "sh", direct, stdin=text)
    for name, (old, new) in answer["versions"].items():
        say(f"  {name} {old} -> {new}")


def down(engine: Engine, inventory: dict[str, Any]) -> None:
    """Remove the source from the running nodes, and the repository."""
    nodes = running_nodes(engine, network_of(nodes_of(inventory)))
    with step(f"removing the new packages' source from {len(nodes)} nodes"):
        _everywhere(engine, nodes, "rm", "-f", _SOURCES, _SETTINGS)
        packages.withdraw(engine)


def _everywhere(engine: Engine, nodes: Sequence[str], *command: str, stdin: str = "") -> list[str]:
    """The output of a command on each node."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda node: engine.run("exec", "-i", node, *command, stdin=stdin), nodes))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("up", "down"))
    parser.add_argument("packages", nargs="*", help="installed packages (default: the whole stack)")
    parser.add_argument("--security", action="store_true", help="in a security suite instead of the release's own")
    parser.add_argument("--inventory", type=Path, default=_INVENTORY, help="of the nodes (default: %(default)s)")
    arguments = parser.parse_intermixed_args()
    try:
        engine = ready_engine()
        inventory = list_inventory(arguments.inventory)
        if arguments.action == "down":
            down(engine, inventory)
        else:
            up(engine, inventory, arguments.packages, security=arguments.security)
    except LabError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
