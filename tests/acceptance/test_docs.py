# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell blocks of README.md and docs/*.md that need a cluster, as they are written there."""

from __future__ import annotations

import subprocess

import pytest
from lab_cluster import BIN, ENVIRONMENT, INVENTORY, ROOT, VIP, on_node

from tests.unit.docs.shell_blocks import PAGES, TABLE, blocks, commands

ON_DATABASE_HOST = [
    block for page in PAGES for block in blocks(page) if "etcdctl" in block and "127.0.0.1:12379" not in block
]
READERS_VIP = "192.0.2.100"


@pytest.mark.parametrize("text", TABLE["lab"])
def test_on_the_controller(text: str) -> None:
    line = text.replace("inventory/mine", str(INVENTORY))
    environment = {**ENVIRONMENT, "PATH": f"{BIN}:{ENVIRONMENT['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize("text", TABLE["client"])
def test_on_a_client(text: str) -> None:
    query = f"{text.replace(READERS_VIP, VIP)} -tAc 'select not pg_is_in_recovery()'"
    assert on_node("client1", "bash", "-ec", query).strip() == "t"


def test_on_a_database_host() -> None:
    told = {command.text for page in PAGES for command in commands(page)}
    assert set(TABLE["database_host"]) <= told
    for block in ON_DATABASE_HOST:
        assert on_node("db1", "bash", "-ec", block)
