# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a running service is older than its program, libraries, packages and files, and the host than its kernel.

systemd says what a service has; /proc and dpkg's own files say the rest. ``root`` is the directory with all of them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.module_utils.apt_host import list_file
from ansible_collections.holdfast.ha.plugins.module_utils.apt_plan import Package
from ansible_collections.holdfast.ha.plugins.module_utils.component import (
    UNIT_PROPERTIES,
    FoundUnit,
    epoch,
    found_unit,
)
from ansible_collections.holdfast.ha.plugins.module_utils.timings import AMENDED, script_files

ROOT = Path("/")
PROPERTIES = (
    *UNIT_PROPERTIES,
    "ControlGroup",
    "DropInPaths",
    "EnvironmentFiles",
    "ExecMainStartTimestamp",
    "ExecStart",
    "FragmentPath",
    "MainPID",
    "WorkingDirectory",
)
SHOW = ("systemctl", "show", "--timestamp=us+utc", f"--property={','.join(PROPERTIES)}")

RUNS_PACKAGE = {AMENDED: "patroni"}
"""The collection's own programs that run a package's."""
PASSING = frozenset({"bash", "dash", "pgbackrest", "sh"})
"""What PostgreSQL runs for a moment, to archive or to restore: no reason to restart PostgreSQL."""

_DELETED = " (deleted)"
_NO_FILES = ("/memfd:", "/dev/zero", "/SYSV", "/tmp/", "/dev/shm/", "/[")  # noqa: S108


@dataclass(frozen=True)
class Service:
    """A unit by its name. ``started_at``: when its main process was, in seconds since the epoch; ``argv``: its words,
    ``directory``: where it works; ``files``: those of the unit and its environment."""

    unit: str
    found: FoundUnit
    started_at: float = 0.0
    argv: tuple[str, ...] = ()
    directory: str = "/"
    files: tuple[str, ...] = ()
    control_group: str = ""
    main_pid: int = 0


def parse_services(units: Sequence[str], shown: str) -> list[Service]:
    """Services in the order of the units, from what SHOW prints of them; an alias keeps its name."""
    if not units:
        return []
    blocks = (_properties(block) for block in shown.strip("\n").split("\n\n"))
    return [_service(unit, block) for unit, block in zip(units, blocks, strict=True)]


