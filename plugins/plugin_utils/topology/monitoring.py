# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus reads in a cluster: the targets, and the addresses that the blackbox exporter probes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import EXPORTERS, MONITOR
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Cluster, Host

JOBS = {
    "node_exporter": ("node", "node_exporter"),
    "postgresql": ("patroni", "patroni"),
    "postgres_exporter": ("postgresql", "postgres_exporter"),
    "pgbouncer_exporter": ("pgbouncer", "pgbouncer_exporter"),
    "etcd": ("etcd", "etcd_client"),
    "haproxy": ("haproxy", "haproxy_metrics"),
    "pgbackrest_exporter": ("pgbackrest", "pgbackrest_exporter"),
    "blackbox_exporter": ("blackbox", "blackbox_exporter"),
    "prometheus": ("prometheus", "prometheus"),
    "alertmanager": ("alertmanager", "alertmanager"),
}
"""Components with metrics: Prometheus' name of the job, and the port."""

PORTS = (*(f"{name}_exporter" for name in EXPORTERS), "haproxy_metrics", "prometheus", "alertmanager")
"""The ports that serve only the monitoring."""


def monitoring(cluster: Cluster, host: Host) -> dict[str, Any] | None:
    """How a host is monitored, None where it is not.

    C(server): the host with Prometheus. C(exporters): those of this host. C(targets) and C(probes) are of the whole
    cluster, but empty on hosts without Prometheus; if Prometheus is external, all hosts have them.
    """
    declared = cluster.monitoring
    if declared is None:
        return None
    servers = cluster.of("prometheus")
    reads = declared.external or host in servers
    return {
        "external": declared.external,
        "interval": declared.interval,
        "server": {"name": servers[0].name, "address": servers[0].address} if servers else None,
        "user": MONITOR,
        "ports": {name: number for name, number in asdict(cluster.ports).items() if name in PORTS},
        "exporters": [name for name in EXPORTERS if host in cluster.of(f"{name}_exporter")],
        "targets": list(targets(cluster)) if reads else [],
        "probes": list(probes(cluster)) if reads else [],
    }


def targets(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Yield what Prometheus reads, by job and host."""
    for component, (job, port) in JOBS.items():
        for host in cluster.of(component):
            yield {
                "job": job,
                "host": host.name,
                "address": host.address,
                "port": getattr(cluster.ports, port),
                "cluster": cluster.name,
                "scheme": "https",
                "path": "/metrics",
            }


def probes(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Yield each pool at each of its virtual addresses, to which a client must be able to connect."""
    addresses = {vip.name: str(vip.address.ip) for vip in cluster.vips}
    for pool in cluster.pools:
        for vip in pool.vips:
            if vip in addresses:
                yield {"cluster": cluster.name, "pool": pool.name, "address": addresses[vip], "port": pool.port}
