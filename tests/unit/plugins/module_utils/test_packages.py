# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.packages import Packages, judge

LISTING = """\
etcd-server installed
haproxy config-files
patroni half-configured
postgresql unpacked
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
    assert judge(LISTING, []) == Packages(missing=[], broken=["patroni", "postgresql"])
