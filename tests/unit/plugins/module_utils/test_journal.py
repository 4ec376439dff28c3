# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.journal import cause, command, is_hopeless

PASSWORD = 'FATAL:  could not connect to the primary server: FATAL:  password authentication failed for user "r"'


@pytest.mark.parametrize(
    ("lines", "told", "hopeless"),
    [
        ([PASSWORD, "LOG:  waiting for WAL to become available"], PASSWORD, True),
        ([PASSWORD, "ERROR: Error when fetching backup: pg_basebackup exited with code=1"], PASSWORD, True),
        (["FATAL:  the database system is not yet accepting connections"], "", False),
        (["ERROR: failed to bootstrap from leader 'db1'"], "ERROR: failed to bootstrap from leader 'db1'", False),
        (["INFO: no action. I am (db2), a secondary"], "", False),
        ([], "", False),
    ],
)
def test_the_cause(lines: list[str], told: str, hopeless: bool) -> None:
    assert (cause(lines), is_hopeless(cause(lines))) == (told, hopeless)


def test_the_journal_is_asked_since_a_time() -> None:
    assert command("patroni.service", 1.9)[-2:] == ["--unit=patroni.service", "--since=@2"]
