# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan that docs/updates.md shows is one that update.yml prints."""

from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.render import plan_lines

from tests.unit.docs.shell_blocks import ROOT, unlabelled
from tests.unit.plugins.plugin_utils.rolling.clusters import HAPROXY, LAB, needs, planned, reports

SERVER = {"name": "postgresql-17", "installed": "17.6-0+deb13u1", "candidate": "17.7-0+deb13u1", "security": True}
WORK = {"db1": [SERVER], "db2": [SERVER], "db3": [SERVER], "lb1": [HAPROXY]}


def test_the_plan_is_shown_as_it_is_printed():
    found = reports(LAB, primary="db3", etcd_leader="db1", holder="lb1")
    for report in found.values():
        report["ha"]["pooler"] = {"port": 6432}
    surveys = {host: needs(report["ha"], WORK.get(host, [])) for host, report in found.items()}
    for unit in surveys["db1"]["units"]:
        unit["reasons"] = ["runs /usr/bin/etcd, which was replaced"] if unit["unit"] == "etcd.service" else []
    kernels = "/run/reboot-required is there, for linux-image-amd64"
    surveys["db2"]["reboot"] = {"required": True, "reasons": [kernels]}
    printed = "\n".join(line for line, _color in plan_lines(planned(found, surveys)))
    assert unlabelled(ROOT / "docs/updates.md")[0] == f"{printed}\n"
