# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the files of holdfast.ha.component get their content, as a role's task declares it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.holdfast.ha.plugins.action.component import planned
from ansible_collections.holdfast.ha.plugins.plugin_utils import systemd

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="gives files to root")

COLLECTIONS = next(path for path in Path(systemd.__file__).parents if path.name == "ansible_collections").parent
TEXT = "#!/bin/sh\n# {{ not a template }} {% nor this %} \\n é\n\n  trailing  \n\n"


def run(folder: Path, *options: str, **file: Any) -> tuple[int, str]:
    """Have a role's task place one file; return the exit code and what was printed."""
    role = folder / "roles" / "one"
    for name, text in {"files/script.sh": TEXT, "templates/script.sh.j2": "{{ word }}\n"}.items():
        (role / name).parent.mkdir(parents=True, exist_ok=True)
        (role / name).write_text(text)
    (role / "tasks").mkdir(exist_ok=True)
    files = [{"path": str(folder / "placed"), **file}]
    (role / "tasks" / "main.yml").write_text(json.dumps([{"holdfast.ha.component": {"files": files}}]))
    (folder / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "roles": ["one"]}]))
    command = [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", "-c", "local", "play.yml", *options]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_NOCOLOR": "true",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_source_is_placed_byte_for_byte(tmp_path: Path) -> None:
    code, printed = run(tmp_path, "--check", "--diff", source="script.sh")
    assert code == 0, printed
    assert "+# {{ not a template }} {% nor this %} \\n é\n" in printed
    assert not (tmp_path / "placed").exists()
    code, printed = run(tmp_path, source="script.sh")
    assert (code, "changed=1" in printed) == (0, True), printed
    assert (tmp_path / "placed").read_bytes() == TEXT.encode()
    assert "changed=0" in run(tmp_path, source="script.sh")[1]


def test_a_plan_is_put_before_the_other_options() -> None:
    arguments = {"plan": {"files": [{"path": "/a"}], "absent": ["/b"]}, "files": [{"path": "/c"}], "units": []}
    assert planned(arguments) == {"files": [{"path": "/a"}, {"path": "/c"}], "absent": ["/b"], "units": []}
    with pytest.raises(AnsibleActionFail, match="plan"):
        planned({"plan": ["files"]})


def test_a_secret_source_is_placed_and_not_shown(tmp_path: Path) -> None:
    code, printed = run(tmp_path, "--diff", "-vvv", source=str(tmp_path / "roles/one/files/script.sh"), secret=True)
    assert code == 0, printed
    assert (tmp_path / "placed").read_bytes() == TEXT.encode()
    assert "not a template" not in printed


@pytest.mark.parametrize(
    ("file", "error"),
    [
        ({"source": "missing.sh"}, "missing.sh"),
        ({"source": "script.sh", "content": "x"}, "has both a content and a source; keep one of them"),
        ({"source": "script.sh", "template": "script.sh.j2"}, "has both a source and a template; keep one of them"),
        ({}, "files without a content: "),
    ],
)
def test_a_file_has_one_content(tmp_path: Path, file: dict[str, str], error: str) -> None:
    code, printed = run(tmp_path, **file)
    assert (code, error in printed) == (2, True), printed
    assert not (tmp_path / "placed").exists()


def test_a_source_of_another_encoding_is_refused_before_anything_is_placed(tmp_path: Path) -> None:
    source = tmp_path / "latin1.sh"
    source.write_bytes("é".encode("latin-1"))
    code, printed = run(tmp_path, source=str(source))
    assert (code, "latin1.sh is not UTF-8" in " ".join(printed.split())) == (2, True), printed
    assert not (tmp_path / "placed").exists()
