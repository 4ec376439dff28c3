# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every systemd service of the roles, rendered, and how exposed systemd-analyze finds it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.backup_jobs import plan
from ansible_collections.holdfast.ha.plugins.plugin_utils.sandbox import SANDBOX
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import EXPORTERS

from tests.unit.plugins.plugin_utils.test_backup_jobs import SETTINGS
from tests.unit.plugins.plugin_utils.topology.test_job_rules import COMMAND, FILES, SNAPSHOT
from tests.unit.roles.render import evaluate, render
from tests.unit.roles.test_pgbackrest import inputs

CLONE = {"clone_stanza": "lab", "clone_directory": "/srv/clone", "clone_port": "5433"}
VERIFY = {"restore_verify_stanza": "lab"}
PATRONI = {"patroni_data_directory": "/var/lib/postgresql/17/lab"}


@dataclass(frozen=True)
class Service:
    """A template with its variables. ``package``: what the package's own unit says, for a drop-in."""

    role: str
    template: str
    variables: Mapping[str, Any]
    package: str | None = None

    @property
    def text(self) -> str:
        """The whole unit: a drop-in after the package's own."""
        own = render(self.role, self.template, self.variables)
        return own if self.package is None else f"[Service]\nExecStart=/bin/true\n{self.package}\n{own}"

    @property
    def bare(self) -> str:
        """The unit without its sandbox."""
        return re.sub(rf"^({'|'.join(SANDBOX)})=.*\n", "", f"{self.text}\n", flags=re.MULTILINE)


def exporters() -> dict[str, Service]:
    table = evaluate("exporters", "{{ exporters__table }}", {})
    assert [item["name"] for item in table] == [*EXPORTERS]
    return {
        item["unit"].removesuffix(".service"): Service(
            "exporters", "exporter.service.j2", {"exporters_address": "192.0.2.11", "exporter": item}
        )
        for item in table
    }


def jobs() -> dict[str, Service]:
    named = {"command (postgres)": COMMAND | {"user": "postgres"}, "command (root)": COMMAND | {"user": "root"}}
    named |= {"etcd_snapshot": SNAPSHOT, "files (root)": FILES}
    files = {kind: plan([job], SETTINGS)["files"][1] for kind, job in named.items()}
    return {
        f"holdfast-job-NAME, {kind}": Service("backup_jobs", file["template"], file["template_vars"])
        for kind, file in files.items()
    }


SERVICES: dict[str, Service] = {
    "etcd": Service("etcd", "holdfast.conf.j2", {}, "User=etcd"),
    "haproxy": Service("haproxy", "drop-in.conf.j2", {}, ""),
    "holdfast-canary": Service("pgbackrest", "holdfast-canary.service.j2", inputs("db1")),
    "holdfast-clone-PORT": Service("clone", "clone.service.j2", CLONE),
    **jobs(),
    "holdfast-lease-watcher": Service("lease_watcher", "service.j2", {"lease_watcher_scope": "lab"}),
    "holdfast-metrics": Service("metrics", "holdfast-metrics.service.j2", {}),
    **exporters(),
    "holdfast-pgbouncer": Service("pgbouncer", "service.j2", {}),
    "holdfast-restore-verify": Service("restore_verify", "holdfast-restore-verify.service.j2", VERIFY),
    "holdfast-firewall": Service("firewall", "holdfast-firewall.service.j2", {}),
    "keepalived": Service("keepalived", "drop-in.conf.j2", {}, ""),
    "keepalived-filter": Service("keepalived", "filter.service.j2", {}),
    "patroni": Service("patroni", "drop-in.conf.j2", PATRONI, "User=postgres"),
    "pgbackrest": Service("pgbackrest", "pgbackrest.service.j2", inputs("backup1")),
    "pgbackrest-backup@": Service("pgbackrest", "pgbackrest-backup@.service.j2", inputs("backup1")),
    "prometheus": Service("prometheus", "drop-in.conf.j2", {}, ""),
    "prometheus-alertmanager": Service("alertmanager", "drop-in.conf.j2", {}, ""),
}
"""By unit, with what a package's own unit says where it matters."""


def exposure(unit: str, root: Path) -> float:
    """What systemd-analyze calls the exposure, from 0 to 10, of a unit's text."""
    name = "holdfast-judged.service"
    directory = root / "etc" / "systemd" / "system"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_text(unit)
    command = ["systemd-analyze", "security", "--offline=true", f"--root={root}", "--no-pager", name]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found, done.stderr
    return float(found[1])
