# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import host_preflight as sut

OURS = sut.Listener("0.0.0.0", 5432, 1, "postgres", "patroni.service")
GOOD = sut.Facts(
    os_id="debian",
    os_version="13",
    init="systemd",
    memory=2000,
    disks={"/var/lib": 9000},
    interfaces={"eth0": ["198.51.100.21/24", "2001:db8::21/64"]},
    listeners=(OURS,),
    python_apt=True,
    processors=2,
    clock_synchronized=True,
)
EXPECTED = sut.Expectation(
    address="198.51.100.21",
    ports=(
        sut.Port(5432, "postgresql", ["patroni.service"]),
        sut.Port(5000, "haproxy", ["haproxy.service"], ["198.51.100.100"]),
    ),
    virtual_addresses=(sut.VirtualAddress("198.51.100.100/24"), sut.VirtualAddress("2001:db8::100/64", "eth0")),
    memory=512,
    disk=2048,
    directories={"ha.postgresql.data_directory": "/data/lab", "etcd_data_directory": "/var/lib/etcd/lab"},
)


@pytest.mark.parametrize(
    ("cgroups", "unit"),
    [
        ("0::/system.slice/patroni.service\n", "patroni.service"),
        ("0::/system.slice/system-postgresql.slice/postgresql@17-main.service", "postgresql@17-main.service"),
        ("0::/system.slice/docker.service/.control", "docker.service"),
        ("0::/user.slice/user-0.slice/session-3.scope", "session-3.scope"),
        ("0::/system.slice/docker-0a.scope/system.slice/haproxy.service", "haproxy.service"),
        ("9:name=systemd:/\n1:cpu:/x.service\n0::/system.slice/etcd.service", "etcd.service"),
        ("2:cpu:/a.service\n1:name=systemd:/system.slice/etcd.service", "etcd.service"),
        ("0::/", ""),
        ("", ""),
    ],
)
def test_the_unit_of_a_process(cgroups, unit):
    assert sut.unit_of(cgroups) == unit


def test_the_interface_of_every_address():
    assert sut.interfaces_by_address(GOOD.interfaces) == {"198.51.100.21": "eth0", "2001:db8::21": "eth0"}


def test_a_good_host_has_no_findings():
    assert sut.judge(GOOD, EXPECTED) == []


@pytest.mark.parametrize(
    ("change", "check", "value", "level"),
    [
        ({"os_id": "ubuntu", "os_version": "24.04"}, "operating system", "ubuntu 24.04", "warning"),
        ({"os_version": "11"}, "operating system", "debian 11", "error"),
        ({"os_id": "", "os_version": ""}, "operating system", "unknown", "error"),
        ({"init": "tini"}, "init", "tini", "error"),
        ({"memory": 256}, "memory", "256 MiB", "error"),
        ({"disks": {"/var/lib": 9000, "/data": 100}}, "free disk in /data", "100 MiB", "error"),
        ({"mounted": {"/data/lab": False}}, "ha.postgresql.data_directory", "/data/lab is a mount point", "error"),
        ({"mounted": {"/data/lab": True}}, "ha.postgresql.data_directory", "/data/lab is a mount point", "warning"),
        ({"user": "admin"}, "rights", "admin is not root", "error"),
        (
            {"user": "admin", "listeners": (sut.Listener("198.51.100.100", 5000),)},
            "rights",
            "admin is not root",
            "error",
        ),
        ({"python_apt": False}, "python3-apt", "not importable", "warning"),
        ({"clock_synchronized": False}, "clock", "not synchronized", "warning"),
        (
            {"listeners": (sut.Listener("::", 5432, 1, "mysqld"),)},
            "port 5432",
            "mysqld listens on ::",
            "error",
        ),
        (
            {"listeners": (sut.Listener("::", 5432, 1, "postgres", "postgresql@17-main.service"),)},
            "port 5432",
            "postgres (postgresql@17-main.service) listens on ::",
            "error",
        ),
        (
            {"listeners": (OURS, sut.Listener("127.0.0.1", 5432, 2, "postgres", "user@1000.service"))},
            "port 5432",
            "postgres (user@1000.service) listens on 127.0.0.1",
            "error",
        ),
        (
            {"listeners": (sut.Listener("198.51.100.100", 5000),)},
            "port 5000",
            "an unknown process listens on 198.51.100.100",
            "error",
        ),
    ],
)
def test_one_fault_is_one_finding(change, check, value, level):
    (finding,) = sut.judge(dataclasses.replace(GOOD, **change), EXPECTED)
    assert (finding.check, finding.value, finding.level) == (check, value, level)
    assert finding.fix


