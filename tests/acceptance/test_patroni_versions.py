# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which amendments apply to released versions of Patroni. Needs pip and a package index, no lab."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from patroni_start.table import AMENDMENTS

ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "roles" / "patroni" / "files"
DRIVER = "psycopg2-binary"
AMEND = "import sys; sys.path[:0] = sys.argv[1:]; from start_patroni import amend; print(amend())"
LEADER_KEY = "a returning leader does not overwrite its successor's leader key"
CANDIDATE = "a candidate is promoted only when it is sure to have every commit"
SYNCHRONOUS = "a candidate that is not synchronous any more gives the leader key back"
NARROWING = "with quorum commit, /sync is narrowed only to standbys that have every commit"
BEFORE_4 = {CANDIDATE, NARROWING}
FROM_4 = {LEADER_KEY, SYNCHRONOUS}
NARROW = ROOT / "tests" / "acceptance" / "narrow_quorum.py"


def install(requirement: str) -> Path:
    """Have a Patroni below .cache and return its directory."""
    directory = ROOT / ".cache" / "patroni" / requirement
    if not (directory / "patroni").is_dir():
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, f"--target={directory}", f"patroni[etcd3]{requirement}", DRIVER], check=True)
    return directory


def amend(requirement: str) -> tuple[list[str], str]:
    """Amend an installed Patroni; return the names of the amendments that are applied, and what it logs."""
    argv = [sys.executable, "-I", "-c", AMEND, str(install(requirement)), str(FILES)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    *applied, is_amended = done.stdout.splitlines()
    assert is_amended == str(bool(applied))
    return [line.partition("amended: ")[2] for line in applied], done.stderr


@pytest.mark.parametrize(
    ("requirement", "left_out"),
    [
        ("==3.0.2", BEFORE_4),
        ("==3.0.3", {LEADER_KEY} | BEFORE_4),
        ("==3.3.11", {LEADER_KEY} | BEFORE_4),
        ("==4.0.7", FROM_4),
        ("==4.0.11", FROM_4),
        ("~=4.1.0", FROM_4),
    ],
)
def test_amendments_apply(requirement: str, left_out: set[str]) -> None:
    applied, logged = amend(requirement)
    assert set(applied) == {amendment.name for amendment in AMENDMENTS} - left_out
    assert not logged


def test_an_unknown_version_is_started_unchanged() -> None:
    applied, logged = amend("==2.1.7")
    assert not applied
    assert "Patroni 2.1.7 is started unchanged" in logged


@pytest.mark.parametrize("requirement", ["==4.0.7", "==4.0.11", "~=4.1.0"])
def test_a_quorum_ends_where_patroni_would_end_it(requirement: str) -> None:
    """Whatever standbys go and return, and however a cycle is interrupted: the wait for the rest is one, and ends."""
    argv = [sys.executable, "-I", str(NARROW), str(install(requirement)), str(FILES)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    states, unknown, others = (int(number) for number in done.stdout.split())
    assert states > 50
    assert (unknown, others) == (0, 0)
