# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's requirements before anything is changed on it: pure judgements on observed facts."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

SUPPORTED = {"debian": ("12", "13")}
UNTESTED = {"ubuntu": ("22.04", "24.04", "26.04")}
ABSENT = {("debian", "12"): {"prometheus-pgbackrest-exporter": "pgbackrest"}}
"""Packages of exporters that a release does not have, with their names in C(monitoring.without)."""
ERROR = "error"
WARNING = "warning"
TCP_LISTEN = "0A"
ANY_ADDRESS = (ipaddress.ip_address("0.0.0.0"), ipaddress.ip_address("::"))  # noqa: S104 (compared, never bound)


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket; process and unit are its owner's names, "" when unknown."""

    address: str
    port: int
    inode: int = 0
    process: str = ""
    unit: str = ""

    @property
    def owner(self) -> str:
        """The owner as a user knows it."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.process or 'an unknown process'}{unit}"


@dataclass(frozen=True)
class Facts:
    """The observed facts of a host. Sizes are MiB; clock_synchronized is None if unknown.

    disks are the free sizes by the directory that was looked at, each file system once; mounted those of the wanted
    directories at which something is mounted, with whether data is there already; user is who looked.
    """

    os_id: str
    os_version: str
    init: str
    memory: int
    disks: Mapping[str, int]
    interfaces: Mapping[str, Sequence[str]]
    listeners: Sequence[Listener]
    python_apt: bool
    processors: int
    clock_synchronized: bool | None
    mounted: Mapping[str, bool] = field(default_factory=dict)
    user: str = "root"


def ansible_facts(facts: Facts) -> dict[str, str | int]:
    """Those of Ansible's own facts that the roles use."""
    return {
        "ansible_distribution": facts.os_id.capitalize(),
        "ansible_distribution_version": facts.os_version,
        "ansible_distribution_major_version": facts.os_version.partition(".")[0],
        "ansible_memtotal_mb": facts.memory,
        "ansible_processor_nproc": facts.processors,
    }


