# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What PgBouncer's words about a configuration mean; recorded from PgBouncer 1.24.1."""

from __future__ import annotations

import runpy
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
