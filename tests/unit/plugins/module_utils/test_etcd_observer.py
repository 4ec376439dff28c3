# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An etcd that tells little without a login, as since CVE-2026-33413."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import EtcdClient
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_observer import Observer
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError

ENDPOINTS = [f"https://198.51.100.{last}:2379" for last in (11, 12, 13)]
PARAMS = {
    "endpoints": ENDPOINTS,
    "username": "root",
    "password": "known",
    "timeout": 1,
    "ca_path": "",
    "certificate_path": "",
    "private_key_path": "",
}


def answer(client: EtcdClient, path: str, body: Any = None) -> dict[str, Any]:
    url = client.http.base_url
    if path == "/v3/auth/authenticate":
        return {"token": "token"}
    if client.token != "token":
        raise EndpointError(url + path, 400, "etcdserver: user name is empty")
    members = [{"ID": str(n), "name": f"db{n}", "clientURLs": [e]} for n, e in enumerate(ENDPOINTS, start=1)]
    answers = {
        "/v3/cluster/member/list": {"members": members},
        "/v3/maintenance/status": {"header": {"member_id": str(ENDPOINTS.index(url) + 1)}, "leader": "2"},
    }
    return answers.get(path, {})


@pytest.mark.parametrize("password", ["known", None])
def test_a_guarded_etcd_is_asked_again_after_the_login(monkeypatch, password):
    monkeypatch.setattr(EtcdClient, "call", answer)
    monkeypatch.setattr(EtcdClient, "unhealthy_because", lambda _client: None)
    for name in ("refuses_plaintext", "requires_certificate"):
        monkeypatch.setattr(Observer, name, lambda _self, _endpoint: True)
    report = Observer(PARAMS | {"password": password}).report()
    known = password is not None
    assert (report.healthy, report.leader) == ((True, "db2") if known else (False, None))
    assert [endpoint.name for endpoint in report.endpoints] == (["db1", "db2", "db3"] if known else [None] * 3)
    assert report.auth_enabled
