# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.module_utils import etcd_convergence
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import AuthState, Member
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import EtcdClient
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient
from ansible_collections.holdfast.ha.plugins.modules import etcd_restart

URLS = {name: f"https://{name}:2379" for name in ("db1", "db2", "db3")}


@pytest.fixture
def run(monkeypatch):
    """Return what runs the module's work on members of which some are off."""
    calls = []

    def health(client):
        return "no route" if client.http.base_url in off else None

    def call(self, path, body=None):
        if self.http.base_url in off:
            raise EndpointError(self.http.base_url, None, "no route")
        calls.append(path)
        return {}

    off = set()
    versions = dict.fromkeys(URLS.values(), "3.5.0")
    monkeypatch.setattr(EtcdClient, "unhealthy_because", health)
    monkeypatch.setattr(HttpJsonClient, "request", lambda self, method, path: {"etcdcluster": versions[self.base_url]})
    monkeypatch.setattr(EtcdClient, "call", call)
    monkeypatch.setattr(EtcdClient, "login", lambda self, name, password: None)
    monkeypatch.setattr(EtcdClient, "members", lambda self: tuple(Member(1, name, (), ("x",)) for name in URLS))
    monkeypatch.setattr(EtcdClient, "auth_state", lambda self, users, enabled: AuthState(enabled, {}, {}))
    monkeypatch.setattr(etcd_convergence, "OTHERS_SECONDS", 0)

    def run(awaited, silent, version="3.5.0"):
        versions[URLS["db2"]] = version
        off.update(URLS[name] for name in silent)
        params = dict.fromkeys(("ca_path", "certificate_path", "private_key_path"), "/none")
        params |= {"endpoints": [URLS[name] for name in awaited], "root_password": "pw", "users": [], "passwords": {}}
        params |= {"others": {name: url for name, url in URLS.items() if name not in awaited}, "timeout": 0}
        return etcd_convergence.Cluster(params, check_mode=False).run(), calls

    return run


@pytest.mark.parametrize(
    ("awaited", "silent", "left"),
    [
        (("db1", "db2", "db3"), (), []),
        (("db1", "db2"), ("db3",), ["db3"]),
        (("db1", "db2"), (), []),
        (("db2", "db3"), ("db1",), ["db1"]),
        # the run's only member does not serve yet, those of others do
        (("db1",), (), []),
    ],
)
def test_a_member_that_may_be_off_is_told_not_waited_for(run, awaited, silent, left):
    done, calls = run(awaited, silent)
    assert done["left"] == left
    assert "/v3/auth/enable" in calls


def test_others_are_not_asked_before_they_are_needed(run, monkeypatch):
    asked = []
    monkeypatch.setattr(etcd_convergence.Cluster, "first_other", lambda self: asked.append("others"))
    run(("db1", "db2"), ("db3",))
    assert asked == []


def test_a_member_that_is_to_be_there_is_waited_for(run):
    with pytest.raises(etcd_convergence.UnhealthyError, match="db3:2379: no route"):
        run(("db1", "db2", "db3"), ("db3",))


@pytest.mark.parametrize("version", ["3.0.0", "not_decided"])
def test_a_new_cluster_is_waited_for_until_it_has_a_version(run, version):
    """A Patroni that starts before is lost until somebody restarts it."""
    with pytest.raises(etcd_convergence.UnhealthyError, match=rf"db2:2379: .* agreed on a version yet \({version}\)"):
        run(("db1", "db2", "db3"), (), version)


@pytest.mark.parametrize(
    ("unhealthy", "others", "hopeless"),
    [
        (("db3",), ("db3",), True),
        (("db3",), (), False),
        # one that is there is waited for
        (("db2",), ("db3",), False),
        (("db2", "db3"), ("db3",), True),
    ],
)
def test_a_restart_that_is_not_safe_without_a_host_that_is_off_is_not_waited_for(unhealthy, others, hopeless):
    seen = {url: "no route" if name in unhealthy else None for name, url in URLS.items()}
    assert etcd_restart.is_hopeless(URLS["db1"], seen, [URLS[name] for name in others]) is hopeless


@pytest.mark.parametrize(("silent", "left"), [((), 0), (("db3",), 1), (("db2", "db3"), 0)])
def test_check_mode_predicts_no_restart_that_would_be_left(monkeypatch, capsys, silent, left):
    monkeypatch.setattr(
        EtcdClient,
        "unhealthy_because",
        lambda client: "no route" if client.http.base_url in [URLS[name] for name in silent] else None,
    )
    arguments = {
        "endpoint": URLS["db1"],
        "endpoints": list(URLS.values()),
        "others": [URLS["db2"], URLS["db3"]],
        **dict.fromkeys(("ca_path", "certificate_path", "private_key_path"), "/none"),
        "timeout": 0,
        "_ansible_check_mode": True,
    }
    with patch_module_args(arguments), pytest.raises(SystemExit):
        etcd_restart.main()
    told = json.loads(capsys.readouterr().out)
    assert (told["changed"], len(told["left"])) == (not left, left)
