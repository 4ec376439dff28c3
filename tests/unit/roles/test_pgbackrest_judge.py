# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What pgBackRest's words about a configuration mean; recorded from pgBackRest 2.45 and 2.55.1."""

from __future__ import annotations

import runpy
from types import SimpleNamespace

import pytest
import yaml

from tests.unit.roles.render import ROLES, judge_arguments

SCRIPT = runpy.run_path(str(ROLES / "pgbackrest" / "files" / "judge.py"))
ENDS = {
    "archive-get": (43, "2026-11-29 22:59:10.096 P00  ERROR: [043]: WAL segment to get required"),
    "archive-push": (43, "2026-11-29 22:59:10.117 P00  ERROR: [043]: WAL segment to push required"),
    "backup": (50, "P00  ERROR: [050]: unable to acquire lock on file 'none/lab-backup-1.lock': Not a directory"),
    "restore": (38, "P00  ERROR: [038]: unable to restore while PostgreSQL is running"),
    "server": (49, "P00  ERROR: [049]: unable to get address for '/': [-2] Name or service not known"),
}
"""How the commands end that read all options."""


@pytest.mark.parametrize(
    ("command", "answer", "says"),
    [
        ("server", ENDS["server"], ""),
        ("backup", (72, "P00  ERROR: [072]: backup command must be run on the repository host"), ""),
        (
            "archive-get",
            (
                32,
                "P00  ERROR: [032]: '3MiB' is not allowed for 'buffer-size' option\n  HINT: allowed are '1MiB', '2MiB'",
            ),
            "'3MiB' is not allowed for 'buffer-size' option HINT: allowed are '1MiB', '2MiB'",
        ),
        (
            "backup",
            (32, "ERROR: [032]: '0' is out of range for 'repo1-retention-full' option"),
            "'0' is out of range for 'repo1-retention-full' option",
        ),
        (
            "archive-push",
            (31, "ERROR: [031]: option 'repo1-path' cannot be set multiple times"),
            "option 'repo1-path' cannot be set multiple times",
        ),
        (
            "archive-get",
            (43, f"P00   WARN: configuration file contains invalid option 'nonsense'\n{ENDS['archive-get'][1]}"),
            "configuration file contains invalid option 'nonsense'",
        ),
        ("restore", (31, ""), "/usr/bin/pgbackrest ended with 31"),
    ],
)
def test_what_cannot_be_read_is_told(tmp_path, monkeypatch, command, answer, says):
    ran: list[list[str]] = []

    def run(argv, **_options):
        ran.append(argv)
        code, words = answer if argv[-1] == command else ENDS[argv[-1]]
        return SimpleNamespace(returncode=code, stdout="", stderr=words)

    names = SCRIPT["judge"].__globals__
    scratch = names["tempfile"].TemporaryDirectory
    monkeypatch.setattr(names["tempfile"], "TemporaryDirectory", lambda **_options: scratch(dir=tmp_path))
    monkeypatch.setattr(names["shutil"], "chown", lambda *_arguments: None)
    monkeypatch.setattr(names["subprocess"], "run", run)
    assert "; ".join(SCRIPT["judge"]("/etc/staged", "lab")) == says
    assert all("--config=/etc/staged" in argv for argv in ran)
    assert [argv[-1] for argv in ran] == list(ENDS)[: len(ran)]
    assert says or len(ran) == len(ENDS)


def test_no_secret_is_told():
    config = "[global]\nrepo1-cipher-pass=a secret\nrepo2-s3-key-secret = another\nrepo1-path=/srv\n"
    assert SCRIPT["masked"]("line 3: a secret, another, /srv", config) == "line 3: ***, ***, /srv"


def test_the_staged_file_is_judged_and_the_reason_shown():
    file = yaml.safe_load((ROLES / "pgbackrest/vars/main.yml").read_text())["pgbackrest__config"]
    assert (file["validate"], file["validate_shown"]) == ("{{ pgbackrest__judge }}", True)
    assert judge_arguments("pgbackrest", pgbackrest_stanza="my lab") == ["%s", "my lab"]
