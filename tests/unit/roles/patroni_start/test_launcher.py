# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed program finds its package beside it, and starts Patroni unchanged without it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.timings import RECORD

FILES = Path(__file__).resolve().parents[4] / "roles/patroni/files"
MAIN = """
import os, sys
from patroni import ha

def main():
    print(ha.STARTED, sys.argv[1:], sys.flags.isolated)
    print(os.getpid())
"""
TABLE = """
from patroni_start.amendment import Amendment
AMENDMENTS = [Amendment("says so", ("patroni.ha:STARTED",), lambda _said: {"patroni.ha:STARTED": "amended"})]
"""


@pytest.fixture(name="library")
def installed(tmp_path):
    """The launcher and its package as the role installs them, with a table of one amendment and a Patroni 4.0.7."""
    library = tmp_path / "holdfast"
    shutil.copytree(FILES / "patroni_start", library / "patroni_start", ignore=shutil.ignore_patterns("__pycache__"))
    (library / "patroni_start" / "table.py").write_text(TABLE)
    patroni = tmp_path / "site" / "patroni"
    patroni.mkdir(parents=True)
    files = {"__init__": "", "__main__": MAIN, "version": '__version__ = "4.0.7"', "api": "", "ha": "STARTED = 'plain'"}
    for name, text in files.items():
        (patroni / f"{name}.py").write_text(text)
    program = (FILES / "start_patroni.py").read_text()
    found = f"import sys\nsys.path.append({str(patroni.parent)!r})\n"
    program = program.replace("import logging\n", f"import logging\n{found}", 1)
    program = program.replace(RECORD, str(tmp_path / "record"))
    (library / "patroni").write_text(f"#!{sys.executable} -I\n{program}")
    (library / "patroni").chmod(0o755)
    return library


def start(library: Path) -> subprocess.CompletedProcess[str]:
    planted = library.parent / "planted"
    planted.mkdir()
    (planted / "patroni_start.py").write_text("raise SystemExit('planted')")
    return subprocess.run(
        [library / "patroni", "config.yml"],
        cwd=planted,
        env={"PYTHONPATH": str(planted)},
        check=True,
        capture_output=True,
        text=True,
    )


def test_patroni_is_started_with_its_amendments(library):
    *said, process = start(library).stdout.splitlines()
    assert said == ["Patroni 4.0.7, amended: says so", "amended ['config.yml'] 1"]
    assert (library.parent / "record").read_text().strip() == process


@pytest.mark.parametrize("plant", [None, "symlink_to", "write_text"])
def test_another_version_is_started_unchanged_and_leaves_no_record(library, plant):
    kept = library.parent / "kept"
    kept.write_text("kept")
    if plant:
        getattr(library.parent / "record", plant)(str(kept))
    (library.parent / "site" / "patroni" / "version.py").write_text('__version__ = "4.2.0"')
    done = start(library)
    assert done.stdout.splitlines()[0] == "plain ['config.yml'] 1"
    assert "Patroni 4.2.0 is started unchanged" in done.stderr
    assert not (library.parent / "record").exists()
    assert kept.read_text() == "kept"


def test_a_record_that_a_link_would_lead_elsewhere_is_made_anew(library):
    kept = library.parent / "kept"
    kept.write_text("kept")
    (library.parent / "record").symlink_to(kept)
    *_said, process = start(library).stdout.splitlines()
    assert (library.parent / "record").read_text().strip() == process
    assert kept.read_text() == "kept"


def test_patroni_is_started_where_nothing_can_be_recorded(library):
    (library.parent / "record").mkdir()
    assert start(library).stdout.splitlines()[1] == "amended ['config.yml'] 1"


def test_the_role_installs_every_module_of_the_package():
    tasks = (FILES.parent / "tasks" / "files.yml").read_text()
    assert set(re.findall(r"source: (patroni_start/\w+\.py)", tasks)) == {
        f"patroni_start/{path.name}" for path in (FILES / "patroni_start").glob("*.py")
    }


@pytest.mark.parametrize("lost", ["table.py", "amendment.py", "."], ids=["table", "engine", "package"])
def test_without_its_package_patroni_is_started_unchanged(library, lost):
    path = library / "patroni_start" / lost
    shutil.rmtree(path) if lost == "." else path.unlink()
    done = start(library)
    assert done.stdout.splitlines()[0] == "plain ['config.yml'] 1"
    assert "Patroni is started unchanged: the amendments can't be read" in done.stderr
