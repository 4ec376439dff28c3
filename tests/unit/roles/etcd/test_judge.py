# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real etcd says of settings before they are replaced."""

from __future__ import annotations

import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.etcd import find_etcd
from tests.unit.roles.render import judge_arguments, render

ROLE = Path(__file__).resolve().parents[4] / "roles" / "etcd"
SCRIPT = runpy.run_path(str(ROLE / "files" / "judge.py"))
COMPONENT = "holdfast.ha.component"
INPUTS: dict[str, Any] = {
    "etcd_name": "db1",
    "etcd_address": "192.0.2.11",
    "etcd_members": [{"name": "db1", "address": "192.0.2.11"}],
    "etcd_member_result": {"peer_name_required": False, "found": {"empty": False}},
    "etcd__peer_settings": {},
}


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Judge what the role makes of its variables; as the present user."""
    program = find_etcd()
    if not program:
        pytest.skip("no etcd here")
    names = SCRIPT["run"].__globals__
    scratch, run = names["tempfile"].TemporaryDirectory, subprocess.run
    monkeypatch.setattr(names["tempfile"], "TemporaryDirectory", lambda **_options: scratch(dir=tmp_path))
    monkeypatch.setattr(names["shutil"], "chown", lambda *_arguments: None)
    monkeypatch.setattr(names["subprocess"], "run", lambda _argv, **options: run([program], **options))

    def judge(**variables: Any) -> str:
        lines = render("etcd", "etcd.env.j2", {**INPUTS, **variables}).splitlines()
        # The certificates are not here.
        text = "\n".join(
            line.replace("https://", "http://") for line in lines if "_FILE=" not in line or "CONFIG" in line
        )
        reads = SCRIPT["settings_of"](text)
        return str(SCRIPT["judge"](reads, lambda settings: SCRIPT["run"](settings, "ssl-cert")))

    return judge


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"etcd_settings": {"ETCD_SNAPSHOT_COUNT": "abc"}}, "ETCD_SNAPSHOT_COUNT=abc: "),
        ({"etcd_settings": {"ETCD_HEARTBEAT_INTERVAL": "1s"}}, "ETCD_HEARTBEAT_INTERVAL=1s: "),
        ({"etcd_election_timeout": 200}, "ETCD_ELECTION_TIMEOUT=200: --election-timeout[200ms] should be"),
        ({"etcd_auto_compaction_retention": "1 hour"}, "ETCD_AUTO_COMPACTION_RETENTION=1 hour: "),
        ({"etcd_auto_compaction_mode": "hourly"}, "ETCD_AUTO_COMPACTION_MODE=hourly: "),
        ({"etcd_quota_backend_bytes": "8GiB"}, "ETCD_QUOTA_BACKEND_BYTES=8GiB: "),
        ({"etcd_log_level": "loud"}, "ETCD_LOG_LEVEL=loud: "),
        ({"etcd_settings": {"ETCD_SNAPSHOT_CONT": 5}}, "ETCD_SNAPSHOT_CONT=5: this etcd does not know"),
        ({"etcd_settings": {"ETCD_CIPHER_SUITES": "strong"}}, "ETCD_CIPHER_SUITES=strong: "),
        ({"etcd_settings": {"ETCD_LISTEN_PEER_URLS": "http://db1:2380"}}, "ETCD_LISTEN_PEER_URLS=http://db1:2380: "),
        (
            {"etcd_settings": {"ETCD_LISTEN_CLIENT_URLS": "http://[::]:70000"}},
            "ETCD_LISTEN_CLIENT_URLS=http://[::]:70000: ",
        ),
        ({"etcd_settings": {"ETCD_CONFIG_FILE": "/etc/etcd.yml"}}, "ETCD_CONFIG_FILE: with it"),
    ],
)
def test_a_setting_that_etcd_does_not_take_is_refused_by_name(judged, variables, named):
    refused = judged(**variables)
    assert refused.startswith(named)
    assert "Fix: " in refused


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"ETCD_LOG_LEVEL": "fatal"},
        {"ETCD_LISTEN_CLIENT_URLS": "http://0.0.0.0:2379,unix:///run/etcd.sock,http://localhost:2379"},
        {"ETCD_WAL_DIR": "/srv/wal"},
        {"ETCD_LOG_OUTPUTS": "/var/log/etcd.log", "ETCD_UNSUPPORTED_ARCH": "arm64"},
        {"ETCD_LISTEN_METRICS_URLS": "http://[::1]:2381", "ETCD_METRICS": "'extensive'"},
    ],
)
def test_all_else_is_taken_and_nothing_is_left(judged, settings, tmp_path):
    assert judged(etcd_settings=settings) == ""
    assert list(tmp_path.iterdir()) == []


def test_a_quote_without_its_end_would_take_the_next_line_along():
    with pytest.raises(ValueError, match="closing quotation"):
        SCRIPT["settings_of"]('ETCD_NAME="db1\nETCD_PRE_VOTE=true\n')


def test_the_staged_file_is_judged_before_it_is_put_in_place():
    (configure,) = [task for task in yaml.safe_load((ROLE / "tasks/configure.yml").read_text()) if COMPONENT in task]
    (file,) = [file for file in configure[COMPONENT]["files"] if file.get("template") == "etcd.env.j2"]
    assert file["validate"] == "{{ etcd__judge }}"
    assert judge_arguments("etcd", etcd_tls_group="ssl-cert") == ["%s", "ssl-cert"]
