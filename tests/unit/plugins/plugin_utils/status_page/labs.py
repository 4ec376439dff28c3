# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab as its hosts and its Prometheus report it: healthy, and with a database host down."""

from __future__ import annotations

import math
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.status.judge import judge, notices
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.observe import observe
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.page.document import Judged, as_page

from tests.unit.plugins.plugin_utils import test_status as status

NOW = 1_796_040_000.0
"""30 November 2026, 12:00 UTC."""
DAY, STEP = 86400, 300
Reports = dict[str, dict[str, Any]]
ADDRESSES = {"db1": 11, "db2": 12, "db3": 13, "lb1": 21, "lb2": 22, "backup1": 31}
POOLED = {"name": "pooled", "port": 6432, "service": "pgbouncer", "role": None, "servers": status.SERVERS}
MONITORING = {"external": False, "interval": 15, "server": {"name": "backup1", "address": "198.51.100.31"}}


def healthy() -> Reports:
    """Return the reports of the lab with all that a cluster can have."""
    reports = status.lab()
    for name, report in reports.items():
        ha = report["ha"]
        ha |= {"name": name, "address": f"198.51.100.{ADDRESSES[name]}", "monitoring": MONITORING, "backup": {}}
        ha["pools"] = [*ha["pools"], POOLED]
        names = ("host.crt", "client.crt") if name in status.DATABASES else ("host.crt",)
        report["probes"]["certificates"] = {"certificates": [certificate(item, 83) for item in names]}
        report["probes"]["certificates"]["certificates"].append(certificate("ca.crt", 3610))
        report["probes"]["rolling"] = status.rolling()
        report["probes"]["maintenance"] = {"marks": []}
    for name in status.DATABASES:
        reports[name]["ha"]["components"] += ["pgbouncer", "lease_watcher"]
        reports[name]["probes"]["objects"]["slots"] = []
        reports[name]["probes"]["postgresql"]["cluster"]["members"][2] |= {"role": "quorum_standby", "lag": 16_567_500}
    for name in ("lb1", "lb2"):
        pooled = [status.server(server, True) for server in status.DATABASES]
        reports[name]["probes"]["haproxy"]["pools"].append({"name": "pooled", "servers": pooled})
    backup = reports["backup1"]
    backup["ha"]["components"].append("prometheus")
    backup["probes"] |= {
        "verification": status.verification(age=11_000, canary_age=41),
        "jobs": {"jobs": [job("backup-full"), job("backup-incr"), job("restore-verify")]},
        "prometheus": {
            "now": NOW,
            "series": {"writes": [writes()], "lag": [lag("db2", 40_000), lag("db3", 9_000_000)]},
            "errors": {},
            "alerts": [],
            "alerts_error": "",
        },
    }
    return reports


def troubled() -> Reports:
    """Return the lab with db2 down since an hour, a failed job and a failed verification, and alerts."""
    reports = healthy()
    reports["db2"] |= {"unreachable": "Failed to connect to the host via ssh: No route to host", "probes": None}
    for name in ("db1", "db3"):
        probes = reports[name]["probes"]
        probes["etcd"]["endpoints"][1] |= {"healthy": False, "leader": False, "error": "timed out"}
        probes["etcd"]["endpoints"][2] |= {"leader": True}
        probes["postgresql"]["cluster"]["members"][1] |= {"state": "stopped", "role": "replica", "lag": None}
        probes["postgresql"]["problems"] = ["db2 does not answer"]
    for name in ("lb1", "lb2"):
        for pool in reports[name]["probes"]["haproxy"]["pools"]:
            pool["servers"][1]["state"] = "down"
    probes = reports["backup1"]["probes"]
    probes["verification"] = status.verification("failed", "checksum mismatch in base/16384/2619", age=7200)
    probes["jobs"]["jobs"][1] = job("backup-incr", result="exit-code")
    probes["rolling"] = status.rolling(stack=[status.package("pgbackrest", security=True)])
    seen = probes["prometheus"]
    seen["series"] = {"writes": [writes(down=range(200, 203), part=203)], "lag": [lag("db2", 9e7, end=276)]}
    seen["alerts"] = deepcopy(ALERTS)
    return reports


def many() -> Reports:
    """Return a lab with seven balancers and long names."""
    reports = healthy()
    for number in range(3, 8):
        name = f"balancer{number}.rack-{number}.datacenter-north.example"
        reports[name] = deepcopy(reports["lb2"])
        reports[name]["ha"] |= {"name": name}
    return reports


def judged(reports: Reports) -> list[Judged]:
    """Return the clusters of reports with their problems."""
    return [
        Judged(cluster, judge(cluster, status.LIMITS), notices(cluster, status.LIMITS)) for cluster in observe(reports)
    ]


def page(reports: Reports) -> str:
    """Return the page of reports."""
    return as_page(judged(reports), status.LIMITS.lag, datetime.fromtimestamp(NOW, UTC))


def certificate(name: str, days: int) -> dict[str, Any]:
    """Return a certificate that ends in so many days."""
    return {"name": name, "remaining": days * DAY + 4000, "error": ""}


def job(name: str, result: str = "success") -> dict[str, Any]:
    """Return a job that ran an hour ago."""
    record = {"result": result, "exit_status": "0" if result == "success" else "1", "seconds": 12.5}
    age = {"success_age": 3600 if result == "success" else 90_000, "allowed": 172_800}
    return {"name": name, "scheduled": True, "running": False, "age": 3600, "record": record, **age}


def series(labels: dict[str, str], values: dict[int, float]) -> dict[str, Any]:
    """Return a series of Prometheus by numbers of steps in the day."""
    samples = [[NOW - DAY + (step + 1) * STEP, value] for step, value in sorted(values.items())]
    return {"labels": {"cluster": "lab", **labels}, "samples": samples}


def writes(down: range = range(0), part: int | None = None, unknown: range = range(30, 42)) -> dict[str, Any]:
    """Return the share of each step with a primary."""
    values = {step: 0.0 if step in down else 1.0 for step in range(DAY // STEP) if step not in unknown}
    return series({}, values | ({} if part is None else {part: 0.85}))


def lag(name: str, greatest: float, end: int = DAY // STEP, unknown: range = range(30, 42)) -> dict[str, Any]:
    """Return a standby's lag: waves with peaks."""
    waves = {step: abs(math.sin(step / 17) * math.sin(step / 5)) for step in range(end) if step not in unknown}
    return series({"application_name": name}, {step: greatest * wave**3 for step, wave in waves.items()})


def alert(name: str, severity: str, host: str, summary: str, since: str, **status: bool) -> dict[str, Any]:
    """Return an alert of holdfast.ha.prometheus_info."""
    labels = {"alertname": name, "severity": severity, "host": host, "cluster": "lab"}
    notes = {"summary": summary, "runbook_url": f"https://docs.example/alerts.md#{name.lower()}"}
    return {"labels": labels, "annotations": notes, "since": since, "silenced": False, "inhibited": False, **status}


ALERTS = [
    alert("Watchdog", "info", "", "alerts arrive", "2026-11-29T10:00:00Z"),
    alert("EtcdNoSpare", "ticket", "", "etcd of lab bears no further fault", "2026-11-30T11:02:00.5Z"),
    alert("HostDown", "page", "db2", "db2 answers no scrape", "2026-11-30T11:01:30.123456789Z"),
    alert("ExporterDown", "ticket", "db2", "postgres on db2", "2026-11-30T11:02:00Z", inhibited=True),
    alert("RestoreVerifyFailed", "page", "backup1", "the last restore failed", "2026-11-30T10:00:00Z"),
]