@pytest.mark.parametrize(
    ("change", "check", "value"),
    [
        ({"address": "198.51.100.99"}, "address", "198.51.100.99 is on no interface"),
        ({"virtual_addresses": (sut.VirtualAddress("203.0.113.9/24"),)}, "interface", "none in 203.0.113.0/24"),
        (
            {"virtual_addresses": (sut.VirtualAddress("198.51.100.100/24", "eth1"),)},
            "interface",
            "eth1 of 198.51.100.100/24 does not exist",
        ),
    ],
)
def test_unmet_expectations(change, check, value):
    (finding,) = sut.judge(GOOD, dataclasses.replace(EXPECTED, **change))
    assert (finding.check, finding.value) == (check, value)


@pytest.mark.parametrize(
    ("version", "missing", "refused"),
    [
        ("12", ["haproxy", "prometheus-pgbackrest-exporter"], ["prometheus-pgbackrest-exporter"]),
        ("12", ["haproxy"], []),
        ("13", ["prometheus-pgbackrest-exporter"], []),
    ],
)
def test_a_package_that_the_release_lacks(version, missing, refused):
    found = dict(sut.judge_packages(dataclasses.replace(GOOD, os_version=version), missing))
    assert list(found) == refused
    for finding in found.values():
        assert (finding.check, finding.level) == ("monitoring.without", "error")
        assert finding.value == "lacks pgbackrest, and debian 12 has no package prometheus-pgbackrest-exporter"
        assert "monitoring: {without: [pgbackrest]}" in finding.fix


def test_a_held_virtual_address_is_no_address_of_the_host():
    assert sut.interface_of({"eth0": ["198.51.100.100/24"]}, "198.51.100.100/24") is None


@pytest.mark.parametrize(
    ("listening", "wanted", "collides"),
    [
        ("127.0.0.1", ["198.51.100.100"], False),
        ("127.0.0.1", [], True),
        ("0.0.0.0", ["198.51.100.100"], True),
        ("198.51.100.100", ["0.0.0.0"], True),
        ("2001:db8::1", ["2001:db8:0::1"], True),
    ],
)
def test_overlap(listening, wanted, collides):
    assert sut.overlap(listening, wanted) is collides


def test_listeners_are_parsed():
    text = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   100        0 4711 1 0\n"
        "   1: 0100007F:1538 0100007F:1539 01 00000000:00000000 00:00000000 00000000   100        0 4712 1 0\n"
    )
    assert list(sut.parse_listeners(text)) == [sut.Listener("127.0.0.1", 5432, 4711)]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("00000000", "0.0.0.0"),
        ("B80D0120000000000000000001000000", "2001:db8::1"),
        ("0000000000000000FFFF00000100007F", "127.0.0.1"),
        ("00000000000000000000000000000000", "::"),
    ],
)
def test_hex_addresses(text, address):
    assert sut.parse_hex_address(text) == address


def test_small_parsers():
    assert sut.parse_os_release('NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="13"\n') == ("debian", "13")
    assert sut.parse_memory("MemTotal:        2048000 kB\nMemFree: 1 kB\n") == 2000
    link = {"ifname": "eth0", "addr_info": [{"local": "198.51.100.21", "prefixlen": 24}]}
    assert sut.parse_interfaces([{"ifname": "lo"}, link, {}]) == {"eth0": ["198.51.100.21/24"]}


def test_a_time_span_is_judged_by_systemd():
    assert sut.judge_span("timeout", "12h", 0, "Original: 12h", "") is None
    finding = sut.judge_span("timeout", "12 hourz", 1, "", "Failed to parse time span '12 hourz': Invalid argument\n")
    assert finding is not None
    assert (finding.check, finding.value) == (
        "timeout",
        "12 hourz: Failed to parse time span '12 hourz': Invalid argument",
    )


@pytest.mark.parametrize(
    ("told", "value"),
    [
        ((0, "Next elapse: Thu 2026-11-26 01:00:00 UTC", ""), None),
        ((0, "    Next elapse: never", ""), "x: never comes again"),
        ((1, "", "Failed to parse calendar specification\n"), "x: Failed to parse calendar specification"),
    ],
)
def test_a_schedule_is_judged_by_systemd(told, value):
    finding = sut.judge_calendar("backup_jobs[a].schedule", "x", *told)
    assert (finding and (finding.check, finding.value)) == (value and ("backup_jobs[a].schedule", value))
