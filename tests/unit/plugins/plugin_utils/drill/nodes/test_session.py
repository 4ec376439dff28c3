# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import BOOTSTRAP, command, settle, sources
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Node

SUDO = """#!/bin/sh
[ "$1" = -n ] || { read -r password && echo "$password" >&2; shift 2; }
shift 2
unset SSH_CONNECTION
exec "$@"
"""
NODE = Node("db1", "192.0.2.11", user="ann", interpreter="/bin/echo")


@pytest.mark.parametrize(("password", "told"), [("", ""), ("secret", "secret\n")])
def test_an_agent_behind_sudo_knows_where_its_session_comes_from(tmp_path, password: str, told: str) -> None:
    """sudo hands no variables over; the packet filter has to spare the session."""
    (tmp_path / "sudo").write_text(SUDO)
    (tmp_path / "sudo").chmod(0o755)
    (tmp_path / "echo").write_text('#!/bin/sh\necho "$SSH_CONNECTION"\n')
    (tmp_path / "echo").chmod(0o755)
    node = replace(NODE, become=True, become_password=password, interpreter=str(tmp_path / "echo"))
    connection = "192.0.2.1 40000 192.0.2.11 22"
    done = subprocess.run(
        ["/bin/sh", "-c", command(node)],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "SSH_CONNECTION": connection},
        input=told,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (f"{connection}\n", told)


def test_an_agent_of_root_needs_no_sudo() -> None:
    assert "sudo" not in command(NODE)


def test_the_agent_has_every_module_that_it_imports() -> None:
    """Its host has no collection: what it lacks would be missed in the first call of a drill."""
    stand_in = ("stand_in", "def main(configuration):\n    print(configuration)")
    given = json.dumps({"modules": [*sources(), stand_in], "configuration": "started"})
    argv = [sys.executable, "-I", "-S", "-c", BOOTSTRAP]
    done = subprocess.run(argv, input=f"{len(given)}\n{given}", capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("started\n", "")


def test_an_answer_to_a_closed_session_changes_nothing() -> None:
    future = Future[Any]()
    settle(future, error=ConnectionError("closed"))
    settle(future, "late")
    assert isinstance(future.exception(0), ConnectionError)
