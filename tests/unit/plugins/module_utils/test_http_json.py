# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import (
    EndpointError,
    HttpJsonClient,
    decode,
    error_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked; /status/N answers with that status."""

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        echo = {
            "method": self.command,
            "path": self.path,
            "body": json.loads(body) if body else None,
            "authorization": self.headers.get("Authorization"),
            "message": "told so",
        }
        payload = json.dumps(echo).encode()
        status = int(self.path.rsplit("/", 1)[1]) if "/status/" in self.path else 200
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("X-Echo", "yes")
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_POST = do_PATCH = answer  # noqa: N815

    def log_message(self, *_args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("arguments", "base", "expected"),
    [
        ({}, "", {"method": "GET", "path": "/x", "body": None, "authorization": None}),
        ({}, "/base/", {"path": "/base/x"}),
        ({"username": "a", "password": "b"}, "", {"authorization": "Basic YTpi"}),
        ({"token": "t"}, "", {"authorization": "Bearer t"}),
    ],
)
def test_request(url: str, arguments: dict[str, Any], base: str, expected: dict[str, Any]) -> None:
    answer = HttpJsonClient(url + base, **arguments).request("GET", "/x")
    assert {name: answer[name] for name in expected} == expected


def test_body_and_headers_are_sent(url: str) -> None:
    response = HttpJsonClient(url, token="t").fetch("POST", "/x", {"a": [1]}, {"Authorization": "raw"})
    assert response.body["body"] == {"a": [1]}
    assert response.body["authorization"] == "raw"
    assert response.headers["x-echo"] == "yes"


def test_error_status(url: str) -> None:
    client = HttpJsonClient(url)
    assert client.fetch("GET", "/status/503").status == 503
    with pytest.raises(EndpointError) as caught:
        client.request("GET", "/status/503")
    assert (caught.value.status, caught.value.message) == (503, "told so")
    assert caught.value.body["path"] == "/status/503"


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(EndpointError) as caught:
        HttpJsonClient(f"http://127.0.0.1:{port}").request("GET", "/")
    assert caught.value.status is None


def test_missing_certificate_is_an_endpoint_error() -> None:
    with pytest.raises(EndpointError):
        HttpJsonClient("https://127.0.0.1:1", ca="/nonexistent").request("GET", "/")


def test_secrets_are_not_in_repr() -> None:
    client = HttpJsonClient("https://x", username="u", password="secret1", token="secret2")
    assert "secret" not in repr(client)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [(b"", None), (b'{"a": 1}', {"a": 1}), (b"plain\n", "plain"), (b"\xff", "�")],
)
def test_decode(payload: bytes, expected: Any) -> None:
    assert decode(payload) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"message": "m", "error": "e"}, "m"),
        ({"error": "e"}, "e"),
        ("text", "text"),
        (None, "no message"),
        ({"code": 1}, "{'code': 1}"),
    ],
)
def test_error_text(body: Any, expected: str) -> None:
    assert error_text(body) == expected
