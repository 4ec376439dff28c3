# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""monitoring_files.yml as a user runs it: files that promtool accepts, once, and a refusal where there is no use."""

from __future__ import annotations

import json
import subprocess

import yaml

from scripts.promtool import PROMTOOL
from tests.unit.playbooks.test_targets import ROOT, run

BOOK = ROOT / "playbooks" / "monitoring_files.yml"
RULES = {"availability", "redundancy", "durability", "capacity", "latency", "hygiene", "watch", "limits"}


def write_inventory(folder, external):
    """Write an inventory with a cluster of two hosts, and return its path."""
    targets = [
        {"job": "node", "cluster": "a", "host": host, "address": address, "port": 9100}
        for host, address in (("db1", "192.0.2.1"), ("db2", "2001:db8::2"))
    ]
    monitoring = {"external": external, "targets": targets, "probes": []}
    hosts = {name: {"ha": {"cluster": "a", "name": name, "monitoring": monitoring}} for name in ("db1", "db2")}
    path = folder / "hosts.yml"
    path.write_text(json.dumps({"all": {"children": {"holdfast": {"hosts": hosts}}}}))
    return path


def test_files_for_a_prometheus_of_the_user_s(tmp_path):
    folder = tmp_path / "out"
    arguments = (write_inventory(tmp_path, True), BOOK, "-e", f"monitoring_directory={folder}")
    code, output = run(*arguments)
    assert code == 0, output
    scrape = yaml.safe_load((folder / "scrape.yml").read_text())["scrape_configs"]
    found = [target for job in scrape for config in job["static_configs"] for target in config["targets"]]
    assert found == ["192.0.2.1:9100", "[2001:db8::2]:9100"]
    assert {path.stem for path in (folder / "rules").iterdir()} == RULES
    assert yaml.safe_load((folder / "inhibit.yml").read_text())["inhibit_rules"]
    assert "changed=0" in run(*arguments)[1]
    if program := PROMTOOL.find():
        command = [program, "check", "config", "--syntax-only", str(folder / "scrape.yml")]
        assert subprocess.run(command, check=False).returncode == 0


def test_an_inventory_without_one_is_refused(tmp_path):
    folder = tmp_path / "out"
    code, output = run(write_inventory(tmp_path, False), BOOK, "-e", f"monitoring_directory={folder}")
    assert code != 0
    assert "no cluster has monitoring.external" in output
    assert not folder.exists()
