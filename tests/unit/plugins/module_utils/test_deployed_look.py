# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import deployed_look as sut

from tests.unit.planting import make_host, needs_root


@pytest.mark.parametrize(
    ("settings", "log", "found"),
    [
        ("", "data/member/wal", "data/member/wal"),
        ("ETCD_WAL_DIR={0}/wal/", "wal", "wal"),
        ("ETCD_WAL_DIR={0}/wal", "data/member/wal", None),
        ("", None, None),
    ],
)
def test_a_member_has_data_where_its_log_is(tmp_path, settings, log, found):
    environment = tmp_path / "etcd"
    environment.write_text(f"ETCD_NAME=db1\nETCD_DATA_DIR={tmp_path}/data\n{settings.format(tmp_path)}\n")
    if log:
        (tmp_path / log).mkdir(parents=True)
        (tmp_path / log / "0.wal").touch()
    member = sut.etcd(str(environment))
    assert (member.wal_directory if member else None) == (found and str(tmp_path / found))


def test_a_peer_counts_whether_it_sends_adverts_or_not(tmp_path, monkeypatch):
    configuration = tmp_path / "keepalived.conf"
    configuration.write_text("    unicast_peer {\n        198.51.100.22 min_ttl 255\n    }\n")
    monkeypatch.setattr(sut, "strangers", lambda _module: ["198.51.100.23"])
    assert sut.vrrp_peers(None, str(configuration)) == ("198.51.100.22", "198.51.100.23")


@needs_root
def test_whose_a_wished_directory_is_already():
    for host in make_host():
        os.chown(host.precious, 1, 1)
        (host.root / "link").symlink_to(host.precious)
        wished = {"mine": host.service, "theirs": host.precious, "linked": host.root / "link", "new": host.root / "new"}
        asked = [{"variable": name, "path": str(path), "owner": "nobody"} for name, path in wished.items()]
        told = sut.taken_directories(asked)
        assert told.keys() == {"theirs", "linked"}
        assert told["theirs"].startswith(f"{host.precious} is daemon's")