def interfaces_by_address(interfaces: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return {address: interface} of {interface: [CIDR, ...]}."""
    return {cidr.partition("/")[0]: name for name, addresses in interfaces.items() for cidr in addresses}


@dataclass(frozen=True)
class Port:
    """A TCP port that a component will own: where it listens (none: everywhere), and the units that may hold it."""

    port: int
    component: str
    units: Sequence[str]
    addresses: Sequence[str] = ()


@dataclass(frozen=True)
class VirtualAddress:
    """An address in CIDR notation that a VRRP instance moves, and its interface when the user named one."""

    address: str
    interface: str | None = None


@dataclass(frozen=True)
class Expectation:
    """What a host needs. Sizes are MiB; directories are those of data, by the variables that name them."""

    address: str | None
    ports: Sequence[Port]
    virtual_addresses: Sequence[VirtualAddress]
    memory: int
    disk: int
    directories: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """A problem of a host: the check, the observed value, the fix, and whether it is an error."""

    check: str
    value: str
    fix: str
    level: str = ERROR


def judge(facts: Facts, expected: Expectation) -> list[Finding]:
    """Return everything that is wrong on a host, [] when nothing is."""
    return [
        *judge_system(facts),
        *judge_rights(facts),
        *judge_sizes(facts, expected),
        *judge_directories(facts, expected.directories),
        *judge_address(facts, expected.address),
        *judge_virtual_addresses(facts, expected.virtual_addresses),
        *judge_ports(facts, expected.ports),
    ]


def judge_system(facts: Facts) -> Iterator[Finding]:
    """Yield what is wrong with the operating system."""
    shown = f"{facts.os_id} {facts.os_version}".strip() or "unknown"
    if facts.os_version in UNTESTED.get(facts.os_id, ()):
        yield Finding("operating system", shown, "not tested here: Debian 12 and 13 are", WARNING)
    elif facts.os_version not in SUPPORTED.get(facts.os_id, ()):
        yield Finding("operating system", shown, "use Debian 12 or 13")
    if facts.init != "systemd":
        yield Finding("init", facts.init, "boot the host with systemd")
    if not facts.python_apt:
        yield Finding("python3-apt", "not importable", "apt-get install python3-apt, --check needs it", WARNING)
    if facts.clock_synchronized is False:
        yield Finding("clock", "not synchronized", "enable systemd-timesyncd or chrony", WARNING)


def judge_packages(facts: Facts, missing: Collection[str]) -> Iterator[tuple[str, Finding]]:
    """Yield those of the missing packages that the host's release does not have, each with a finding."""
    for package, exporter in ABSENT.get((facts.os_id, facts.os_version), {}).items():
        if package in missing:
            value = f"lacks {exporter}, and {facts.os_id} {facts.os_version} has no package {package}"
            fix = (
                f"add monitoring: {{without: [{exporter}]}} to clusters.<name> of the topology, or give the host a"
                " source with that package and run apt-get update"
            )
            yield package, Finding("monitoring.without", value, fix)


def judge_rights(facts: Facts) -> Iterator[Finding]:
    """Yield a finding where the roles could change nothing."""
    if facts.user != "root":
        fix = "connect as root, or set ansible_become: true for a user that may use sudo"
        yield Finding("rights", f"{facts.user} is not root", fix)


def judge_directories(facts: Facts, directories: Mapping[str, str]) -> Iterator[Finding]:
    """Yield the directories that are mount points: they are set aside and put in place by a rename."""
    for variable, path in directories.items():
        if path in facts.mounted:
            parent = path.rpartition("/")[0]
            fix = f"a restore could not rename it: mount the volume at {parent}, so that the directory lies in it"
            yield Finding(variable, f"{path} is a mount point", fix, WARNING if facts.mounted[path] else ERROR)


def judge_sizes(facts: Facts, expected: Expectation) -> Iterator[Finding]:
    """Yield what is too small."""
    if facts.memory < expected.memory:
        yield Finding("memory", f"{facts.memory} MiB", f"give the host at least {expected.memory} MiB")
    for place, free in facts.disks.items():
        if free < expected.disk:
            yield Finding(f"free disk in {place}", f"{free} MiB", f"make room for at least {expected.disk} MiB")


def judge_address(facts: Facts, address: str | None) -> Iterator[Finding]:
    """Yield a finding when the host doesn't carry the address the inventory gives it."""
    carried = {ipaddress.ip_interface(cidr).ip for cidrs in facts.interfaces.values() for cidr in cidrs}
    if address and ipaddress.ip_address(address) not in carried:
        yield Finding("address", f"{address} is on no interface", "set ha_address to an address of this host")


def judge_virtual_addresses(facts: Facts, wanted: Sequence[VirtualAddress]) -> Iterator[Finding]:
    """Yield a finding for each virtual address without a matching interface."""
    for virtual in wanted:
        if virtual.interface and virtual.interface not in facts.interfaces:
            yield Finding("interface", f"{virtual.interface} of {virtual.address} does not exist", "name another one")
        elif not virtual.interface and not interface_of(facts.interfaces, virtual.address):
            network = ipaddress.ip_interface(virtual.address).network
            yield Finding("interface", f"none in {network}", f"name the interface of {virtual.address} in its vip")


def interface_of(interfaces: Mapping[str, Sequence[str]], virtual_address: str) -> str | None:
    """Return the interface with an address of its own in the virtual address's network, None without any."""
    virtual = ipaddress.ip_interface(virtual_address)
    for name, cidrs in interfaces.items():
        own = (ipaddress.ip_interface(cidr) for cidr in cidrs)
        if any(address.ip in virtual.network and address.ip != virtual.ip for address in own):
            return name
    return None


def judge_ports(facts: Facts, wanted: Sequence[Port]) -> Iterator[Finding]:
    """Yield a finding for each wanted port that another unit than its component's listens on.

    Users other than root can't see others' processes: that is another finding.
    """
    for port in wanted:
        listeners = (item for item in facts.listeners if item.port == port.port and item.unit not in port.units)
        listener = next((item for item in listeners if overlap(item.address, port.addresses)), None)
        if listener is not None and not (facts.user != "root" and not listener.process):
            yield Finding(
                f"port {port.port}",
                f"{listener.owner} listens on {listener.address}",
                f"stop it or give {port.component} another port",
            )


def overlap(listening: str, addresses: Sequence[str]) -> bool:
    """Say whether a listener's address collides with the wanted ones (none: every address)."""
    held = ipaddress.ip_address(listening)
    wanted = [ipaddress.ip_address(address) for address in addresses]
    return not wanted or held in ANY_ADDRESS or held in wanted or any(address in ANY_ADDRESS for address in wanted)


def judge_calendar(where: str, expression: str, code: int, output: str, error: str) -> Finding | None:
    """Return why a job's schedule can't be, from what `systemd-analyze calendar` said, or None."""
    fix = "write a systemd calendar expression, such as *-*-* 03:30:00; see systemd.time(7)"
    if code:
        return Finding(where, f"{expression}: {error.strip()}", fix)
    if "Next elapse: never" in output:
        return Finding(where, f"{expression}: never comes again", fix)
    return None


def judge_span(where: str, span: str, code: int, _output: str, error: str) -> Finding | None:
    """Return why a time span can't be, from what `systemd-analyze timespan` said, or None."""
    return Finding(where, f"{span}: {error.strip()}", "write a time span, such as 5min or 12h") if code else None


def parse_os_release(text: str) -> tuple[str, str]:
    """Return (ID, VERSION_ID) of an os-release file, "" for what it lacks."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return values.get("ID", "").strip('"'), values.get("VERSION_ID", "").strip('"')


def parse_memory(text: str) -> int:
    """Return MemTotal of /proc/meminfo in MiB."""
    for line in text.splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return 0


def parse_listeners(text: str) -> Iterator[Listener]:
    """Yield the listening sockets of /proc/net/tcp or tcp6, their owners still unknown."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if fields[3] == TCP_LISTEN:
            address, port = fields[1].split(":")
            yield Listener(parse_hex_address(address), int(port, 16), int(fields[9]))


def unit_of(cgroups: str) -> str:
    """Return the systemd unit in a process's /proc/PID/cgroup, of either cgroup version, or ""."""
    for line in cgroups.splitlines():
        _number, controllers, path = line.split(":", 2)
        names = [name for name in path.split("/") if name.endswith((".service", ".scope"))]
        if controllers in {"", "name=systemd"} and names:
            return names[-1]
    return ""


def parse_hex_address(text: str) -> str:
    """Return an address of /proc/net/tcp*: 32-bit words in host byte order, little-endian on what we support."""
    packed = b"".join(bytes.fromhex(text[start : start + 8])[::-1] for start in range(0, len(text), 8))
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def parse_interfaces(document: Sequence[Mapping[str, object]]) -> dict[str, list[str]]:
    """Return {interface: [CIDR, ...]} of `ip -json address`, the loopback left out."""
    interfaces: dict[str, list[str]] = {}
    for link in document:
        if link.get("ifname") and link["ifname"] != "lo":
            found = link.get("addr_info")
            addresses = found if isinstance(found, list) else []
            interfaces[str(link["ifname"])] = [f"{item['local']}/{item['prefixlen']}" for item in addresses]
    return interfaces
