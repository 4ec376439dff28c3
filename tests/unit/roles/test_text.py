# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A boolean or a number that comes as a text, from -e or an INI inventory, means what it means in YAML."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.parent.name for path in (ROOT / "roles").glob("*/tasks"))
CASES = yaml.safe_load(Path(__file__).with_name("text_cases.yml").read_text())


def test_every_role_has_a_case():
    assert sorted(CASES) == ROLES


@pytest.mark.parametrize("role", ROLES)
def test_texts_mean_what_they_say(role):
    command = [sys.executable, "-m", "tests.unit.roles.text_forms", role]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
