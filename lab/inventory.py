# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's inventory with other hosts: a copy of its hosts.yml, and all else by links, secrets and authority included.

    python -m lab.inventory .lab/grown --add db4=postgresql,etcd --add lb3=haproxy
    python -m lab.inventory .lab/shrunk --remove db3 --remove db2=etcd
    python -m lab.inventory .lab/replaced --replace db1=db4
    python -m lab.inventory .lab/fast --profile fast

`make lab LAB_PROFILE=fast` uses the last one. With LAB_OS=bookworm the copy's topology leaves out what Debian 12 lacks;
`make lab` then uses .lab/bookworm.

The folder must lie two levels below a folder with .lab, such as in .lab or inventory. Added hosts are those of
lab/spares.yml; `python -m lab.nodes up lab/spares.yml db4` creates their containers.
"""

from __future__ import annotations

import argparse
import copy
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lab.engine import LabError
from lab.progress import say

_ROOT = Path(__file__).resolve().parent.parent
_LAB = _ROOT / "inventory/lab"
_SPARES = _ROOT / "lab/spares.yml"
_TOPOLOGY = "topology.ha.yml"
_WITHOUT = {"bookworm": ["pgbackrest"]}
"""By release: exporters of which it has no package."""
_LEFT = "left"
"""The group of hosts that have no other one: the controller still reaches them."""

Groups = dict[str, dict[str, Any]]
"""By group: its hosts' variables by host."""


def of_release(release: str) -> Path:
    """The inventory that `make lab` uses with a release."""
    return _ROOT / ".lab" / release if release in _WITHOUT else _LAB


def topology_of(text: str, release: str, profile: str | None = None) -> str:
    """The lab's topology file for a release and a profile, None for the default one."""
    document = yaml.safe_load(text)
    for cluster in document["clusters"].values():
        if release in _WITHOUT:
            cluster["monitoring"] = {"without": _WITHOUT[release]}
        if profile:
            cluster["profile"] = profile
    return yaml.safe_dump(document, sort_keys=False)


def groups_of(text: str) -> Groups:
    """The groups of an inventory file, which share nothing."""
    children = yaml.safe_load(text)["all"]["children"]
    return {name: copy.deepcopy(group["hosts"]) for name, group in children.items()}


def changed(
    groups: Groups,
    spares: Mapping[str, Any],
    *,
    add: Mapping[str, Sequence[str]] | None = None,
    remove: Mapping[str, Sequence[str]] | None = None,
    replace: Mapping[str, str] | None = None,
) -> Groups:
    """The groups with other hosts; LabError names a host or group that is unknown.

    add: the groups of each new host. remove: the groups that a host leaves, without any all of them. replace: the new
    host in the place of each old one.
    """
    result = copy.deepcopy(groups)
    known = {host: variables for hosts in groups.values() for host, variables in hosts.items()} | dict(spares)
    for host, names in (add or {}).items():
        for name in names:
            _group(result, name)[host] = _variables(known, host)
    for host, names in (remove or {}).items():
        _variables(known, host)
        for name in names or result:
            _group(result, name).pop(host, None)
    for old, new in (replace or {}).items():
        _variables(known, old)
        for name, hosts in result.items():
            result[name] = {new if host == old else host: hosts[host] for host in hosts}
            if old in hosts:
                result[name][new] = _variables(known, new)
    return result


def write(
    folder: Path,
    *,
    add: Mapping[str, Sequence[str]] | None = None,
    remove: Mapping[str, Sequence[str]] | None = None,
    replace: Mapping[str, str] | None = None,
    profile: str | None = None,
) -> Path:
    """Write the inventory to the folder, which may exist; return the folder."""
    groups = groups_of((_LAB / "hosts.yml").read_text())
    spares = groups_of(_SPARES.read_text())["spare"]
    known = {host: at for hosts in (*groups.values(), spares) for host, at in hosts.items()}
    groups = changed(groups, spares, add=add, remove=remove, replace=replace)
    grouped = {host for hosts in groups.values() for host in hosts}
    groups[_LEFT] = {host: at for host, at in known.items() if host not in grouped}
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("group_vars", _TOPOLOGY):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(_LAB / name)
    release = os.environ.get("LAB_OS", "trixie")
    if release in _WITHOUT or profile:
        (folder / _TOPOLOGY).unlink()
        (folder / _TOPOLOGY).write_text(topology_of((_LAB / _TOPOLOGY).read_text(), release, profile))
    tree = {
        "vars": {"certificates_ca_directory": str(_LAB / ".pki")},
        "children": {name: {"hosts": hosts} for name, hosts in groups.items()},
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": tree}, sort_keys=False))
    return folder


def _group(groups: Groups, name: str) -> dict[str, Any]:
    if name not in groups:
        raise LabError(f"the lab has no group {name}; it has {', '.join(groups)}")
    return groups[name]


def _variables(known: Mapping[str, Any], host: str) -> Any:
    if host not in known:
        raise LabError(f"neither the lab nor lab/spares.yml has a host {host}; they have {', '.join(known)}")
    return known[host]


def _pair(text: str) -> tuple[str, list[str]]:
    host, _equals, names = text.partition("=")
    return host, [name for name in names.split(",") if name]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the new inventory")
    for option, form, text in (
        ("--add", "HOST=GROUP,…", "a host and its groups"),
        ("--remove", "HOST[=GROUP,…]", "a host, from these groups only, or from all"),
        ("--replace", "OLD=NEW", "another host in all groups of an old one"),
    ):
        parser.add_argument(option, type=_pair, action="append", default=[], metavar=form, help=text)
    parser.add_argument("--profile", metavar="NAME", help="the clusters' profile")
    chosen = parser.parse_args()
    replaced = {old: new for old, (new,) in chosen.replace}
    try:
        write(chosen.folder, add=dict(chosen.add), remove=dict(chosen.remove), replace=replaced, profile=chosen.profile)
    except LabError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
