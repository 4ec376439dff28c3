# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Create and remove the containers that stand for the hosts of an inventory.

    python -m lab.nodes up inventory/lab/hosts.yml      a container holdfast-<host> per host, at its ansible_host
    python -m lab.nodes up lab/spares.yml db4 lb3       only these hosts of the inventory
    python -m lab.nodes down lab/spares.yml db4         only these are gone
    python -m lab.nodes down inventory/lab/hosts.yml    all containers in their network are gone, and the network
    python -m lab.nodes status inventory/lab/hosts.yml  exit 0 when every node runs

A node that reboots starts again, as a host does; one that is powered off or killed stays off until `up`.

LAB_OS chooses the Debian release (trixie, bookworm), LAB_ENGINE the engine (docker, podman). LAB_DATA_MIB gives each
host of the group postgresql its own volume of so many MiB for its databases, which a drill may fill. LAB_CPUS gives
each node its own share of processors (0.27), which is safe from other nodes as long as the sum of all shares does not
exceed the machine's processors; without it all nodes share the machine's.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import packages, processors, volumes
from lab.engine import Engine, LabError, ready_engine, wait_until
from lab.image import node_image
from lab.progress import say, step

_ROOT = Path(__file__).resolve().parent.parent
_STATE = _ROOT / ".lab"
_KEY = _STATE / "id_ed25519"
_KNOWN_HOSTS = _STATE / "known_hosts"
_INOTIFY_INSTANCES_PER_NODE = 5
_BOOT_SECONDS = 90
_HELPERS = (packages.CONTAINER, "holdfast-power")
_DATA = "/var/lib/postgresql"
# The image's package lists are empty, so their time must be old.
_USE_PACKAGE_CACHE = "cat >/etc/apt/apt.conf.d/00lab && touch --date=@0 /var/lib/apt/lists"

# CAP_SYS_TIME is not namespaced: a node must never set the machine's clock.
_CONTAINER_OPTIONS = (
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--cap-drop=SYS_TIME",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--cgroupns=private",
    "--tmpfs=/run",
    "--tmpfs=/tmp",
    "--shm-size=256m",
    "--stop-signal=SIGRTMIN+3",
    # A reboot ends the first process with SIGHUP; the image ends a power off with 0, and the engine knows its own kill.
    "--restart=on-failure",
    "--sysctl=net.ipv6.conf.all.disable_ipv6=0",
)


@dataclass(frozen=True)
class Node:
    """A host of the inventory and the container that stands for it."""

    name: str
    address: ipaddress.IPv4Address
    bears_data: bool = False

    @property
    def container(self) -> str:
        return f"holdfast-{self.name}"

    @property
    def ipv6(self) -> str:
        """An address in the network's own ULA prefix; the host part is that of the IPv4 address."""
        a, b, c, host = str(self.address).split(".")
        return f"fd00:{a}:{b}:{c}::{host}/64"


@dataclass(frozen=True)
class Network:
    """The /24 of all nodes of an inventory."""

    subnet: ipaddress.IPv4Network

    @property
    def name(self) -> str:
        return f"holdfast-{self.subnet.network_address}"

    @property
    def packages_address(self) -> str:
        return str(self.subnet.network_address + 250)


def network_of(nodes: Iterable[Node]) -> Network:
    """The single /24 of all nodes; LabError names several ones."""
    subnets = {ipaddress.IPv4Network(f"{node.address}/24", strict=False) for node in nodes}
    if len(subnets) != 1:
        raise LabError(f"the hosts must lie in exactly one /24, but they lie in {sorted(map(str, subnets)) or 'none'}")
    return Network(subnets.pop())


def nodes_of(inventory: dict[str, Any]) -> list[Node]:
    """The nodes in `ansible-inventory --list`'s output; LabError names a host without a literal IPv4 ansible_host."""
    hostvars = inventory["_meta"]["hostvars"]
    databases = set(members(inventory, "postgresql"))
    nodes = []
    for name in sorted(hostvars):
        address = hostvars[name].get("ansible_host")
        try:
            nodes.append(Node(name, ipaddress.IPv4Address(address), name in databases))
        except ipaddress.AddressValueError:
            raise LabError(f"host {name}: ansible_host is {address!r}; a lab node needs an IPv4 address") from None
    return nodes


