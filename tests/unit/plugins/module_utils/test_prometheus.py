# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.prometheus import Span, ask, ask_alerts, evaluate

DAY = Span(86400.0, 172800.0, 300)
NOW = Span(0.0, 172800.0, 0)
SERIES = {"metric": {"cluster": "lab"}, "values": [[86700, "1"], [87000, "NaN"], [87300, "+Inf"], [87600, "0.5"]]}
ALERT = {
    "labels": {"alertname": "HostDown"},
    "annotations": {"summary": "down"},
    "startsAt": "2026-11-30T11:00:00.000Z",
    "status": {"state": "suppressed", "silencedBy": [], "inhibitedBy": ["f00"]},
}
ANSWERS = {
    "matrix": (200, {"status": "success", "data": {"resultType": "matrix", "result": [SERIES]}}),
    "vector": (
        200,
        {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [172800, "7"]}]}},
    ),
    "scalar": (200, {"status": "success", "data": {"resultType": "scalar", "result": [172800, "3"]}}),
    "bad(": (400, {"status": "error", "errorType": "bad_data", "error": "1:5: parse error"}),
    "other": (200, {"hello": "world"}),
}


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        url = urlsplit(self.path)
        self.server.asked.append((url.path, parse_qs(url.query)))
        query = parse_qs(url.query).get("query", [""])[0]
        status, body = (200, [ALERT]) if url.path == "/api/v2/alerts" else ANSWERS[query]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


@pytest.fixture
def client(server):
    return HttpJsonClient(f"http://127.0.0.1:{server.server_port}")


def test_a_day(client, server):
    assert ask(client, "matrix", DAY) == [{"labels": {"cluster": "lab"}, "samples": [[86700.0, 1.0], [87600.0, 0.5]]}]
    asked = {"query": ["matrix"], "start": ["86400.0"], "end": ["172800.0"], "step": ["300"]}
    assert server.asked == [("/api/v1/query_range", asked)]


@pytest.mark.parametrize(("query", "value"), [("vector", 7.0), ("scalar", 3.0)])
def test_now(client, server, query, value):
    assert ask(client, query, NOW) == [{"labels": {}, "samples": [[172800.0, value]]}]
    assert server.asked == [("/api/v1/query", {"query": [query], "time": ["172800.0"]})]


def test_a_query_that_is_refused_does_not_keep_others_from_being_asked(client):
    series, errors = evaluate(client, {"one": "bad(", "two": "vector"}, NOW)
    assert list(series) == ["two"]
    assert list(errors) == ["one"]
    assert errors["one"].endswith("answered 400: 1:5: parse error")


def test_a_silent_server_is_asked_once(monkeypatch):
    asked = []

    def refused(self, method, path):
        asked.append(path)
        raise EndpointError(path, None, "Connection refused")

    monkeypatch.setattr(HttpJsonClient, "request", refused)
    series, errors = evaluate(HttpJsonClient("http://127.0.0.1:9"), {"one": "a", "two": "b"}, NOW)
    assert (series, len(asked)) == ({}, 1)
    assert set(errors) == {"one", "two"}
    assert all("Connection refused" in text for text in errors.values())


def test_another_program_is_no_prometheus(client):
    with pytest.raises(EndpointError, match="no answer of Prometheus"):
        ask(client, "other", NOW)


def test_alerts(client, server):
    assert ask_alerts(client) == [
        {
            "labels": {"alertname": "HostDown"},
            "annotations": {"summary": "down"},
            "since": "2026-11-30T11:00:00.000Z",
            "silenced": False,
            "inhibited": True,
        }
    ]
    assert server.asked == [("/api/v2/alerts", {})]
