# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of the nodes' agents."""

from __future__ import annotations

from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.url import https_url
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Node, Plan

SOCKETS = "/var/run/postgresql"


def tls(plan: Plan) -> dict[str, str]:
    """Return the paths of a client's files on each host of the cluster: ca, cert and key."""
    paths = plan.topology["tls"]
    return {"ca": paths["ca"], "cert": paths["client_cert"], "key": paths["key"]}


def configuration(plan: Plan, node: Node) -> dict[str, Any]:
    """Return the configuration of a node's agent."""
    wanted: dict[str, Any] = {"name": node.name, "tls": tls(plan)}
    if node.ha is None:
        return wanted
    postgresql, etcd = node.ha["postgresql"], node.ha["etcd"]
    if node.has("etcd"):
        wanted["etcd"] = https_url(node.ha["address"], etcd["client_port"])
    if node.has("postgresql"):
        wanted["patroni"] = https_url(node.ha["address"], postgresql["rest_port"])
        wanted["database"] = {
            "host": SOCKETS,
            "port": postgresql["port"],
            "user": postgresql["users"]["superuser"],
            "dbname": plan.database,
            "application_name": "holdfast-drill-agent",
        }
    if node.has("keepalived"):
        wanted["addresses"] = plan.virtual_ips
    if node.name == plan.monitor:
        port = node.ha["monitoring"]["ports"]["alertmanager"]
        wanted["alertmanager"] = [plan.cluster, https_url(node.ha["address"], port)]
    return wanted