def members(inventory: dict[str, Any], group: str) -> Iterator[str]:
    """The hosts of a group and of its child groups in the output of `ansible-inventory --list`."""
    yield from inventory.get(group, {}).get("hosts", [])
    for child in inventory.get(group, {}).get("children", []):
        yield from members(inventory, child)


def read_inventory(path: Path) -> list[Node]:
    """The nodes of an inventory."""
    return nodes_of(list_inventory(path))


def chosen(nodes: list[Node], names: list[str]) -> list[Node]:
    """The nodes with these names, or all without names; LabError names an unknown one."""
    if unknown := sorted(set(names) - {node.name for node in nodes}):
        raise LabError(
            f"the inventory has no host {', '.join(unknown)}; it has {', '.join(node.name for node in nodes)}"
        )
    return [node for node in nodes if not names or node.name in names]


def list_inventory(path: Path) -> dict[str, Any]:
    """The output of `ansible-inventory --list`."""
    program = Path(sys.executable).with_name("ansible-inventory")
    if not program.exists():
        program = _ROOT / ".venv/bin/ansible-inventory"
    result = subprocess.run([program, "-i", path, "--list"], capture_output=True, text=True, check=False)
    if result.returncode:
        raise LabError(f"ansible-inventory -i {path} failed: {result.stderr.strip()}")
    return json.loads(result.stdout)


def running_nodes(engine: Engine, network: Network) -> list[str]:
    """The running containers in the network that stand for hosts, also for those of another inventory."""
    return [name for name in _attached(engine, network, running_only=True) if name not in _HELPERS]


def up(engine: Engine, nodes: list[Node], release: str, image_of: Callable[[Node], str] | None = None) -> None:
    """Create missing nodes, start stopped ones, and wait until every node answers on SSH.

    image_of names the images of nodes that should not start bare.
    """
    network = network_of(nodes)
    running = set(engine.containers(running_only=True))
    if all(node.container in running for node in nodes):
        say(f"{len(nodes)} nodes are running already")
        return
    _check_inotify_room(len(running), len(nodes))
    image = node_image(engine, release)
    _ensure_key()
    _ensure_network(engine, network)
    proxy = packages.serve(engine, image, network.name, network.packages_address)
    existing = set(engine.containers())
    _forget_host_keys(node for node in nodes if node.container not in existing)
    with step(f"creating {len(nodes)} {release} nodes"), ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda node: _ensure_node(engine, node, network, image_of(node) if image_of else image, proxy), nodes
            )
        )
    with step("waiting for systemd and sshd"), ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda node: _wait_for_boot(engine, node), nodes))


def down(engine: Engine, nodes: list[Node]) -> None:
    """Remove the nodes, all others in their network, and the network; the image and the package cache stay."""
    network = network_of(nodes)
    others = [name for name in _attached(engine, network) if name != packages.CONTAINER]
    _remove(engine, {node.container for node in nodes} | set(others))
    packages.leave(engine, network.name)
    if engine.inspect("network", network.name):
        engine.run("network", "rm", network.name)
    _forget_host_keys(nodes)


def remove(engine: Engine, nodes: list[Node]) -> None:
    """Remove these nodes only."""
    _remove(engine, {node.container for node in nodes})
    _forget_host_keys(nodes)


def _remove(engine: Engine, names: set[str]) -> None:
    """Remove the containers with these names that exist, and the volumes of all."""
    if doomed := sorted(names.intersection(engine.containers())):
        with step(f"removing {len(doomed)} nodes"):
            engine.run("rm", "--force", "--volumes", *doomed)
    for name in names:
        volumes.remove(name)


def _attached(engine: Engine, network: Network, *, running_only: bool = False) -> list[str]:
    """The containers in the network."""
    if engine.inspect("network", network.name) is None:
        return []
    return engine.containers(running_only=running_only, network=network.name)


def _check_inotify_room(running: int, wanted: int) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    needed = (running + wanted) * _INOTIFY_INSTANCES_PER_NODE
    if needed > limit:
        raise LabError(
            f"fs.inotify.max_user_instances is {limit}; {running} running and {wanted} new containers may take "
            f"{needed}: remove some, or raise it (sysctl fs.inotify.max_user_instances={needed})"
        )


