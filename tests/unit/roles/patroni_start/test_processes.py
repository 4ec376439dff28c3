# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's processes."""

from __future__ import annotations

from patroni_start.processes import postmaster_of, runs, wait_for_end

GONE = 2**22 + 1  # above the greatest process id that Linux allows


def test_nobody_waits_for_a_process_that_is_gone():
    assert not runs(GONE)
    assert wait_for_end(GONE)


def test_a_process_that_goes_on_is_not_waited_for_any_longer(process):
    assert not wait_for_end(process.pid, 0.05)


def test_the_pid_file_is_read_as_postgresql_writes_it(tmp_path):
    (tmp_path / "postmaster.pid").write_text("4711\n/data\n1767582000\n5432\n")
    assert postmaster_of(tmp_path) == 4711
    assert postmaster_of(tmp_path / "elsewhere") == 0
