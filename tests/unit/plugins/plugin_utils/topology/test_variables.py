# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.variables import role_of


@pytest.mark.parametrize(
    ("variable", "role"),
    [
        ("etcd_members", "etcd"),
        ("etcd", "etcd"),
        ("etcd_member_result", None),
        ("etcd__environment", None),
        ("etcdctl_path", None),
        ("lease_watcher_seconds", "lease_watcher"),
    ],
)
def test_whose_variable_a_name_may_be(variable: str, role: str | None) -> None:
    assert role_of(variable) == role
