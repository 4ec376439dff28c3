# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed import members as sut


def test_a_balancer_speaks_from_each_of_its_addresses():
    instances = [{"source": "192.0.2.22"}, {"source": "2001:db8::22"}, {"source": None}]
    hosts = [{"address": "192.0.2.21", "vrrp": None}, {"address": "192.0.2.22", "vrrp": {"instances": instances}}]
    assert sut.own_addresses(hosts) == {"192.0.2.21", "192.0.2.22", "2001:db8::22"}
