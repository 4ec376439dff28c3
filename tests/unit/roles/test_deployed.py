# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What deployed_info reads back from the roles' own templates."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import deployed as sut

from tests.unit.roles.render import render

PAGE = {"haproxy_pools": [], "haproxy_stats_addresses": ["198.51.100.21"], "haproxy_stats_password": "x"}


@pytest.mark.parametrize("password", ["plain", "it's", "a 'quoted' one's", "x\\y"])
def test_a_page_of_haproxy_that_asks_for_a_password(password):
    text = render("haproxy", "haproxy.cfg.j2", PAGE | {"haproxy_stats_password": password})
    assert sut.parse_stored("/etc/haproxy/haproxy.cfg", text) == [("holdfast", password)]
    assert sut.parse_page(text) == ("198.51.100.21:8404", "holdfast")


def test_a_page_of_haproxy_that_asks_for_none():
    text = render("haproxy", "haproxy.cfg.j2", PAGE | {"haproxy_stats_addresses": ["127.0.0.1"]})
    assert (sut.parse_stored("haproxy.cfg", text), sut.parse_page(text)) == ([], None)
