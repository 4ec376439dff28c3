# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import deployed_look as sut
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import HttpJsonClient

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


PATRONI = {"data_directory": "/data", "address": "2001:db8::11", "rest_port": 8009}


class AskedError(Exception):
    """The client that was made."""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"ca": "/srv/ca.crt", "cert": "/srv/client.crt", "key": "/srv/host.key"}, None),
        ({}, {"ca": "", "cert": "", "key": ""}),
    ],
)
def test_patroni_is_asked_with_the_given_files(monkeypatch, given, expected):
    def ask(client, *_request):
        raise AskedError(client)

    monkeypatch.setattr(HttpJsonClient, "request", ask)
    monkeypatch.setattr(sut, "patroni_config", lambda _path: {})
    monkeypatch.setattr(sut.deployed, "parse_patroni", lambda _config: SimpleNamespace(**PATRONI))
    monkeypatch.setattr(sut, "postgresql", lambda *_arguments: True)
    monkeypatch.setattr(sut, "psycopg2", None)
    with pytest.raises(AskedError) as asked:
        sut.look(SimpleNamespace(), {"tls": given})
    client = asked.value.args[0]
    assert client.base_url == "https://[2001:db8::11]:8009"
    assert {name: getattr(client, name) for name in ("ca", "cert", "key")} == (expected or given)
