# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import patroni_api
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient, Response
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import Member
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import (
    CYCLES_TO_APPLY,
    ClusterError,
    PatroniApi,
    await_applied,
    root_of,
)

PARAMS = {"ca": None, "cert": None, "key": None, "username": "u", "password": "p", "request_timeout": 1.0}


class Servers:
    """Answers by base URL and path; a missing one of either is silent. Remembers what was asked."""

    def __init__(self, answers: dict[str, dict[str, Response]]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, str]] = []

    def bound(self) -> Callable[..., Response]:
        """Return fetch as a function that may become a method of the client."""

        def fetch(client: HttpJsonClient, method: str, path: str, *_rest: Any) -> Response:
            return self.fetch(client, method, path)

        return fetch

    def fetch(self, client: HttpJsonClient, method: str, path: str) -> Response:
        self.asked.append((client.base_url, method, path))
        if client.base_url not in self.answers:
            raise EndpointError(client.base_url + path, None, "refused")
        if path not in self.answers[client.base_url]:
            raise EndpointError(client.base_url + path, None, "closed without an answer")
        return self.answers[client.base_url][path]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Servers]:
    def install(answers: dict[str, dict[str, Response]]) -> Servers:
        servers = Servers(answers)
        monkeypatch.setattr(HttpJsonClient, "fetch", servers.bound())
        return servers

    monkeypatch.setattr(patroni_api, "POLL_INTERVAL", 0.0)
    return install


def api(*endpoints: str) -> PatroniApi:
    return PatroniApi.from_params({**PARAMS, "endpoints": endpoints})


def ok(body: Any) -> Response:
    return Response(200, body, {})


def test_the_first_that_answers_is_asked(serve: Callable[..., Servers]) -> None:
    servers = serve({"https://b": {"/config": ok({"ttl": 20})}})

    assert api("https://a", "https://b", "https://c").read_configuration() == {"ttl": 20}
    assert [url for url, _method, _path in servers.asked] == ["https://a", "https://b"]


@pytest.mark.parametrize("status", [404, 502, 503])
def test_no_configuration_yet(serve: Callable[..., Servers], status: int) -> None:
    serve({"https://a": {"/config": Response(status, None, {})}})

    assert api("https://a").read_configuration() is None


def test_all_silent(serve: Callable[..., Servers]) -> None:
    serve({})

    with pytest.raises(EndpointError, match="refused"):
        api("https://a", "https://b").read_configuration()


def test_a_refusal_is_not_taken_elsewhere(serve: Callable[..., Servers]) -> None:
    servers = serve({"https://a": {"/config": Response(401, "no", {})}, "https://b": {"/config": ok({})}})

    with pytest.raises(EndpointError) as caught:
        api("https://a", "https://b").patch_configuration({"ttl": 20})
    assert caught.value.status == 401
    assert len(servers.asked) == 1


def test_a_view_asks_nobody_after_the_first_that_answers(serve: Callable[..., Servers]) -> None:
    cluster = {"members": [{"name": "db2", "role": "leader", "state": "running", "pending_restart": True}]}
    servers = serve({"https://b": {"/patroni": ok({}), "/cluster": ok(cluster)}})

    seen = api("https://a", "https://b", "https://c").view()

    assert (seen.leader and seen.leader.name, seen.members[0].pending_restart) == ("db2", True)
    assert {url for url, _method, _path in servers.asked} == {"https://a", "https://b"}


def test_a_client_without_some_asks_the_others(serve: Callable[..., Servers]) -> None:
    servers = serve({})

    assert not api("https://a", "https://b").without(["https://b"]).last_seen()
    assert {url for url, _method, _path in servers.asked} == {"https://a"}


def test_answers_keep_the_order_and_the_silent(serve: Callable[..., Servers]) -> None:
    serve({"https://b": {"/patroni": ok({"role": "replica"}), "/cluster": Response(503, None, {})}})

    first, second = api("https://a", "https://b").answers()

    assert (first.endpoint, first.error) == ("https://a", "refused")
    assert (second.patroni, second.cluster, second.error) == ({"role": "replica"}, None, None)


def test_a_member_whose_etcd_does_not_answer_still_tells_of_itself(serve: Callable[..., Servers]) -> None:
    serve({"https://a": {"/patroni": ok({"database_system_identifier": "7"})}})

    (answer,) = api("https://a").answers()

    assert (answer.patroni, answer.cluster) == ({"database_system_identifier": "7"}, None)
    assert answer.error == "closed without an answer"


def seen(*values: int) -> Callable[..., dict[str, int]]:
    """Return what last_seen answers one call after the other, the last one for ever."""
    left = list(values)
    return lambda _among=None: {"https://a": left.pop(0) if len(left) > 1 else left[0]}


class Fake:
    """Only last_seen."""

    def __init__(self, last_seen: Callable[..., dict[str, int]]) -> None:
        self.last_seen = last_seen


def test_applied_after_enough_cycles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_api, "POLL_INTERVAL", 0.0)
    values = [10, 10, 11, 11, 12, 13]
    assert len(set(values)) == CYCLES_TO_APPLY + 1

    await_applied(cast("PatroniApi", Fake(seen(*values))), timeout=5)


def test_not_applied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_api, "POLL_INTERVAL", 0.0)

    with pytest.raises(ClusterError, match="https://a"):
        await_applied(cast("PatroniApi", Fake(seen(10, 11))), timeout=0.01)


def test_a_required_endpoint_must_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patroni_api, "POLL_INTERVAL", 0.0)
    api = cast("PatroniApi", Fake(seen(10, 11, 12, 13)))

    with pytest.raises(ClusterError, match=r"by https://b$"):
        await_applied(api, timeout=0.2, required=["https://b"])


def test_who_is_off_is_not_asked_each_time(serve: Callable[..., Servers]) -> None:
    read = iter(range(10, 99))
    servers = serve({"https://a": {"/cluster": ok({})}})
    fetch = servers.fetch

    def told(client: HttpJsonClient, method: str, path: str) -> Response:
        servers.answers["https://a"]["/patroni"] = ok({"dcs_last_seen": next(read)})
        return fetch(client, method, path)

    servers.fetch = told  # type: ignore[method-assign]
    await_applied(api("https://a", "https://off"), timeout=5)

    assert sum(url == "https://off" for url, _method, _path in servers.asked) == 1


def test_root_of_a_member() -> None:
    member = Member("db1", "replica", "streaming", api_url="https://[2001:db8::1]:8008/patroni")

    assert root_of(member) == "https://[2001:db8::1]:8008"
