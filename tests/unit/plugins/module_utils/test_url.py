# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.url import bracketed, https_url


@pytest.mark.parametrize(
    ("address", "before_a_port"),
    [("198.51.100.11", "198.51.100.11"), ("2001:db8::1", "[2001:db8::1]"), ("db1.example.com", "db1.example.com")],
)
def test_an_ipv6_address_is_in_brackets(address: str, before_a_port: str) -> None:
    assert bracketed(address) == before_a_port
    assert https_url(address, 2379) == f"https://{before_a_port}:2379"