def _ensure_key() -> None:
    _STATE.mkdir(mode=0o700, exist_ok=True)
    if not _KEY.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "holdfast-lab", "-f", _KEY], check=True)


def _ensure_network(engine: Engine, network: Network) -> None:
    if engine.inspect("network", network.name) is None:
        _refuse_taken_subnet(network.subnet)
        engine.run("network", "create", f"--subnet={network.subnet}", network.name)


def _refuse_taken_subnet(subnet: ipaddress.IPv4Network) -> None:
    """Refuse a network in which the engine's bridge would cut off this machine's own network."""
    routes = subprocess.run(["ip", "-json", "-4", "route"], capture_output=True, text=True, check=True).stdout
    for route in json.loads(routes):
        if route["dst"] != "default" and ipaddress.IPv4Network(route["dst"]).overlaps(subnet):
            raise LabError(
                f"the nodes' network {subnet} overlaps {route['dst']}, which this machine reaches through "
                f"{route['dev']}; give the hosts of the inventory other addresses"
            )


def _ensure_node(engine: Engine, node: Node, network: Network, image: str, proxy: str) -> None:
    known = engine.inspect("container", node.container)
    volumes.attach(node.container)
    if known is None:
        _create_node(engine, node, network, image)
    if known is None or not known["State"]["Running"]:
        engine.run("start", node.container)
    engine.run("exec", "-i", node.container, "sh", "-c", "cat >/root/.ssh/authorized_keys", stdin=_public_key())
    engine.run("exec", "-i", node.container, "sh", "-c", _USE_PACKAGE_CACHE, stdin=proxy)


def _create_node(engine: Engine, node: Node, network: Network, image: str) -> None:
    engine.run(
        "create",
        f"--name={node.container}",
        f"--hostname={node.name}",
        f"--network={network.name}",
        f"--ip={node.address}",
        f"--env=LAB_IPV6={node.ipv6}",
        *_CONTAINER_OPTIONS,
        *_data_volume(node),
        image,
    )


def _data_volume(node: Node) -> list[str]:
    size = os.environ.get("LAB_DATA_MIB")
    if not size or not node.bears_data:
        return []
    return [f"--mount=type=bind,source={volumes.create(node.container, int(size))},target={_DATA}"]


def _public_key() -> str:
    return _KEY.with_suffix(".pub").read_text()


def _wait_for_boot(engine: Engine, node: Node) -> None:
    def booted() -> bool:
        result = subprocess.run(
            [engine.program, "exec", node.container, "systemctl", "is-system-running"],
            capture_output=True,
            text=True,
            check=False,
        )
        return result.stdout.strip() in ("running", "degraded")

    wait_until(booted, seconds=_BOOT_SECONDS, what=f"the boot of {node.container}")
    wait_until(
        lambda: engine.succeeds("exec", node.container, "systemctl", "is-active", "ssh.service"),
        seconds=_BOOT_SECONDS,
        what=f"sshd on {node.container}",
    )


def _forget_host_keys(nodes: Iterable[Node]) -> None:
    for node in nodes:
        if _KNOWN_HOSTS.exists():
            command = ["ssh-keygen", "-q", "-f", str(_KNOWN_HOSTS), "-R", str(node.address)]
            subprocess.run(command, capture_output=True, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("up", "down", "status"))
    parser.add_argument(
        "inventory", type=Path, help="an inventory file whose hosts have an IPv4 ansible_host in one /24"
    )
    parser.add_argument("hosts", nargs="*", help="hosts of the inventory (default: all)")
    arguments = parser.parse_args()
    try:
        engine = ready_engine()
        nodes = chosen(read_inventory(arguments.inventory), arguments.hosts)
        if arguments.action == "status":
            return 0 if {node.container for node in nodes} <= set(engine.containers(running_only=True)) else 1
        if arguments.action == "down":
            (remove if arguments.hosts else down)(engine, nodes)
        else:
            quota = processors.quota(os.environ.get("LAB_CPUS"))
            up(engine, nodes, os.environ.get("LAB_OS", "trixie"))
            processors.confine(engine, [node.container for node in nodes], quota)
    except LabError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
