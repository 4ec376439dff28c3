# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every panel's queries on a real Prometheus, and require data: scripts.dashboards.check SOURCE [CLUSTER].

It also prints how many series each host of the cluster has.

SOURCE is an inventory, whose host with Prometheus asks it, or a URL such as http://127.0.0.1:9090. CLUSTER is the
value of the label, by default lab. Exit code 1 means that a panel has no data, or a query is refused.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "collections"))

from ansible_collections.holdfast.ha.plugins.module_utils.http_json import HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.prometheus import Span, evaluate

from scripts.dashboards.model import Panel, dashboards

GROUP = "holdfast_prometheus"
MODULE = "holdfast.ha.prometheus_info"
CARDINALITY = "series of each host"
Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A panel, and the names of its queries in the question."""

    place: str
    panel: Panel
    queries: Mapping[str, str]


def main(arguments: list[str]) -> int:
    """Ask, and print what each panel lacks; return the exit status."""
    source, cluster = arguments[0], (arguments[1:] or ["lab"])[0]
    asked = list(question(cluster))
    queries = {name: query for item in asked for name, query in item.queries.items()}
    all_queries = queries | {
        CARDINALITY: f'sum by (host) (scrape_samples_post_metric_relabeling{{cluster="{cluster}"}})'
    }
    answer = ask_url(source, all_queries) if "://" in source else ask_host(source, all_queries)
    wrong = [line for item in asked for line in complaints(item, answer)]
    for line in wrong:
        print(line)
    empty = sum(not any(answer["series"].get(name) for name in item.queries) for item in asked if item.panel.empty)
    print(f"{len(asked)} panels, {len(queries)} queries: {len(wrong)} complaints, {empty} panels empty as they may be")
    print(f"series: {', '.join(cardinality(answer))}")
    return 1 if wrong else 0


def question(cluster: str) -> Iterator[Asked]:
    """Yield every panel with its queries for a cluster."""
    for dashboard in dashboards():
        for number, panel in enumerate(dashboard.panels, 1):
            place = f"{dashboard.name}/{number}"
            named = {f"{place}{chr(ord('a') + at)}": query.on(cluster) for at, query in enumerate(panel.queries)}
            yield Asked(place, panel, named)


def complaints(asked: Asked, answer: Answer) -> Iterator[str]:
    """Yield what a panel lacks: an answer to each query, and values in it unless the panel may be empty."""
    for name, query in asked.queries.items():
        if name in answer["errors"]:
            yield f"{asked.place} {asked.panel.title}: {answer['errors'][name]}: {query}"
        elif not asked.panel.empty and not any(item["samples"] for item in answer["series"].get(name, ())):
            yield f"{asked.place} {asked.panel.title}: no data: {query}"


def cardinality(answer: Answer) -> list[str]:
    """Return how many series the last scrapes of each host gave; probes of an address belong to no host."""
    counts = {item["labels"].get("host", "no host"): item["samples"] for item in answer["series"].get(CARDINALITY, ())}
    return [f"{host} {samples[-1][1]:.0f}" for host, samples in sorted(counts.items()) if samples]


def ask_url(url: str, queries: Mapping[str, str]) -> Answer:
    """Return the answers of a Prometheus at a URL."""
    series, errors = evaluate(HttpJsonClient(url, timeout=30.0), queries, Span(0.0, time.time(), 0))
    return {"series": series, "errors": errors}


def ask_host(inventory: str, queries: Mapping[str, str]) -> Answer:
    """Return the answers of an inventory's Prometheus, which its own host asks with its client certificate."""
    module = {
        "prometheus": "https://{{ ha.address | holdfast.ha.bracketed }}:{{ ha.monitoring.ports.prometheus }}",
        "ca_path": "{{ ha.tls.ca }}",
        "certificate_path": "{{ ha.tls.client_cert }}",
        "private_key_path": "{{ ha.tls.key }}",
        "queries": queries,
        "timeout": 30,
    }
    with tempfile.TemporaryDirectory() as folder:
        command = ["ansible", "-i", inventory, GROUP, "-m", MODULE, "-a", json.dumps(module), "-t", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        answers = [json.loads(path.read_text(encoding="utf-8")) for path in Path(folder).iterdir()]
    if done.returncode or not answers:
        sys.exit(f"{inventory}: no answer of a host of the group {GROUP}: {(done.stdout + done.stderr).strip()}")
    return answers[0]


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
