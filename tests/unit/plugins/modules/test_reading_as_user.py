# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Modules that only look never show what is root's through what a service user planted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.module_utils.restore_record import read_record
from ansible_collections.holdfast.ha.plugins.modules import archive_queue_info, postgresql_position_info

from tests.unit.planting import USER, Host, make_host, needs_root

pytestmark = needs_root


@pytest.fixture
def host() -> Iterator[Host]:
    yield from make_host()


def shown(capsys: pytest.CaptureFixture[str], module: Any, **arguments: Any) -> str:
    """Run a module; return what it printed."""
    with patch_module_args({"user": USER, **arguments}), pytest.raises(SystemExit):
        module.main()
    return capsys.readouterr().out


def test_the_archive_s_errors(capsys, host):
    errors = host.service / "archive" / "lab" / "out"
    host.as_user("mkdir", "-p", str(errors))
    host.plant(errors / "1.error", host.secret)
    asked = {"data_directory": str(host.service), "stanza": "lab", "spool_path": str(host.service)}
    printed = shown(capsys, archive_queue_info, **asked)
    assert "root's own" not in printed
    assert "Permission denied" in printed
    (errors / "1.error").unlink()
    assert '"waiting": 0' in shown(capsys, archive_queue_info, **asked)


@pytest.mark.parametrize("target", ["shadow", "public"])
def test_the_version(capsys, host, target):
    (host.precious / "public").write_text("../../../tmp")
    host.plant(host.service / "PG_VERSION", host.precious / target)
    printed = shown(capsys, postgresql_position_info, data_directory=str(host.service))
    assert "no database there" in printed
    assert "root's own" not in printed


def test_no_data_is_no_position(capsys, host):
    assert '"position": null' in shown(capsys, postgresql_position_info, data_directory=str(host.service / "gone"))


def test_a_verification_s_record(host):
    host.plant(host.service / "record.json", host.secret)
    assert read_record(host.service / "record.json") is None
    host.as_user("mkfifo", str(host.service / "pipe.json"))
    assert read_record(host.service / "pipe.json") is None
