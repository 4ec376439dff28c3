# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time site.yml with one and with three clusters in one inventory, and ansible-inventory with many hosts.

    python -m scripts.bench_scale                  7 and 21 nodes, from bare ones, and 900 hosts of ansible-inventory
    python -m scripts.bench_scale --clusters 3     three clusters only
    python -m scripts.bench_scale --inventory 900  ansible-inventory only, on so many hosts

Each cluster is like the lab's: three database hosts, two balancers, a repository host and a client. Only one of the
inventories has nodes at a time; a running lab is left alone, but takes its share of the machine.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from scripts.bench import LAB, ROOT, Run, deploy, measure, nodes, table

_STATE = ROOT / ".lab"
_HOSTS = {"db1": 1, "db2": 2, "db3": 3, "lb1": 4, "lb2": 5, "backup1": 6, "client1": 7}
_GROUPS = {
    "etcd": ("db1", "db2", "db3"),
    "postgresql": ("db1", "db2", "db3"),
    "haproxy": ("lb1", "lb2"),
    "backup": ("backup1",),
    "client": ("client1",),
}
_PER_NETWORK = 20
"""Clusters in one /24: ten addresses each."""


def address(cluster: int, host: int) -> str:
    """The address of a cluster's host; both count from 1. The networks are those of RFC 2544."""
    network, place = divmod(cluster - 1, _PER_NETWORK)
    return f"198.18.{100 + network}.{place * 10 + host + 10}"


def inventory_of(clusters: int) -> dict[str, Any]:
    """The hosts.yml for a number of clusters."""
    groups = {
        f"c{cluster}_{group}": {
            "hosts": {f"c{cluster}-{name}": {"ansible_host": address(cluster, _HOSTS[name])} for name in names}
        }
        for cluster in range(1, clusters + 1)
        for group, names in _GROUPS.items()
    }
    return {"all": {"children": groups}}


def topology_of(clusters: int) -> dict[str, Any]:
    """The topology.ha.yml for a number of clusters."""
    lab = yaml.safe_load((LAB / "topology.ha.yml").read_text(encoding="utf-8"))
    shape = lab["clusters"]["lab"]
    return {
        "plugin": lab["plugin"],
        "clusters": {
            f"c{cluster}": {
                **shape,
                "groups": {group: f"c{cluster}_{group}" for group in shape["groups"]},
                "network": f"{address(cluster, 0).rpartition('.')[0]}.0/24",
                "vips": {"main": {"address": f"{address(cluster, 8)}/24", "virtual_router_id": cluster % 250 + 1}},
            }
            for cluster in range(1, clusters + 1)
        },
    }


def variables() -> dict[str, Any]:
    """The lab's variables of all hosts, with the paths of this repository in them."""
    merged: dict[str, Any] = {}
    for name in ("connection.yml", "patroni.yml"):
        text = (LAB / "group_vars/all" / name).read_text(encoding="utf-8")
        merged |= yaml.safe_load(text.replace("{{ inventory_dir | default('.') }}/../..", str(ROOT)))
    return merged


def write(clusters: int, directory: Path) -> Path:
    """Write an inventory for a number of clusters, with its secrets; return its directory."""
    for path, data in (
        (directory / "hosts.yml", inventory_of(clusters)),
        (directory / "topology.ha.yml", topology_of(clusters)),
        (directory / "group_vars/all/bench.yml", variables()),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    hosts, playbook = directory / "hosts.yml", ROOT / "playbooks/secrets.yml"
    measure("secrets", clusters, "ansible-playbook", "-i", hosts, playbook, "-e", "secrets_plaintext=true")
    return directory


def cluster_runs(clusters: int) -> list[Run]:
    """The four runs of site.yml from bare nodes, which are removed at the end."""
    directory = write(clusters, _STATE / f"bench-{clusters}")
    try:
        return deploy(directory)
    finally:
        nodes("down", directory)


def inventory_run(hosts: int) -> Run:
    """ansible-inventory on a number of hosts."""
    clusters = -(-hosts // len(_HOSTS))
    directory = write(clusters, _STATE / f"bench-{clusters}")
    return measure("ansible-inventory", clusters * len(_HOSTS), "ansible-inventory", "-i", directory, "--list")


def main() -> int:
    """Print the table; 0 when all runs succeeded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clusters", type=int, nargs="*", help="how many clusters in one inventory")
    parser.add_argument("--inventory", type=int, nargs="*", help="how many hosts for ansible-inventory")
    chosen = parser.parse_args()
    every = chosen.clusters is None and chosen.inventory is None
    runs = [inventory_run(hosts) for hosts in chosen.inventory or ([7, 21, 900] if every else [])]
    for clusters in chosen.clusters or ([1, 3] if every else []):
        runs += cluster_runs(clusters)
    print(table(runs))
    return 0 if all(run.passed for run in runs) else 1


if __name__ == "__main__":
    sys.exit(main())
