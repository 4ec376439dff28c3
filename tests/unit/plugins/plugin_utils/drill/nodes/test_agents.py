# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agent is told follows from the topology's data, not from the collection's defaults."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.agents import configuration

from tests.unit.plugins.plugin_utils.drill.cluster import MONITORED, plan

FILES = {"ca": "/srv/tls/ca.crt", "cert": "/srv/tls/client.crt", "key": "/srv/tls/host.key"}


@pytest.mark.parametrize(
    ("node", "parts", "user"),
    [
        ("db1", {"etcd", "patroni", "database"}, "chief"),
        ("lb1", {"addresses"}, None),
        ("backup1", set(), None),
        ("client1", set(), None),
    ],
)
def test_an_agent_gets_the_clusters_files_and_users(node: str, parts: set[str], user: str | None) -> None:
    planned = plan()
    told = configuration(planned, planned.node(node))
    assert told.keys() == {"name", "tls", *parts}
    assert told["tls"] == FILES
    assert told.get("database", {}).get("user") == user


def test_the_agent_of_the_monitoring_host_reads_the_cluster_s_alerts() -> None:
    planned = plan(hosts=MONITORED)
    told = {node.name: configuration(planned, node).get("alertmanager") for node in planned.nodes}
    assert {host: found for host, found in told.items() if found} == {"backup1": ["main", "https://192.0.2.16:9093"]}