def _properties(block: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in block.splitlines():
        name, _equals, value = line.partition("=")
        found.setdefault(name, []).append(value)
    return found


def _service(unit: str, block: Mapping[str, list[str]]) -> Service:
    single = {name: values[-1] for name, values in block.items()}
    found = found_unit(single)
    words = re.search(r"argv\[\]=(.*?) ; ", single.get("ExecStart", ""))
    files = [single.get("FragmentPath", ""), *single.get("DropInPaths", "").split()]
    environment = [text.partition(" (")[0] for text in block.get("EnvironmentFiles", []) if text.startswith("/etc/")]
    return Service(
        unit=unit,
        found=found,
        started_at=epoch(single.get("ExecMainStartTimestamp", "")) or found.started_at,
        argv=tuple(words[1].split()) if words else (),
        directory=single.get("WorkingDirectory", "") or "/",
        files=tuple(path for path in [*files, *environment] if path),
        control_group=single.get("ControlGroup", ""),
        main_pid=int(single.get("MainPID", "") or 0),
    )


def reasons(
    service: Service, packages: Mapping[str, Package], owners: Mapping[str, str], root: Path = ROOT
) -> list[str]:
    """Return why a unit is to be restarted; nothing for one that doesn't run.

    packages: those installed; owners: the packages of scripts.
    """
    if not service.found.running:
        return []
    programs, libraries = replaced(service, root)
    return [
        *(f"runs {path}, which was replaced" for path in programs),
        *(f"uses {path}, which was replaced" for path in libraries),
        *(f"{name} was installed since its start" for name in _installed_since(service, packages, owners, root)),
        *(f"{path} changed since its start" for path in _changed_since(service, root)),
        *(["systemd has not read its unit files since they changed"] if service.found.needs_daemon_reload else []),
    ]


def look(
    units: Sequence[str], packages: Mapping[str, Package], run: Callable[[Sequence[str]], tuple[int, str, str]]
) -> list[tuple[Service, list[str]]]:
    """Ask a host for its units, in the given order, and why each is to be restarted; raises OSError, ValueError.

    packages: those installed; run: runs a command in the locale C.
    """
    code, shown, error = run([*SHOW, *units]) if units else (0, "", "")
    if code:
        raise OSError(f"systemctl exited with {code}: {error.strip()}")
    services = parse_services(units, shown)
    scripts = sorted({script for service in services if (script := script_of(service))})
    owners = parse_owners(run(["dpkg-query", "--search", *scripts])[1]) if scripts else {}
    return [(service, reasons(service, packages, owners)) for service in services]


def replaced(service: Service, root: Path) -> tuple[list[str], list[str]]:
    """Return the programs and libraries that its processes use, and whose files are gone or replaced."""
    programs: set[str] = set()
    libraries: set[str] = set()
    for process in _processes(service, root):
        program, used = _look(process)
        if Path(program.removesuffix(_DELETED)).name in PASSING and process.name != str(service.main_pid):
            continue
        if program.endswith(_DELETED):
            programs.add(program.removesuffix(_DELETED))
        libraries |= used
    return sorted(programs), sorted(libraries - programs)


def _processes(service: Service, root: Path) -> list[Path]:
    """The directories in /proc of a unit's processes; of one without a control group, of its main process."""
    numbers = {str(service.main_pid)} if service.main_pid else set()
    if service.control_group:
        for file in _at(root, "/sys/fs/cgroup" + service.control_group).rglob("cgroup.procs"):
            with suppress(OSError):
                numbers |= set(file.read_text(encoding="utf-8").split())
    return [_at(root, "/proc") / number for number in sorted(numbers, key=int)]


def _look(process: Path) -> tuple[str, set[str]]:
    """The program of a process, "" if it is gone meanwhile, and the files that it runs code of but are gone."""
    try:
        program = str((process / "exe").readlink())
        maps = (process / "maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", set()
    return program, deleted(maps)


def deleted(maps: str) -> set[str]:
    """The files with code in a process's /proc/PID/maps that are deleted."""
    rows = (line.split(maxsplit=5) for line in maps.splitlines() if line.endswith(_DELETED))
    return {
        row[5].removesuffix(_DELETED)
        for row in rows
        if len(row) == 6 and "x" in row[1] and row[5].startswith("/") and not row[5].startswith(_NO_FILES)
    }


def _changed_since(service: Service, root: Path) -> list[str]:
    """The files of the unit, and of a script and its modules, that changed since the start."""
    files = [*(_at(root, path) for path in service.files), *_program_files(service, root)]
    return [f"/{file.relative_to(root)}" for file in files if _modified(file) > service.started_at]


def _program_files(service: Service, root: Path) -> list[Path]:
    if not service.argv:
        return []
    directory = _at(root, service.directory)
    named = [directory / name for option, name in zip(service.argv, service.argv[1:], strict=False) if option == "-m"]
    scripts = script_files(_at(root, service.argv[0])) if script_of(service, root) else []
    return [*scripts, *(file for package in named for file in sorted(package.glob("*.py")))]


def script_of(service: Service, root: Path = ROOT) -> str:
    """The program of a unit if it is a script, else ""."""
    if not service.argv:
        return ""
    try:
        with _at(root, service.argv[0]).open("rb") as file:
            return service.argv[0] if file.read(2) == b"#!" else ""
    except OSError:
        return ""


def _installed_since(
    service: Service, packages: Mapping[str, Package], owners: Mapping[str, str], root: Path
) -> Iterator[str]:
    """Yield the packages of a script that were installed since the start; of other programs, the kernel has the files.

    A reload may make a program, such as HAProxy, start anew in the same process, so that its time says nothing.
    """
    script = script_of(service, root)
    for name in sorted(modules_of(packages, RUNS_PACKAGE.get(script) or owners.get(script, ""))):
        if _modified(list_file(root, packages[name])) > service.started_at:
            yield f"{name} {packages[name].version}"


def modules_of(packages: Mapping[str, Package], name: str) -> set[str]:
    """An installed package, and the packages of Python modules that it needs, directly or not."""
    found: set[str] = set()
    new = [name]
    while new:
        name = new.pop()
        if name in packages and name not in found:
            found.add(name)
            new += [other for other in packages[name].depends if other.startswith("python3-")]
    return found


def parse_owners(printed: str) -> dict[str, str]:
    """Packages by path, from `dpkg-query --search PATH…`."""
    rows = (line.partition(": ") for line in printed.splitlines() if not line.startswith("diversion by "))
    return {path: names.split(", ")[0] for names, _colon, path in rows if path}


@dataclass(frozen=True)
class Reboot:
    """Whether the host is to be rebooted and why; ``boot`` is another text after each boot, ``up`` seconds since it."""

    required: bool
    reasons: list[str]
    boot: str
    up: int


def reboot(running: str, root: Path = ROOT) -> Reboot:
    """Judge the host, with the release of its running kernel."""
    told = [*_asked(root), *_kernels(running, root)]
    boot = _at(root, "/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    # All containers of a machine have its boot id.
    start = _at(root, "/proc/1/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    uptime = float(_at(root, "/proc/uptime").read_text(encoding="utf-8").split()[0])
    return Reboot(bool(told), told, f"{boot}/{start}", int(uptime - int(start) / os.sysconf("SC_CLK_TCK")))


def _asked(root: Path) -> list[str]:
    files = [_at(root, f"{directory}/reboot-required") for directory in ("/run", "/var/run")]
    there = next((file for file in files if file.exists()), None)
    if there is None:
        return []
    packages = there.with_name("reboot-required.pkgs")
    names = sorted(set(packages.read_text(encoding="utf-8").split())) if packages.exists() else []
    return [f"/run/reboot-required is there{', for ' + ', '.join(names) if names else ''}"]


def _kernels(running: str, root: Path) -> list[str]:
    """Why another kernel would run after a reboot; a container has none of its own."""
    if not _at(root, f"/boot/vmlinuz-{running}").exists() or not _at(root, f"/lib/modules/{running}").exists():
        return []
    images = [file.name.removeprefix("vmlinuz-") for file in _at(root, "/boot").glob("vmlinuz-*")]
    numbers, flavour = kernel(running)
    newer = [release for release in images if kernel(release)[1] == flavour and kernel(release)[0] > numbers]
    if newer:
        return [f"the kernel {max(newer, key=kernel)} is installed, and {running} runs"]
    started = re.search(r"^btime (\d+)$", _at(root, "/proc/stat").read_text(encoding="utf-8"), re.MULTILINE)
    image = list_file(root, Package(f"linux-image-{running}", "", ""))
    if started and _modified(image) > int(started[1]):
        return [f"the running kernel's package linux-image-{running} was installed since the boot"]
    return []


def kernel(release: str) -> tuple[list[int], str]:
    """The numbers of a kernel's release, and its flavour: 6.12.9+deb13-cloud-amd64 is [6, 12, 9, 13] and
    cloud-amd64."""
    words = release.split("-")
    at = next((at for at, word in enumerate(words) if not word[:1].isdigit()), len(words))
    return [int(number) for number in re.findall(r"\d+", "-".join(words[:at]))], "-".join(words[at:])


def _at(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _modified(file: Path) -> float:
    """When a file changed, in seconds since the epoch; 0 for none."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
