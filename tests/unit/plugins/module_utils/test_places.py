# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.places import (
    Access,
    Account,
    in_use,
    mount_points,
    of_the_system,
    overlaps,
    whose,
)

ACCOUNTS = [
    Account("root", 0, "/root"),
    Account("daemon", 1, "/usr/sbin"),
    Account("www-data", 33, "/var/www"),
    Account("postgres", 104, "/var/lib/postgresql"),
    Account("etcd", 105, "/var/lib/etcd"),
    Account("systemd-network", 998, "/"),
    Account("alice", 1000, "/home/alice"),
    Account("bob", 1001, "/data/people/bob"),
    Account("nobody", 65534, "/nonexistent"),
]


def test_overlapping_paths() -> None:
    assert overlaps("/srv/a", "/srv/a/b")
    assert overlaps("/srv/a/b", "/srv/a")
    assert not overlaps("/srv/a", "/srv/ab")


@pytest.mark.parametrize(
    ("path", "whose"),
    [
        ("/", "/repo"),
        ("/srv", "/srv"),
        ("/srv/verify", None),
        ("/var/lib", "/var/lib"),
        ("/var/lib/x", None),
        ("/usr/local/x", "/usr"),
        ("/root/x", "/root"),
        ("/repo/x", "/repo"),
        ("/repository", None),
        ("/data", "/data/alice"),
        ("/data/alice/x", None),
    ],
)
def test_who_has_a_place(path: str, whose: str | None) -> None:
    assert in_use(path, ["/repo"], ["/data/alice"]) == whose


@pytest.mark.parametrize(("path", "is_so"), [("/", True), ("/etc", True), ("/srv", True), ("/etc/x", False)])
def test_what_every_host_has(path: str, is_so: bool) -> None:
    assert of_the_system(path) is is_so


@pytest.mark.parametrize(
    ("path", "found", "wanted", "why"),
    [
        # others'
        ("/var/lib/postgresql", "postgres 755", "etcd 700", "home of postgres"),
        ("/var/lib/postgresql/17", "postgres 755", "etcd 700", "is postgres's"),
        ("/srv/pg/lab", "postgres 700", "root 700", "is postgres's"),
        ("/etc/ssl", "root 755", "postgres 750", "lies in /etc"),
        ("/etc/ssl", "root 755", "root 700", "lies in /etc"),
        ("/usr/local/bin", "root 755", "postgres 750", "lies in /usr"),
        ("/root/.ssh", "root 700", "etcd 700", "lies in /root"),
        ("/var/lib/apt/lists", "root 755", "etcd 700", "lies in /var/lib/apt"),
        ("/home/alice", "alice 700", "postgres 750", "home of alice"),
        ("/var/www", "root 755", "root 700", "home of www-data"),
        ("/data/people", "root 755", "etcd 700", "home of bob"),
        # nobody else's
        ("/var/lib/etcd", "root 755", "etcd 700", ""),
        ("/var/lib/postgresql", "postgres 755", "postgres 750", ""),
        ("/var/lib/postgresql/17", "root 755", "postgres 750", ""),
        ("/srv/etcd", "root 755", "etcd 700", ""),
        ("/srv/etcd", "4711 700", "etcd 700", ""),
        ("/srv/etcd", "alice 755", "etcd 700", ""),
        ("/srv/snapshots", "alice 700", "bob 700", ""),
        ("/srv/snapshots", "nobody 755", "root 700", ""),
        ("/home/pgbackrest", "root 755", "postgres 750", ""),
        ("/home/alice", "root 755", "alice 700", ""),
        ("/etc/patroni", "postgres 700", "root 755", ""),
        ("/etc/ssl", "root 700", "root 755", ""),
        ("/root/.config/patroni", "root 755", "root 700", ""),
        ("/var/log/pgbackrest", "postgres 770", "postgres 750", ""),
    ],
)
def test_whose_a_directory_is(path: str, found: str, wanted: str, why: str) -> None:
    one, other = (Access(owner, int(mode, 8)) for owner, mode in (text.split() for text in (found, wanted)))
    told = whose(path, one, other, ACCOUNTS)
    assert (why in told) if why else not told, told
    assert whose(path, one, one, ACCOUNTS) == ""


def test_mount_points_are_those_of_bind_mounts_too_and_may_have_blanks() -> None:
    text = """21 1 8:1 / / rw - ext4 /dev/sda1 rw
36 21 8:1 /other /var/lib/postgresql/lab rw,relatime shared:1 - ext4 /dev/sda1 rw
37 21 0:9 / /mnt/my\\040disk rw - tmpfs tmpfs rw
"""
    assert mount_points(text) == {"/", "/var/lib/postgresql/lab", "/mnt/my disk"}
