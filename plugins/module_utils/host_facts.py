# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the facts of a host that the preflight judges."""

from __future__ import annotations

import ctypes
import gzip
import importlib.util
import json
import os
import pwd
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import host_preflight as preflight
from ansible_collections.holdfast.ha.plugins.module_utils import safe_path
from ansible_collections.holdfast.ha.plugins.module_utils.apt_host import LOCALE, Apt, AptError
from ansible_collections.holdfast.ha.plugins.module_utils.deployed import parse_version
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_guard import Etcd, Patroni, parse_candidate
from ansible_collections.holdfast.ha.plugins.module_utils.package_repositories import problems
from ansible_collections.holdfast.ha.plugins.module_utils.package_sources import knows, lacks
from ansible_collections.holdfast.ha.plugins.module_utils.packages import QUERY, Packages, judge, upstream
from ansible_collections.holdfast.ha.plugins.module_utils.places import mount_points
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_version import chosen, of_version, server

TIME_ERROR = 5
DATA_DIRECTORY = "/var/lib"
ETCD_CHANGELOG = "/usr/share/doc/etcd-server/changelog.Debian.gz"
PATRONI_SOURCE = "/usr/lib/python3/dist-packages/patroni/dcs/etcd3.py"


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
    """Return whether a directory holds more than what mkfs creates; one that can't be read counts as full."""
    try:
        return any(entry.name != "lost+found" for entry in directory.iterdir())
    except PermissionError:
        return True


def clock_synchronized() -> bool | None:
    """Ask the kernel whether its clock is synchronized; None without an answer."""
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
    """Return the listeners on these TCP ports."""
    tables = (read("/proc/net/tcp"), read("/proc/net/tcp6"))
    found = [item for table in tables for item in preflight.parse_listeners(table) if item.port in ports]
    owners = socket_owners({item.inode for item in found})
    return [owned(item, owners.get(item.inode)) for item in found]


def owned(listener: preflight.Listener, process: Path | None) -> preflight.Listener:
    """Return a listener with the names of its process and unit."""
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


def postgresql_version(wanted: Mapping[str, Any]) -> str:
    """Return the version that a host is to run by what it knows alone: other hosts may have data of another one."""
    data = None
    with suppress(KeyError, OSError, safe_path.UnsafePathError):
        data = safe_path.read(f"{wanted['data_directory']}/PG_VERSION")
    name, release = preflight.parse_os_release(read("/etc/os-release"))
    distribution = wanted.get("distributions", {}).get(f"{name.capitalize()} {release}", "")
    return chosen(wanted.get("version", ""), [parse_version((data or b"").decode(errors="replace"))], distribution)


def packages(module: AnsibleModule, version: str) -> Packages:
    """Return which of the wanted packages are missing and which are broken; all are missing where there is no dpkg."""
    dpkg = module.get_bin_path(QUERY[0])
    listing = module.run_command([dpkg, *QUERY[1:]])[1] if dpkg else ""
    return judge(listing, of_version(module.params["packages"], version))


def server_findings(module: AnsibleModule, known: Packages, version: str) -> Iterator[preflight.Finding]:
    """Yield a finding for a missing server that apt does not have, as far as apt knows the declared repositories."""
    name, repositories = server(version), module.params["repositories"]
    if name not in known.missing or problems(repositories) or not module.get_bin_path("apt-get"):
        return
    apt = Apt(lambda command: module.run_command(list(command), environ_update=LOCALE))
    with suppress(AptError):
        for lack in lacks(apt, [name]) if knows(apt, repositories) else ():
            fix = (
                "declare one of these versions, or a repository with it in packages_repositories, or run apt-get update"
            )
            yield preflight.Finding("postgresql_version", lack.text, fix)


def version_of(module: AnsibleModule, package: str, known: Packages) -> str:
    """Return a package's version, the one that would be installed where it is missing, "" when that isn't known."""
    policy = module.get_bin_path("apt-cache") if package in known.missing else None
    told = module.run_command([policy, "policy", package], environ_update={"LC_ALL": "C.UTF-8"})[1] if policy else ""
    return known.versions.get(package) or upstream(parse_candidate(told))


def package_findings(module: AnsibleModule, facts: preflight.Facts, known: Packages) -> Iterator[preflight.Finding]:
    """Yield a finding for each wanted package that neither the host's release nor another source of apt's has."""
    for package, finding in preflight.judge_packages(facts, known.missing):
        if not version_of(module, package, known):
            yield finding


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
