#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_preflight
short_description: Look whether a host can take its part of a cluster
version_added: 1.0.0
description:
  - Checks operating system, init, memory, disk, addresses, interfaces of virtual addresses, ports and clock.
  - Never changes anything and never fails for what it finds, so that the findings of all hosts can be shown together.
  - An action plugin of the same name measures how far the host's clock is from the controller's.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status without changing the host.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  address:
    description: The host's own address, which an interface must carry.
    type: str
  ports:
    description: TCP ports that the host's components will own.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: The port.
        type: int
        required: true
      component:
        description: Who will listen on it.
        type: str
        required: true
      units:
        description: Names of the systemd units that may listen on it already.
        type: list
        elements: str
        required: true
      addresses:
        description: Where it will listen, everywhere when empty.
        type: list
        elements: str
        default: []
  vrrp_instances:
    description: VRRP instances, dictionaries with C(addresses) in CIDR notation and optionally C(interface).
    type: list
    elements: dict
    default: []
  memory:
    description: The least memory in MiB.
    type: int
    default: 512
  disk:
    description: The least free space of C(/var/lib), and of the file systems of O(directories), in MiB.
    type: int
    default: 2048
  directories:
    description:
      - Directories of data, by the names of the variables that say where they are. None may be a mount point itself,
        because a restore renames it; it may lie in one.
    type: dict
    default: {}
  packages:
    description: Packages that the host will need.
    type: list
    elements: str
    default: []
  calendars:
    description: systemd calendar expressions of jobs, by the variables that hold them.
    type: dict
    default: {}
  spans:
    description: systemd time spans of jobs, by the variables that hold them; empty ones are passed over.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Look at a balancer
  holdfast.ha.host_preflight:
    address: 198.51.100.21
    ports:
      - {port: 5000, component: haproxy, units: [haproxy.service], addresses: [198.51.100.100]}
    vrrp_instances:
      - {addresses: [198.51.100.100/24], interface: eth0}
"""

RETURN = r"""
findings:
  description: What is wrong, empty when nothing is.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: The name of the check.
      type: str
    value:
      description: What was seen.
      type: str
    fix:
      description: How to mend it.
      type: str
    level:
      description: V(error) stops the work, V(warning) does not.
      type: str
  sample:
    - {check: port 5432, value: mysqld listens on 0.0.0.0, fix: stop it or give postgresql another port, level: error}
packages:
  description: What M(holdfast.ha.packages_info) would return for O(packages).
  returned: always
  type: dict
  sample: {missing: [haproxy], broken: [], versions: {keepalived: 2.3.3}}
jobs:
  description: Units of declared backup jobs, wished for or not, that are on the host.
  returned: always
  type: list
  elements: str
  sample: [holdfast-job-etc.timer]
interface_of:
  description: The interfaces by the addresses that they hold.
  returned: always
  type: dict
  sample: {198.51.100.21: eth0}
store:
  description:
    - What is or would be installed of etcd and Patroni, none where the host has or gets none. V(guarded) says that etcd
      answers a lease's keepalive after a login only, V(authenticates) that Patroni logs in for it.
  returned: always
  type: dict
  sample:
    etcd: {version: 3.5.16, guarded: false, root_only: false}
    patroni: {version: 4.0.7, authenticates: false}
ansible_facts:
  description: The facts that the roles use, so that no play has to gather them again.
  returned: always
  type: dict
  sample: {ansible_distribution: Debian, ansible_memtotal_mb: 3924, ansible_processor_nproc: 2}
clock:
  description: The least and the greatest number of seconds by which the host's clock can be ahead of the controller's.
  returned: when the clock could be measured
  type: list
  elements: float
  sample: [-0.013, 0.021]
