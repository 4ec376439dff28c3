# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The exporters: what each unit may do, where it listens, and that no metrics leave a host without a certificate."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import EXPORTERS

from tests.unit.roles.render import ROLES, evaluate, render

INPUTS: dict[str, Any] = {"exporters_address": "2001:db8::1", "exporters_names": list(EXPORTERS)}
VERSION = "prometheus-postgres-exporter"


def plan(**variables: Any) -> dict[str, Any]:
    """Return what the role has the component module do."""
    text = (ROLES / "exporters" / "templates" / "plan.yml.j2").read_text(encoding="utf-8")
    found: dict[str, Any] = yaml.safe_load(evaluate("exporters", text, {**INPUTS, **variables}))
    return found


def unit(name: str, **variables: Any) -> list[str]:
    """Return the lines of an exporter's unit, with a continued one as one line."""
    (file,) = [
        file for file in plan(**variables)["files"] if file["path"].endswith(f"/holdfast-{name}-exporter.service")
    ]
    text = render("exporters", "exporter.service.j2", {**INPUTS, **variables, **file["template_vars"]})
    return text.replace(" \\\n ", "").splitlines()


def command(name: str, **variables: Any) -> str:
    """Return the command of an exporter."""
    (line,) = [line for line in unit(name, **variables) if line.startswith("ExecStart=")]
    return line


@pytest.mark.parametrize("name", EXPORTERS)
def test_an_exporter_answers_clients_with_a_certificate_only(name: str) -> None:
    assert "--web.config.file=%d/web.yml" in command(name)
    assert '"--web.listen-address=[2001:db8::1]:' in command(name)
    lines = unit(name)
    for file in ("web.yml", "ca.crt", "host.crt", "host.key"):
        assert [line for line in lines if line.startswith(f"LoadCredential={file}:/etc/holdfast/")]
    web = yaml.safe_load(render("exporters", "web.yml.j2", {}))["tls_server_config"]
    assert web["client_auth_type"] == "RequireAndVerifyClientCert"
    assert (web["client_ca_file"], web["cert_file"], web["key_file"]) == ("ca.crt", "host.crt", "host.key")


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_changed_certificate_restarts_an_exporter_whose_package_s_own_unit_is_off(name: str) -> None:
    units = {item["name"]: item for item in plan()["units"]}
    own, packaged = units[f"holdfast-{name}-exporter.service"], units[f"prometheus-{name}-exporter.service"]
    assert {"/etc/holdfast/tls/host.crt", "/etc/holdfast/tls/host.key", "/etc/holdfast/exporters/web.yml"} <= {
        *own["restart_on"]
    }
    assert (packaged["state"], packaged["enabled"]) == ("stopped", False)


@pytest.mark.parametrize(
    ("name", "user"),
    [
        ("node", "holdfast-node-exporter"),
        ("postgres", "prometheus"),
        ("pgbouncer", "prometheus"),
        ("pgbackrest", "postgres"),
        ("blackbox", "holdfast-blackbox-exporter"),
    ],
)
def test_an_exporter_is_no_more_than_it_must_be(name: str, user: str) -> None:
    lines = unit(name)
    assert f"User={user}" in lines
    assert ("DynamicUser=true" in lines) is user.startswith("holdfast-")
    for setting in ("CapabilityBoundingSet=", "NoNewPrivileges=true", "ProtectSystem=strict", "LimitCORE=0"):
        assert setting in lines
    (families,) = [line for line in lines if line.startswith("RestrictAddressFamilies=")]
    assert ("AF_UNIX" in families) is (user in {"prometheus", "postgres"})


def test_the_host_s_exporter_has_few_collectors() -> None:
    text = command("node")
    assert "--collector.disable-defaults" in text
    assert '"--collector.textfile.directory=/run/holdfast-metrics"' in text
    assert text.count("--collector.") < 22


@pytest.mark.parametrize(("version", "knows"), [("0.11.1", False), ("0.17.1", True), ("0.15", True)])
def test_a_version_gets_options_that_it_knows(version: str, knows: bool) -> None:
    text = command("postgres", exporters_versions={VERSION: version})
    assert ("--collector.database_wraparound" in text) is knows


def test_a_user_s_arguments_come_last() -> None:
    text = command("node", exporters_arguments={"node": ["--collector.hwmon"]})
    assert text.endswith('"--collector.hwmon"')


def test_no_password_is_needed() -> None:
    (line,) = [line for line in unit("postgres") if line.startswith("Environment=") and "DATA_SOURCE" in line]
    assert "host=/var/run/postgresql port=5432 user=prometheus" in line
    assert "prometheus@/pgbouncer?host=/var/run/postgresql&port=6433" in command(
        "pgbouncer", exporters_pgbouncer_port=6433
    )


@pytest.mark.parametrize("variables", [{"exporters_state": "absent"}, {"exporters_names": []}])
def test_an_unmonitored_host_keeps_nothing(variables: dict[str, Any]) -> None:
    left = plan(**variables)
    assert (left["directories"], left["files"]) == ([], [])
    assert "/etc/holdfast/exporters" in left["absent"]
    placed = {item["path"] for item in plan()["files"]}
    assert placed <= {*left["absent"], "/etc/holdfast/exporters/web.yml", "/etc/holdfast/exporters/blackbox.yml"}
    assert {item["name"]: item["state"] for item in left["units"]} == {
        f"holdfast-{name}-exporter.service": "stopped" for name in EXPORTERS
    }


def test_an_exporter_that_is_not_wanted_any_more_goes() -> None:
    some = plan(exporters_names=["node"])
    assert "/etc/systemd/system/multi-user.target.wants/holdfast-blackbox-exporter.service" in some["absent"]
    assert "/etc/holdfast/exporters" not in some["absent"]
    assert "/etc/holdfast/exporters/blackbox.yml" not in {item["path"] for item in some["files"]}
