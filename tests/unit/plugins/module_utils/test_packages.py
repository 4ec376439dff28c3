# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.packages import Packages, judge, upstream

LISTING = """\
etcd-server installed 3.5.16-4+b3
haproxy config-files 3.0.11-1
patroni half-configured 4.0.7-1
postgresql unpacked 17+278
removed not-installed\x20
"""


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        (["etcd-server"], []),
        (["unknown", "etcd-server"], ["unknown"]),
        (["haproxy"], ["haproxy"]),
        (["postgresql", "patroni"], ["postgresql", "patroni"]),
    ],
)
def test_missing(wanted: list[str], missing: list[str]) -> None:
    assert judge(LISTING, wanted).missing == missing


def test_broken_are_those_an_interrupted_installation_left() -> None:
    assert judge(LISTING, []) == Packages(missing=[], broken=["patroni", "postgresql"], versions={})


def test_versions_are_those_of_wanted_and_installed_packages() -> None:
    assert judge(LISTING, ["haproxy", "etcd-server"]).versions == {"etcd-server": "3.5.16"}


@pytest.mark.parametrize(
    ("version", "expected"),
    [("2.55.1-1+b2", "2.55.1"), ("1:2.3.3-1", "2.3.3"), ("17+278", "17+278"), ("4.0.7", "4.0.7")],
)
def test_upstream(version: str, expected: str) -> None:
    assert upstream(version) == expected
