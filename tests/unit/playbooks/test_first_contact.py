# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that SSH does not reach: preflight tells each once, with what to do."""

from __future__ import annotations

import json

import pytest

from tests.unit.playbooks.test_inventory_layouts import ADDRESSES, CONTENTS, ROOT, make_secrets, run


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Host key verification failed.", "add it to known_hosts"),
        ("root@198.51.100.11: Permission denied (publickey).", "check ansible_user"),
        ("ssh: connect to host 198.51.100.11 port 22: No route to host", "that the host is up"),
    ],
)
def test_preflight_tells_a_host_that_ssh_does_not_reach_once(tmp_path, said, expected):
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 255\n")
    ssh.chmod(0o755)
    folder = tmp_path / "inventory"
    (folder / "group_vars/all").mkdir(parents=True)
    (folder / "hosts.yml").write_text(CONTENTS["hosts"])
    (folder / "topology.ha.yml").write_text(CONTENTS["topology"])
    (folder / "group_vars/all/ssh.yml").write_text(json.dumps({"ansible_ssh_executable": str(ssh)}))
    assert make_secrets(["-i", folder])[0] == 0
    code, shown, told = run("playbook", "-i", folder, ROOT / "playbooks/preflight.yml")
    output = shown + told
    assert code == 2, output
    assert output.count(said) == 1, "once, for all hosts that say the same"
    assert f"error  {','.join(ADDRESSES)}  connection  " in shown
    assert expected in shown
    assert "UNREACHABLE" not in output
