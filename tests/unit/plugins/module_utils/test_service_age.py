# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import service_age
from ansible_collections.holdfast.ha.plugins.module_utils.apt_plan import parse_installed

from tests.unit.plugins.module_utils.apt_plan_data import INSTALLED

STARTED = 1796029835.875737
SHOWN = """\
MainPID=2577
ExecMainStartTimestamp=Mon 2026-11-30 09:10:35.875737 UTC
ExecStart={ path=/usr/sbin/haproxy ; argv[]=/usr/sbin/haproxy -Ws -f $CONFIG ; ignore_errors=no ; start_time=[n/a] ; \
stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
ControlGroup=/system.slice/haproxy.service
EnvironmentFiles=/etc/default/haproxy (ignore_errors=yes)
EnvironmentFiles=/run/haproxy.env (ignore_errors=yes)
Id=haproxy.service
LoadState=loaded
ActiveState=active
FragmentPath=/usr/lib/systemd/system/haproxy.service
DropInPaths=/etc/systemd/system/haproxy.service.d/holdfast.conf /etc/systemd/system/haproxy.service.d/user.conf
StateChangeTimestamp=Mon 2026-11-30 09:10:35.979048 UTC
InactiveExitTimestamp=Mon 2026-11-30 09:10:35.879413 UTC
NeedDaemonReload=no

MainPID=0
ExecMainStartTimestamp=
ControlGroup=
Id=none.service
LoadState=not-found
ActiveState=inactive
FragmentPath=
DropInPaths=
NeedDaemonReload=no

MainPID=41
ExecMainStartTimestamp=Mon 2026-11-30 09:10:35.875737 UTC
ExecStart={ path=/usr/local/lib/holdfast/patroni ; argv[]=/usr/local/lib/holdfast/patroni /etc/patroni/config.yml ; \
ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
ControlGroup=/system.slice/patroni.service
Id=patroni.service
LoadState=loaded
ActiveState=active
FragmentPath=/usr/lib/systemd/system/patroni.service
DropInPaths=
InactiveExitTimestamp=Mon 2026-11-30 09:10:35.879413 UTC
NeedDaemonReload=yes

MainPID=51
ExecMainStartTimestamp=Mon 2026-11-30 09:10:35.875737 UTC
ExecStart={ path=/usr/bin/python3 ; argv[]=/usr/bin/python3 -B -m lease_watcher /etc/holdfast/lease-watcher.json ; \
ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
ControlGroup=
WorkingDirectory=/usr/local/lib/holdfast
Id=holdfast-lease-watcher.service
LoadState=loaded
ActiveState=active
FragmentPath=/etc/systemd/system/holdfast-lease-watcher.service
DropInPaths=
NeedDaemonReload=no
"""
UNITS = ["haproxy.service", "none.service", "patroni.service", "alias-of-lease-watcher.service"]
HAPROXY, NONE, PATRONI, WATCHER = service_age.parse_services(UNITS, SHOWN)
PACKAGES = parse_installed(INSTALLED)
OLD, NEW = STARTED - 0.5, STARTED + 0.5
MAPS = """\
55d0f5e00000-55d0f5e2a000 r-xp 00002000 00:ab 1541001                    /usr/sbin/haproxy
7f26cf14a000-7f26cf241000 r--p 00000000 00:ab 1541150           /usr/lib/x86_64-linux-gnu/libdata.so (deleted)
7f26cf241000-7f26cf5c6000 r-xp 000f7000 00:ab 1541150           /usr/lib/x86_64-linux-gnu/libcrypto.so.3 (deleted)
7f26cf781000-7f26cf784000 rwxp 00636000 00:01 15                         /memfd:pcre (deleted)
7f26cf781000-7f26cf784000 rwxs 00636000 00:01 16                         /dev/zero (deleted)
7f26cf781000-7f26cf784000 rwxs 00636000 00:01 17                         /SYSV00000000 (deleted)
7f26cf781000-7f26cf784000 r-xs 00636000 00:01 18                         /dev/shm/PostgreSQL.1 (deleted)
7f26cf781000-7f26cf784000 r-xs 00636000 00:01 19                         /tmp/a b (deleted)
7f26cf781000-7f26cf784000 r-xp 00636000 00:01 20                         /opt/a b.so (deleted)
7ffd0a5f9000-7ffd0a5fb000 r-xp 00000000 00:00 0                          [vdso]
"""


