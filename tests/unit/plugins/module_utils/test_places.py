# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.places import in_use, mount_points, of_the_system, overlaps


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


def test_mount_points_are_those_of_bind_mounts_too_and_may_have_blanks() -> None:
    text = """21 1 8:1 / / rw - ext4 /dev/sda1 rw
36 21 8:1 /other /var/lib/postgresql/lab rw,relatime shared:1 - ext4 /dev/sda1 rw
37 21 0:9 / /mnt/my\\040disk rw - tmpfs tmpfs rw
"""
    assert mount_points(text) == {"/", "/var/lib/postgresql/lab", "/mnt/my disk"}
