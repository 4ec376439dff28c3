# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import asdict

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.module_utils import maintenance
from ansible_collections.holdfast.ha.plugins.module_utils.maintenance import Mark, parse, read
from ansible_collections.holdfast.ha.plugins.module_utils.safe_path import UnsafePathError
from ansible_collections.holdfast.ha.plugins.modules import maintenance_info

MARK = Mark("db2", "2030-01-01 10:00 UTC", "a new disk, »soon«", "ann@admin1")


def test_a_mark_is_read_as_it_was_written(tmp_path):
    (tmp_path / "db2").write_text(MARK.content)
    (tmp_path / "db1").write_text(Mark("db1").content)
    (tmp_path / ".db3.new").write_text("what a killed run staged")
    assert read(str(tmp_path)) == [Mark("db1"), MARK]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"since": "2030"}'])
def test_a_damaged_mark_counts_because_the_service_does_not_start(content):
    assert parse("db2", content) == Mark("db2")


def test_the_file_s_name_tells_the_host_and_lines_are_joined():
    content = b'{"host": "db9", "since": "2030", "reason": "a\\n  b", "by": 7}'
    assert parse("db2", content) == Mark("db2", "2030", "a b", "7")


def test_no_directory_means_no_mark(tmp_path):
    assert read(str(tmp_path / "missing")) == []


def test_links_and_directories_are_marks_without_a_text(tmp_path):
    (tmp_path / "secret").write_text(MARK.content)
    marks = tmp_path / "marks"
    marks.mkdir()
    (marks / "db2").symlink_to(tmp_path / "secret")
    (marks / "db3").mkdir()
    assert read(str(marks)) == [Mark("db2"), Mark("db3")]


def test_the_drop_in_asks_for_the_mark():
    file = MARK.drop_in("patroni.service")
    assert file["path"] == "/etc/systemd/system/patroni.service.d/holdfast-maintenance.conf"
    assert "[Unit]\nConditionPathExists=!/etc/holdfast/maintenance/db2\n" in file["content"]


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_reports_the_marks_or_why_it_can_not(monkeypatch, capfd, fails):
    def told(*_arguments):
        if fails:
            raise UnsafePathError("/etc/holdfast: planted")
        return [MARK]

    monkeypatch.setattr(maintenance, "read", told)
    with patch_module_args({}), pytest.raises(SystemExit) as ended:
        maintenance_info.main()
    output = capfd.readouterr().out
    assert ended.value.code == (1 if fails else 0)
    assert ("planted" if fails else asdict(MARK)["by"]) in output
