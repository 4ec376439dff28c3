# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

from ansible_collections.holdfast.ha.plugins.module_utils.clone import Found, Record
from ansible_collections.holdfast.ha.plugins.module_utils.restore import Marker
from ansible_collections.holdfast.ha.plugins.modules.clone_preflight import find


def test_what_is_on_the_host_is_found(tmp_path: Path) -> None:
    directory, record = tmp_path / "clone", tmp_path / "record.json"
    assert find(directory, directory / "data", record) == Found(real=str(directory))
    (directory / "data").mkdir(parents=True)
    (directory / "data.restore.json").write_text(Marker("7", {"type": "latest"}, "placed").dump())
    record.write_text('{"directory": "/srv/clone", "stanza": "lab"}')
    found = find(directory, directory / "data", record)
    assert (found.record, found.filled, found.data) == (Record("/srv/clone", "lab"), True, False)
    assert found.marker is not None
    assert found.marker.reached("placed")
    (directory / "data" / "PG_VERSION").touch()
    assert find(directory, directory / "data", record).data


def test_a_link_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    assert find(tmp_path / "link", tmp_path / "link" / "data", tmp_path / "none").real == str(tmp_path / "data")


def test_a_file_in_the_directory_s_place_is_no_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert find(tmp_path / "file", tmp_path / "file" / "data", tmp_path / "none").filled
