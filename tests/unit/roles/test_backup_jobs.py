# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles that schedule jobs lay down."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.backup_jobs import plan
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.job_rules import KEYS

from tests.unit.plugins.plugin_utils.test_backup_jobs import SETTINGS
from tests.unit.plugins.plugin_utils.topology.test_job_rules import COMMAND, FILES, SNAPSHOT
from tests.unit.roles.render import render
from tests.unit.roles.test_pgbackrest import inputs
from tests.unit.roles.test_wiring import evaluate

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = "ansible_collections.holdfast.ha.plugins.module_utils"
RECORDER = f"/usr/bin/env PYTHONPATH=/usr/local/lib/holdfast/python /usr/bin/python3 -B -m {PACKAGE}.job_record"
MODULES = ROOT / "plugins" / "module_utils"


def rendered(job, suffix, **variables):
    (file,) = [file for file in plan([job], SETTINGS)["files"] if file["path"].endswith(suffix)]
    return render("backup_jobs", file["template"], {**file["template_vars"], **variables})


@pytest.mark.parametrize("job", [COMMAND, FILES, SNAPSHOT])
def test_systemd_takes_the_units(tmp_path, job):
    if not shutil.which("systemd-analyze"):
        pytest.skip("needs systemd-analyze")
    for suffix in (".service", ".timer"):
        text = rendered({**job, "lock": "disk", "user": "daemon", "memory_max": "1G"}, suffix)
        (tmp_path / f"holdfast-job-x{suffix}").write_text(
            re.sub("^SupplementaryGroups=.*\n", "", text, flags=re.MULTILINE)
        )
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / "holdfast-job-x.timer")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "holdfast-job-x" in line]
    assert (done.returncode, complaints) == (0, [])


def test_a_service_is_held_to_what_it_may():
    service = rendered({**FILES, "memory_max": "1G"}, ".service")
    assert 'ReadWritePaths="/srv/restic"\n' in service
    assert {"ProtectSystem=strict", "PrivateDevices=true", "MemoryMax=1G", "TimeoutStartSec=6h"} <= set(
        service.splitlines()
    )
    loose = rendered(COMMAND, ".service").splitlines()
    assert "ProtectSystem=full" in loose
    assert not [
        line for line in loose if line.startswith(("ReadWritePaths", "MemoryMax", "NoNewPrivileges", "PrivateDevices"))
    ]


def test_a_recorder_s_failure_is_not_the_job_s():
    service = rendered(COMMAND, ".service", job_record_textfile="/var/lib/metrics")
    assert f'ExecStopPost=-+{RECORDER} end %n "--textfile=/var/lib/metrics" --skip=70\n' in service


@pytest.mark.parametrize(
    ("role", "template", "variables"),
    [
        ("pgbackrest", "pgbackrest-backup@.service.j2", inputs("backup1")),
        ("restore_verify", "holdfast-restore-verify.service.j2", {"restore_verify_stanza": "lab"}),
    ],
)
def test_the_other_jobs_are_recorded_alike(role, template, variables):
    line = f"ExecStopPost=-+{RECORDER} end %n"
    assert line in render(role, template, variables).splitlines()
    textfile = {"job_record_textfile": "/var/lib/metrics"}
    assert f'{line} "--textfile=/var/lib/metrics"' in render(role, template, variables | textfile).splitlines()


def test_a_missed_run_is_made_up_for_unless_it_must_not():
    assert "Persistent=true\n" in rendered(COMMAND, ".timer")
    assert "Persistent=false\n" in rendered({**COMMAND, "catch_up": False}, ".timer")


def test_the_role_lays_down_all_that_the_program_imports():
    variables = yaml.safe_load((ROOT / "roles" / "backup_jobs" / "vars" / "main.yml").read_text())
    there = {Path(item["path"]).stem for item in variables["backup_jobs__code"]}
    imported = set()
    for name in there:
        text = (MODULES / f"{name}.py").read_text()
        imported |= set(
            re.findall(r"from ansible_collections\.holdfast\.ha\.plugins\.module_utils\.(\w+) import", text)
        )
        for names in re.findall(r"from ansible_collections\.holdfast\.ha\.plugins\.module_utils import (.*)", text):
            imported |= {word.strip() for word in names.split(",")}
        assert "import ansible\n" not in text
    assert imported - {"safe_path"} | {"backup_job"} == there  # safe_path comes with the recorder


def test_the_recorder_comes_with_all_that_it_imports():
    variables = yaml.safe_load((ROOT / "roles" / "job_record" / "vars" / "main.yml").read_text())
    assert {Path(item["path"]).stem for item in variables["job_record__files"]} == {"job_record", "safe_path"}
    imported = re.findall(r"ansible_collections\S+ import (\w+)", (MODULES / "job_record.py").read_text())
    assert imported == ["safe_path"]
    assert "ansible" not in (MODULES / "safe_path.py").read_text().lower().replace("without ansible", "").replace(
        "disable=ansible-bad-function", ""
    )


def test_the_role_takes_what_the_plan_knows():
    specs = yaml.safe_load((ROOT / "roles" / "backup_jobs" / "meta" / "argument_specs.yml").read_text())
    assert set(specs["argument_specs"]["main"]["options"]["backup_jobs"]["options"]) == set(KEYS)


def test_what_is_declared_is_kept_when_the_rest_is_purged(tmp_path):
    variables = {"backup_jobs": [COMMAND], "job_record_textfile": "/var/lib/metrics"}
    purges = evaluate(tmp_path, "backup_jobs", "backup_jobs__purge", variables)
    kept = [path for item in purges for path in item.get("keep", [])]
    assert kept == [
        "/etc/systemd/system/timers.target.wants/holdfast-job-dump.timer",
        "/var/lib/metrics/holdfast-job-dump.prom",
    ]
    assert [item["keep_of"] for item in purges if "keep_of" in item] == [
        {"/var/cache/holdfast-job-dump": "root"},
        {"/var/lib/holdfast-job-dump": "root"},
    ]


def test_turning_the_verification_off_leaves_the_others_code(tmp_path):
    absent = evaluate(
        tmp_path, "restore_verify", "restore_verify__absent", {"role_path": str(ROOT / "roles/restore_verify")}
    )
    shared = "/usr/local/lib/holdfast/python"
    assert shared not in absent
    assert f"{shared}/ansible_collections/holdfast/ha/plugins/module_utils/restore_verify.py" in absent
    assert not [path for path in absent if path.endswith(("job_record.py", "safe_path.py", "etcd_api.py"))]
