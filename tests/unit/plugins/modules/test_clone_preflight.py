# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.clone import Found, Record
from ansible_collections.holdfast.ha.plugins.module_utils.restore import Marker
from ansible_collections.holdfast.ha.plugins.module_utils.safe_path import UnsafePathError
from ansible_collections.holdfast.ha.plugins.modules.clone_preflight import find

from tests.unit.planting import make_host, needs_root


def test_what_is_on_the_host_is_found(tmp_path: Path) -> None:
    directory, record = tmp_path / "clone", tmp_path / "record.json"
    bare = find(directory, directory / "data", record)
    assert replace(bare, homes=()) == Found(real=str(directory))
    assert "/root" in bare.homes
    (directory / "data").mkdir(parents=True)
    (directory / "data.restore.json").write_text(Marker("7", {"type": "latest"}, "placed").dump())
    record.write_text('{"directory": "/srv/clone", "stanza": "lab"}')
    found = find(directory, directory / "data", record)
    assert found.names == ("data", "data.restore.json")
    assert (found.record, found.filled, found.data) == (Record("/srv/clone", "lab"), True, False)
    assert found.marker is not None
    assert found.marker.reached("placed")
    (directory / "data" / "PG_VERSION").touch()
    assert find(directory, directory / "data", record).data


@needs_root
def test_a_link_is_seen_through_where_root_made_it() -> None:
    for host in make_host():
        (host.root / "link").symlink_to("precious")
        assert find(host.root / "link", host.root / "link" / "data", host.root / "none").real == str(host.precious)
        host.plant(host.service / "clone", host.precious)
        with pytest.raises(UnsafePathError, match="service/clone is a symbolic link"):
            find(host.service / "clone", host.service / "clone" / "data", host.root / "none")


def test_a_file_in_the_directory_s_place_is_no_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert find(tmp_path / "file", tmp_path / "file" / "data", tmp_path / "none").filled
