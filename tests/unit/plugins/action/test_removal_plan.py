# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the host to remove is: as the user said, or as the inventory has a host that is in no group of a cluster."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.action.removal_plan import ActionModule

ARGUMENTS = dict.fromkeys(("address", "by", "data", "accept")) | {"name": "lb2", "group": "holdfast", "joined": False}
LEAVING = {"ansible_host": "192.0.2.22", "ha": {"name": "lb2", "components": []}}


@pytest.mark.parametrize(
    ("declared", "known", "given", "address"),
    [
        ([], {"ansible_host": "192.0.2.22"}, None, "192.0.2.22"),
        ([], LEAVING, None, "192.0.2.22"),
        ([], LEAVING, "192.0.2.99", "192.0.2.99"),
        (["lb2"], LEAVING, None, ""),
        ([], {}, None, ""),
    ],
)
def test_the_address(declared: list[str], known: dict[str, Any], given: str | None, address: str) -> None:
    variables = {"hostvars": {"lb2": known}, "groups": {"all": ["lb2"], "holdfast": declared}}
    assert ActionModule._request(ARGUMENTS | {"address": given}, variables).address == address
