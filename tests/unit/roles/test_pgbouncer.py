# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PgBouncer's words about a configuration mean; recorded from PgBouncer 1.24.1."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

FILES = Path(__file__).resolve().parents[3] / "roles" / "pgbouncer" / "files"
SCRIPT = runpy.run_path(str(FILES / "judge.py"))
TIME = "2026-11-29 16:01:28.531 UTC [8640] "


def output(*lines: str) -> str:
    return "".join(f"{TIME}{line}\n" for line in lines)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["LOG kernel file descriptor limit: 1024", "FATAL nowhere to listen on"], ""),
        (["ERROR could not open auth_file /x: No such file or directory", "FATAL nowhere to listen on"], ""),
        (
            ["ERROR unknown parameter: pgbouncer/foo", "FATAL cannot load config file"],
            "unknown parameter: pgbouncer/foo",
        ),
        (['ERROR invalid value "sessio" for parameter pool_mode', "FATAL cannot load config file"], '"sessio"'),
        (["ERROR invalid server_tls_protocols: foo", "FATAL TLS setup failed"], "TLS setup failed"),
        (["LOG process up"], "ended with 7"),
    ],
)
def test_only_a_configuration_that_was_read_to_its_end_is_taken(
    lines: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = SCRIPT["judge"]
    done = type("Done", (), {"stdout": "", "stderr": output(*lines), "returncode": 7})
    monkeypatch.setattr(judge.__globals__["subprocess"], "run", lambda *_arguments, **_options: done)
    monkeypatch.setattr(judge.__globals__["shutil"], "chown", lambda *_arguments, **_options: None)
    real = judge.__globals__["tempfile"].TemporaryDirectory
    monkeypatch.setattr(judge.__globals__["tempfile"], "TemporaryDirectory", lambda **_options: real())
    refused = "; ".join(judge(""))
    assert says in refused
    assert bool(says) is bool(refused)


def test_the_trial_listens_nowhere_whatever_is_declared() -> None:
    tried = SCRIPT["tried"]("[pgbouncer]\npool_mode = session\n%include /etc/x.ini\n", "listen_addr = 192.0.2.1\n")
    assert "%include" not in tried
    assert tried.rindex("listen_addr =\n") > tried.index("listen_addr = 192.0.2.1")


def test_it_is_told_files_and_no_contents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read: list[str] = []
    (tmp_path / "main").write_text("[pgbouncer]\nauth_ldap_options = never-show-me\n")
    (tmp_path / "start").write_text("listen_addr = 192.0.2.1\n")
    monkeypatch.setitem(SCRIPT["main"].__globals__, "judge", lambda config: read.append(config) or [])
    monkeypatch.setattr(sys, "argv", ["judge.py", str(tmp_path / "main"), str(tmp_path / "start")])
    SCRIPT["main"]()
    assert "never-show-me" in read[0]
    assert "192.0.2.1" in read[0]
    variables = (FILES.parent / "vars" / "main.yml").read_text(encoding="utf-8")
    assert "lookup('ansible.builtin.template'" not in variables
