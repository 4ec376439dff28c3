# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role installs the whole package: without one of its files Patroni starts without any amendment."""

from __future__ import annotations

import yaml

from tests.unit.roles.render import ROLES


def test_every_file_is_installed() -> None:
    files = ROLES / "patroni/files"
    there = {path.relative_to(files).as_posix() for path in (files / "patroni_start").glob("*.py")}
    [task] = [
        task["holdfast.ha.component"]
        for task in yaml.safe_load((ROLES / "patroni/tasks/files.yml").read_text(encoding="utf-8"))
        if "holdfast.ha.component" in task
    ]
    assert there == {one["source"] for one in task["files"] if one.get("source", "").startswith("patroni_start/")}