"""

import ctypes
import gzip
import importlib.util
import json
import os
import pwd
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import host_preflight as preflight
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_guard import Etcd, Patroni, parse_candidate
from ansible_collections.holdfast.ha.plugins.module_utils.packages import QUERY, Packages, judge, upstream
from ansible_collections.holdfast.ha.plugins.module_utils.places import mount_points

TIME_ERROR = 5
DATA_DIRECTORY = "/var/lib"
ETCD_CHANGELOG = "/usr/share/doc/etcd-server/changelog.Debian.gz"
PATRONI_SOURCE = "/usr/lib/python3/dist-packages/patroni/dcs/etcd3.py"
UNIT_DIRECTORY = Path("/etc/systemd/system")
PORT_OPTIONS = {
    "port": {"type": "int", "required": True},
    "component": {"type": "str", "required": True},
    "units": {"type": "list", "elements": "str", "required": True},
    "addresses": {"type": "list", "elements": "str", "default": []},
}


def read(path: str) -> str:
    """Return a file's text, "" when it can't be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def free_disk(path: str) -> int:
    """Return the free space in MiB of the file system that holds path."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize // 2**20


def disks(paths: Iterable[str]) -> dict[str, int]:
    """Return the free space of the file systems of these paths, each by the first directory that is there in it."""
    found: dict[int, str] = {}
    for path in paths:
        place = next(str(place) for place in (Path(path), *Path(path).parents) if place.exists())
        found.setdefault(os.stat(place).st_dev, place)  # noqa: PTH116 (text)
    return {place: free_disk(place) for place in found.values()}


def mounted(paths: Iterable[str]) -> dict[str, bool]:
    """Return those of the paths at which, or at what they link to, something is mounted, with whether data is there."""
    points = mount_points(read("/proc/self/mountinfo"))
    there = [path for path in paths if {path.rstrip("/"), os.path.realpath(path)} & points]
    return {path: holds_data(Path(path)) for path in there}


def holds_data(directory: Path) -> bool:
    """Return whether there is more in a directory than what mkfs makes; who may not look takes it for full."""
    try:
        return any(entry.name != "lost+found" for entry in directory.iterdir())
    except PermissionError:
        return True


def clock_synchronized() -> bool | None:
    """Ask the kernel whether its clock is synchronized; None when it doesn't tell."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    return None if state < 0 else state != TIME_ERROR


def socket_owners(inodes: set[int]) -> dict[int, Path]:
    """Return below /proc the processes that hold the sockets of these inodes."""
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    owners: dict[int, Path] = {}
    for process in Path("/proc").glob("[0-9]*") if wanted else ():
        for link in open_files(process):
            if link in wanted:
                owners.setdefault(wanted[link], process)
    return owners


def open_files(process: Path) -> Iterator[str]:
    """Yield what a process has open; it may close files, or end, while it is looked at."""
    with suppress(OSError):
        for descriptor in (process / "fd").iterdir():
            with suppress(OSError):
                yield os.readlink(descriptor)  # noqa: PTH115 (not a path)


def listeners(ports: set[int]) -> list[preflight.Listener]:
    """Return who listens on these TCP ports."""
    tables = (read("/proc/net/tcp"), read("/proc/net/tcp6"))
    found = [item for table in tables for item in preflight.parse_listeners(table) if item.port in ports]
    owners = socket_owners({item.inode for item in found})
    return [owned(item, owners.get(item.inode)) for item in found]


def owned(listener: preflight.Listener, process: Path | None) -> preflight.Listener:
    """Return a listener with what its process tells."""
    if process is None:
        return listener
    unit = preflight.unit_of(read(f"{process}/cgroup"))
    return replace(listener, process=read(f"{process}/comm").strip(), unit=unit)


def user_name(user: int) -> str:
    """Return a user's name, its number where it has none."""
    try:
        return pwd.getpwuid(user).pw_name if user else "root"
    except KeyError:
        return str(user)


def interfaces(module: AnsibleModule) -> dict[str, list[str]]:
    """Return the host's addresses by interface, {} without iproute2."""
    ip = module.get_bin_path("ip", opt_dirs=["/usr/sbin", "/sbin"])
    code, output, _errors = module.run_command([ip, "-json", "address"]) if ip else (1, "", "")
    return preflight.parse_interfaces(json.loads(output)) if code == 0 else {}


def observe(module: AnsibleModule, ports: set[int]) -> preflight.Facts:
    """Return the facts of this host."""
    directories = list(module.params["directories"].values())
    os_id, os_version = preflight.parse_os_release(read("/etc/os-release"))
    return preflight.Facts(
        os_id=os_id,
        os_version=os_version,
        init=read("/proc/1/comm").strip() or "unknown",
        memory=preflight.parse_memory(read("/proc/meminfo")),
        disks=disks([DATA_DIRECTORY, *directories]),
        interfaces=interfaces(module),
        listeners=listeners(ports),
        processors=len(os.sched_getaffinity(0)),
        python_apt=importlib.util.find_spec("apt_pkg") is not None,
        clock_synchronized=clock_synchronized(),
        mounted=mounted(directories),
        user=user_name(os.geteuid()),
    )


