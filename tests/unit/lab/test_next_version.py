# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages get a next version, and what a node is given."""

from __future__ import annotations

import pytest

from lab import next_version as sut

LISTING = "\n".join(
    "\t".join(row)
    for row in (
        ("ii ", "postgresql", "postgresql-common", "17+278", ", postgresql-17, ucf"),
        ("ii ", "postgresql-common", "postgresql-common", "278", ", postgresql-client-common (= 278)"),
        ("ii ", "postgresql-17", "postgresql-17", "17.6-0", ", postgresql-client-17"),
        ("ii ", "libpq5", "postgresql-17", "17.6-0", ", libc6"),
        ("rc ", "etcd-server", "etcd", "3.5.16-4", ", adduser"),
        ("ii ", "pgbouncer", "pgbouncer", "1.24-1", "init-system-helpers, libc6, postgresql-common"),
        ("ii ", "libc6", "glibc", "2.41", ", libgcc-s1"),
    )
)


def test_only_what_is_installed_counts():
    assert [package.name for package in sut.installed(LISTING)] == [
        "postgresql",
        "postgresql-common",
        "postgresql-17",
        "libpq5",
        "pgbouncer",
        "libc6",
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["postgresql"], ["libpq5", "postgresql", "postgresql-17", "postgresql-common"]),
        (["libpq5"], ["libpq5", "postgresql-17"]),
        (["pgbouncer", "etcd-server"], ["pgbouncer"]),
        ([], []),
    ],
)
def test_packages_of_the_same_source_come_along(names: list[str], expected: list[str]):
    assert list(sut.wanted(sut.installed(LISTING), names)) == expected


def test_every_installed_version_counts():
    other = "ii \tpgbouncer\tpgbouncer\t1.24-1+holdfast1\t, libc6"
    found = [*sut.installed(LISTING), *sut.installed(other)]
    assert sut.wanted(found, ["pgbouncer"]) == {"pgbouncer": ["1.24-1", "1.24-1+holdfast1"]}


def test_the_stack_is_what_the_hosts_need():
    hosts = {"db1": {"ha": {"packages": ["a", "b"]}}, "lb1": {"ha": {"packages": ["b", "c"]}}, "client1": {}}
    assert sut.stack({"_meta": {"hostvars": hosts}}) == {"a", "b", "c"}


def test_the_source_has_both_suites():
    assert "Suites: trixie trixie-security\n" in sut.sources("http://198.51.100.250:3143", "trixie")
