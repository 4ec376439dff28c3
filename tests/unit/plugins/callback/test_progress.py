# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.callback.progress import Wait


def test_speaks_once_an_interval_of_those_still_at_work() -> None:
    wait = Wait("Install the packages", begun=100, next_line=110, hosts={"db2", "db1"})
    assert wait.line(109.9, 10) is None
    assert wait.line(110, 10) == "  … 10 s: Install the packages: db1, db2\n"
    assert wait.line(112, 10) is None
    wait.hosts.discard("db2")
    assert wait.line(121, 10) == "  … 21 s: Install the packages: db1\n"


def test_is_silent_when_nobody_is_at_work() -> None:
    assert Wait("Show", begun=0, next_line=10).line(60, 10) is None