def read_compressed(path: str) -> str:
    """Return a gzipped file's text, "" when it can't be read."""
    try:
        return gzip.decompress(Path(path).read_bytes()).decode("utf-8", "replace")
    except (OSError, EOFError, zlib.error):
        return ""


def packages(module: AnsibleModule) -> Packages:
    """Return which of the wanted packages are missing and which are broken; all are missing where there is no dpkg."""
    dpkg = module.get_bin_path(QUERY[0])
    listing = module.run_command([dpkg, *QUERY[1:]])[1] if dpkg else ""
    return judge(listing, module.params["packages"])


def version_of(module: AnsibleModule, package: str, known: Packages) -> str:
    """Return a package's version, the one that would be installed where it is missing, "" when that isn't known."""
    policy = module.get_bin_path("apt-cache") if package in known.missing else None
    told = module.run_command([policy, "policy", package], environ_update={"LC_ALL": "C.UTF-8"})[1] if policy else ""
    return known.versions.get(package) or upstream(parse_candidate(told))


def store(module: AnsibleModule, known: Packages) -> dict[str, Any]:
    """Return what must fit each other in a cluster: its etcd and its Patroni, None where the host has or gets none."""
    judges: dict[str, Callable[[str], Etcd | Patroni]] = {
        "etcd-server": lambda version: Etcd.of(version, read_compressed(ETCD_CHANGELOG)),
        "patroni": lambda version: Patroni.of(version, read(PATRONI_SOURCE)),
    }
    versions = {package: version_of(module, package, known) for package in judges}
    return {
        package.partition("-")[0]: asdict(judges[package](version)) if version else None
        for package, version in versions.items()
    }


def time_findings(module: AnsibleModule) -> Iterator[preflight.Finding]:
    """Yield calendar expressions and spans that systemd does not take; where there is none another finding says so."""
    analyze = module.get_bin_path("systemd-analyze")
    judges = {"calendar": preflight.judge_calendar, "timespan": preflight.judge_span}
    asked = [("calendar", *item) for item in module.params["calendars"].items()]
    asked += [("timespan", *item) for item in module.params["spans"].items() if item[1] not in ("", None)]
    for verb, where, text in asked if analyze else ():
        told = module.run_command([analyze, verb, "--", str(text)], environ_update={"LC_ALL": "C.UTF-8"})
        finding = judges[verb](where, str(text), *told)
        if finding:
            yield finding


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str"},
            "ports": {"type": "list", "elements": "dict", "default": [], "options": PORT_OPTIONS},
            "vrrp_instances": {"type": "list", "elements": "dict", "default": []},
            "memory": {"type": "int", "default": 512},
            "disk": {"type": "int", "default": 2048},
            "packages": {"type": "list", "elements": "str", "default": []},
            "calendars": {"type": "dict", "default": {}},
            "spans": {"type": "dict", "default": {}},
            "directories": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    virtual_addresses = [
        preflight.VirtualAddress(address, instance.get("interface"))
        for instance in module.params["vrrp_instances"]
        for address in instance["addresses"]
    ]
    expected = preflight.Expectation(
        address=module.params["address"],
        ports=[preflight.Port(**port) for port in module.params["ports"]],
        virtual_addresses=virtual_addresses,
        memory=module.params["memory"],
        disk=module.params["disk"],
        directories=module.params["directories"],
    )
    known = packages(module)
    facts = observe(module, {port.port for port in expected.ports})
    module.exit_json(
        changed=False,
        findings=[asdict(finding) for finding in (*preflight.judge(facts, expected), *time_findings(module))],
        packages=asdict(known),
        store=store(module, known),
        jobs=sorted(path.name for path in UNIT_DIRECTORY.glob("holdfast-job-*.*")),
        interface_of=preflight.interfaces_by_address(facts.interfaces),
        ansible_facts=preflight.ansible_facts(facts),
    )


if __name__ == "__main__":
    main()
