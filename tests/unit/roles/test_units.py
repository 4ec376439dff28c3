# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every path of a user's that reaches a unit or a script is one word there, whatever characters it has."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.roles.render import ROLES, render
from tests.unit.roles.test_pgbackrest import inputs

ODD = '/srv/pg verify/50% $HOME "it\'s" \\x;#'
PLAIN = "/srv/plain"
VERIFY = {"restore_verify_stanza": "lab", "restore_verify_directory": ODD, "restore_verify_textfile": f"{ODD}/x.prom"}
JOB = {
    "name": "dump",
    "kind": "files",
    "user": "root",
    "group": "",
    "document": "/etc/holdfast/jobs/dump.json",
    "lock_file": "",
    "writable": [ODD],
    "scratch": ODD,
    "sandbox": {},
    "schedule": "daily",
    **dict.fromkeys(("nice", "cpu_weight"), 10),
    **dict.fromkeys(("retry_delay", "timeout"), "5min"),
    "io_class": "idle",
    "memory_max": "",
}
UNITS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "verification": ("restore_verify", "holdfast-restore-verify.service.j2", VERIFY),
    "job": ("backup_jobs", "job.service.j2", {"job": JOB, "job_record_textfile": ODD}),
    "backup": ("pgbackrest", "pgbackrest-backup@.service.j2", inputs("backup1", job_record_textfile=ODD)),
    "patroni": ("patroni", "drop-in.conf.j2", {"patroni_data_directory": ODD}),
    "alertmanager": ("alertmanager", "drop-in.conf.j2", {"alertmanager_data_directory": ODD}),
    "prometheus": ("prometheus", "drop-in.conf.j2", {"prometheus_data_directory": ODD}),
    "canary": ("pgbackrest", "holdfast-canary.service.j2", inputs("db1", pgbackrest_socket_directory=ODD)),
}
# Nothing that a user names by a path gets into these.
WITHOUT_PATHS = {
    "etcd/holdfast.conf.j2": "paths of vars/main.yml",
    "clone/clone.service.j2": "the directory has letters, digits and ._+- only: module_utils/clone.py",
    "firewall/holdfast-firewall.service.j2": "paths of vars/main.yml",
    "haproxy/drop-in.conf.j2": "paths of vars/main.yml",
    "keepalived/filter.service.j2": "fixed paths",
    "lease_watcher/service.j2": "paths of vars/main.yml",
    "metrics/holdfast-metrics.service.j2": "paths of vars/main.yml",
    "pgbackrest/pgbackrest.service.j2": "paths of vars/main.yml",
    "exporters/exporter.service.j2": "its paths are test_exporters.py's",
    "pgbouncer/service.j2": "paths of vars/main.yml",
}


def words(setting: str, *, command: bool) -> list[str]:
    """Return the words of a setting as systemd reads them."""
    text = setting.replace("%%", "\0").replace("%n", "unit").replace("%i", "full")
    assert "%" not in text, "a specifier that was not meant"
    text = text.replace("$$", "\1") if command else text
    assert not (command and re.search(r"\$(?!MAINPID)", text)), "a variable that was not meant"
    return [item.replace("\0", "%").replace("\1", "$") for item in shlex.split(text)]


def settings(unit: str) -> list[tuple[str, list[str]]]:
    """Return names and words of the settings that take paths."""
    lines = [
        line.partition("=")
        for line in unit.splitlines()
        if re.match(r"(Exec\w+|ReadWritePaths|RequiresMounts\w+)=", line)
    ]
    return [(name, words(text, command=name.startswith("Exec"))) for name, _equals, text in lines]


@pytest.mark.parametrize("name", UNITS)
def test_a_path_is_one_word(name: str) -> None:
    odd, plain = (settings(render(*_with(UNITS[name], path))) for path in (ODD, PLAIN))
    assert [(key, [text.replace(ODD, PLAIN) for text in found]) for key, found in odd] == plain
    assert any(ODD in text for _key, found in odd for text in found)


def _with(unit: tuple[str, str, dict[str, Any]], path: str) -> tuple[str, str, Mapping[str, Any]]:
    def replaced(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        return value.replace(ODD, path) if isinstance(value, str) else value

    return unit[0], unit[1], replaced(unit[2])


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_understands_it(name: str, tmp_path: Path) -> None:
    unit = tmp_path / f"holdfast-test-{name}.service"
    unit.write_text(render(*UNITS[name]))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    told = [line for line in done.stderr.splitlines() if "holdfast-test" in line]
    assert [line for line in told if not re.search(r"is not executable|Command 'man ", line)] == []


def test_no_unit_is_left_out() -> None:
    executing = re.compile(r"^Exec\w+=", re.MULTILINE)
    templates = [path for path in ROLES.glob("*/templates/*") if executing.search(path.read_text())]
    known = {f"{role}/{template}" for role, template, _variables in UNITS.values()} | set(WITHOUT_PATHS)
    assert {f"{path.parts[-3]}/{path.name}" for path in templates} == known


def test_a_script_s_paths_are_quoted() -> None:
    for path in (*ROLES.glob("*/templates/*.sh.j2"), *ROLES.glob("*/files/*.sh")):
        for found in re.findall(r"\{\{ *(.*?) *\}\}", path.read_text()):
            assert found.endswith("| quote") or found == "patroni__config", f"{path}: {found}"