class Tree:
    """A host's files below a directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str = "", at: float = OLD) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (at, at))

    def process(self, number: int, program: str, maps: str = "", unit: str = "") -> None:
        self.write(f"/proc/{number}/maps", maps)
        (self.root / f"proc/{number}/exe").symlink_to(program)
        if unit:
            group = self.root / f"sys/fs/cgroup/system.slice/{unit}/cgroup.procs"
            numbers = group.read_text() if group.exists() else ""
            self.write(f"/sys/fs/cgroup/system.slice/{unit}/cgroup.procs", f"{numbers}{number}\n")


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


def reasons(tree, service, owners=()):
    return service_age.reasons(service, PACKAGES, dict(owners), tree.root)


def test_services():
    assert HAPROXY.started_at == pytest.approx(STARTED)
    assert HAPROXY.argv == ("/usr/sbin/haproxy", "-Ws", "-f", "$CONFIG")
    assert HAPROXY.files == (
        "/usr/lib/systemd/system/haproxy.service",
        "/etc/systemd/system/haproxy.service.d/holdfast.conf",
        "/etc/systemd/system/haproxy.service.d/user.conf",
        "/etc/default/haproxy",
    )
    assert (HAPROXY.main_pid, HAPROXY.control_group) == (2577, "/system.slice/haproxy.service")
    assert (NONE.found.running, NONE.argv, NONE.main_pid) == (False, (), 0)
    assert WATCHER.unit == "alias-of-lease-watcher.service"
    assert service_age.parse_services([], "") == []


def test_code_of_deleted_files():
    assert service_age.deleted(MAPS) == {"/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "/opt/a b.so"}


def test_a_service_of_now(tree):
    tree.process(2577, "/usr/sbin/haproxy", MAPS.splitlines()[0], "haproxy.service")
    for path in HAPROXY.files:
        tree.write(path)
    # HAProxy executes its new program in the old process when it is reloaded.
    tree.write("/var/lib/dpkg/info/haproxy.list", at=NEW)
    assert reasons(tree, HAPROXY, {"/usr/sbin/haproxy": "haproxy"}) == []


def test_replaced_programs_and_libraries_of_all_its_processes(tree):
    tree.process(2577, "/usr/sbin/haproxy", unit="haproxy.service")
    tree.process(2580, "/usr/sbin/haproxy (deleted)", MAPS, unit="haproxy.service")
    tree.process(9, "/usr/sbin/other (deleted)", unit="other.service")
    tree.write("/sys/fs/cgroup/system.slice/haproxy.service/inner/cgroup.procs", "2590\n2591\n")
    tree.process(2590, "/usr/bin/helper (deleted)")  # 2591 is gone already
    assert reasons(tree, HAPROXY) == [
        "runs /usr/bin/helper, which was replaced",
        "runs /usr/sbin/haproxy, which was replaced",
        "uses /opt/a b.so, which was replaced",
        "uses /usr/lib/x86_64-linux-gnu/libcrypto.so.3, which was replaced",
    ]


def test_what_postgresql_runs_for_a_moment_is_no_reason(tree):
    tree.process(41, "/usr/bin/python3.13", unit="patroni.service")
    tree.process(43, "/usr/bin/pgbackrest (deleted)", MAPS, unit="patroni.service")
    tree.process(44, "/usr/bin/dash (deleted)", unit="patroni.service")
    told = service_age.replaced(PATRONI, tree.root)
    assert told == ([], [])
    tree.process(42, "/usr/lib/postgresql/17/bin/postgres (deleted)", unit="patroni.service")
    assert service_age.replaced(PATRONI, tree.root)[0] == ["/usr/lib/postgresql/17/bin/postgres"]


@pytest.mark.parametrize("path", HAPROXY.files)
def test_files_of_its_unit(tree, path):
    for each in HAPROXY.files:
        tree.write(each, at=NEW if each == path else OLD)
    tree.write("/run/haproxy.env", at=NEW)
    assert reasons(tree, HAPROXY) == [f"{path} changed since its start"]


START = "#!/usr/bin/python3 -I\nimport sys\nfrom patroni_start.table import AMENDMENTS\n"


def test_patroni_is_judged_by_its_packages_and_its_start_program(tree):
    start = "/usr/local/lib/holdfast/patroni"
    tree.write(start, START)
    tree.write(f"{start}_start/table.py", at=NEW)
    tree.write("/usr/local/lib/holdfast/lease_watcher/core.py", at=NEW)
    for name in ("patroni", "python3-dnspython", "haproxy", "postgresql"):
        tree.write(f"/var/lib/dpkg/info/{name}.list", at=NEW)
    tree.write("/var/lib/dpkg/info/python3-etcd.list")
    assert reasons(tree, PATRONI) == [
        "patroni 4.0.7-3~deb13u1 was installed since its start",
        "python3-dnspython 2.7.0-1 was installed since its start",
        f"{start}_start/table.py changed since its start",
        "systemd has not read its unit files since they changed",
    ]


def test_a_package_s_own_script(tree):
    [service] = service_age.parse_services(
        ["patroni.service"], SHOWN.split("\n\n")[2].replace("/usr/local/lib/holdfast/patroni", "/usr/bin/patroni")
    )
    tree.write("/usr/bin/patroni", "#!/usr/bin/python3\n")
    tree.write("/var/lib/dpkg/info/python3-etcd.list", at=NEW)
    owners = service_age.parse_owners("patroni: /usr/bin/patroni\ndiversion by x from: /usr/bin/y\n")
    assert owners == {"/usr/bin/patroni": "patroni"}
    assert reasons(tree, service, owners)[0] == "python3-etcd 0.4.5-6 was installed since its start"


def test_a_module_that_python_runs(tree):
    tree.write("/usr/local/lib/holdfast/lease_watcher/core.py", at=NEW)
    tree.write("/usr/local/lib/holdfast/lease_watcher/gateway.py")
    tree.write("/usr/local/lib/holdfast/patroni_start/table.py", at=NEW)
    tree.process(51, "/usr/bin/python3.13 (deleted)")
    assert reasons(tree, WATCHER) == [
        "runs /usr/bin/python3.13, which was replaced",
        "/usr/local/lib/holdfast/lease_watcher/core.py changed since its start",
    ]


def test_a_service_that_does_not_run_needs_no_restart(tree):
    assert reasons(tree, NONE) == []


def test_the_modules_of_a_package():
    assert service_age.modules_of(PACKAGES, "patroni") == {
        "patroni", "python3-click", "python3-etcd", "python3-dnspython",
    }  # fmt: skip
    assert service_age.modules_of(PACKAGES, "") == set()


RUNNING = "6.12.48+deb13-amd64"


@pytest.fixture
def host(tree):
    tree.write("/proc/sys/kernel/random/boot_id", "5b7c1c2e\n")
    tree.write("/proc/1/stat", f"1 (systemd (x)) S {' '.join(str(at) for at in range(1, 49))}\n")
    tree.write("/proc/stat", "cpu 1 2\nbtime 1796029000\nprocesses 3\n")
    tree.write("/proc/uptime", "600.25 1100.00\n")
    return tree


def kernels(host, *releases):
    for release in releases:
        host.write(f"/boot/vmlinuz-{release}")
    host.write(f"/lib/modules/{RUNNING}/modules.dep")


def test_a_host_of_now(host):
    kernels(host, RUNNING, "6.12.9+deb13-amd64", "6.12.57+deb13-cloud-amd64")
    assert service_age.reboot(RUNNING, host.root) == service_age.Reboot(False, [], "5b7c1c2e/19", 600)


def test_a_newer_kernel(host):
    kernels(host, RUNNING, "6.12.57+deb13-amd64", "6.12.100+deb13-amd64")
    assert service_age.reboot(RUNNING, host.root).reasons == [
        f"the kernel 6.12.100+deb13-amd64 is installed, and {RUNNING} runs"
    ]


def test_a_kernel_installed_anew(host):
    kernels(host, RUNNING)
    host.write(f"/var/lib/dpkg/info/linux-image-{RUNNING}.list", at=1796029001)
    assert service_age.reboot(RUNNING, host.root).reasons == [
        f"the running kernel's package linux-image-{RUNNING} was installed since the boot"
    ]


@pytest.mark.parametrize(
    "path", ["/boot/vmlinuz-6.99.0-amd64", f"/boot/vmlinuz-{RUNNING}", f"/lib/modules/{RUNNING}/x"]
)
def test_a_container_has_no_kernel_of_its_own(host, path):
    host.write("/boot/vmlinuz-6.99.0+deb13-amd64")
    host.write(path)
    assert not service_age.reboot(RUNNING, host.root).required


@pytest.mark.parametrize(
    ("directory", "packages", "told"),
    [
        ("/run", "", "/run/reboot-required is there"),
        ("/var/run", "libc6\nlinux-image-1\nlibc6\n", "/run/reboot-required is there, for libc6, linux-image-1"),
    ],
)
def test_a_reboot_that_packages_ask_for(host, directory, packages, told):
    host.write(f"{directory}/reboot-required", "*** System restart required ***\n")
    if packages:
        host.write(f"{directory}/reboot-required.pkgs", packages)
    assert service_age.reboot(RUNNING, host.root).reasons == [told]
    assert service_age.reboot(RUNNING, host.root).required


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        ("6.12.9+deb13-amd64", ([6, 12, 9, 13], "amd64")),
        ("6.12.9+deb13-cloud-amd64", ([6, 12, 9, 13], "cloud-amd64")),
        ("6.1.0-18-amd64", ([6, 1, 0, 18], "amd64")),
        ("6.1.0-0.deb11.7-rt-arm64", ([6, 1, 0, 0, 11, 7], "rt-arm64")),
        ("6.5.13", ([6, 5, 13], "")),
    ],
)
def test_releases_of_kernels(release, expected):
    assert service_age.kernel(release) == expected
