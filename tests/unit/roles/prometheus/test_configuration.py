# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus' configuration: its targets with their labels, and no connection without certificates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.roles.prometheus.test_rules import promtool
from tests.unit.roles.render import evaluate, render

TARGETS = [
    {"job": "node", "cluster": "lab", "host": "db1", "address": "192.0.2.1", "port": 9100},
    {"job": "node", "cluster": "lab", "host": "db2", "address": "2001:db8::2", "port": 9100},
    {
        "job": "etcd",
        "cluster": "lab",
        "host": "db1",
        "address": "192.0.2.1",
        "port": 2379,
        "path": "/m",
        "scheme": "http",
    },
]
PROBES = [{"cluster": "lab", "pool": "primary", "address": "192.0.2.100", "port": 5000}]
GIVEN: dict[str, Any] = {
    "prometheus_targets": TARGETS,
    "prometheus_probes": PROBES,
    "prometheus_probe_exporter": "192.0.2.9:9115",
    "prometheus_alertmanagers": ["192.0.2.9:9093"],
}


def document(**given: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(render("prometheus", "prometheus.yml.j2", {**GIVEN, **given}))
    return found


def test_promtool_accepts_it(tmp_path: Path) -> None:
    for name, given in {"full": GIVEN, "bare": {}}.items():
        path = tmp_path / f"{name}.yml"
        path.write_text(render("prometheus", "prometheus.yml.j2", given))
        assert promtool("check", "config", "--syntax-only", str(path)) == ""


@pytest.mark.parametrize("role", ["prometheus", "alertmanager"])
def test_only_clients_with_a_certificate_get_an_answer(role: str) -> None:
    settings = yaml.safe_load(render(role, "web.yml.j2", {}))["tls_server_config"]
    assert settings["client_auth_type"] == "RequireAndVerifyClientCert"
    assert settings["client_ca_file"] == "/etc/holdfast/tls/ca.crt"


def test_every_target_has_its_labels() -> None:
    jobs = {job["job_name"]: job for job in document()["scrape_configs"]}
    assert list(jobs) == ["etcd", "node", "probe"]
    second = jobs["node"]["static_configs"][1]
    assert second["targets"] == ["[2001:db8::2]:9100"]
    assert {key: second["labels"][key] for key in ("cluster", "host", "instance")} == {
        "cluster": "lab",
        "host": "db2",
        "instance": "db2:9100",
    }
    (etcd,) = jobs["etcd"]["static_configs"]
    assert (etcd["labels"]["__scheme__"], etcd["labels"]["__metrics_path__"]) == ("http", "/m")
    (probe,) = jobs["probe"]["static_configs"]
    assert (probe["targets"], probe["labels"]["__param_target"]) == (["192.0.2.9:9115"], "192.0.2.100:5000")
    assert "host" not in probe["labels"]


def test_every_connection_shows_and_verifies_a_certificate() -> None:
    found = document()
    for connection in (*found["scrape_configs"], *found["alerting"]["alertmanagers"]):
        assert connection["scheme"] == "https"
        assert connection["tls_config"].keys() == {"ca_file", "cert_file", "key_file"}


def test_retention_has_no_limit_where_it_is_empty() -> None:
    given = {"prometheus_retention_time": "", "prometheus_retention_size": "", "prometheus_external_url": "https://a"}
    arguments = evaluate("prometheus", "{{ prometheus__arguments }}", given)
    assert not [argument for argument in arguments if "retention" in argument]
    assert "--web.external-url=https://a" in arguments
