# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small JSON-over-HTTP client on the standard library.

It holds no global state, so several clients may be used from several threads.
Proxy settings of the environment are ignored: cluster endpoints are reached directly.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping


class EndpointError(Exception):
    """An endpoint could not be reached, or answered with a status of 400 or above.

    ``status`` is None when there was no answer at all; ``body`` is the decoded answer.
    """

    def __init__(self, url: str, status: int | None, message: str, body: Any = None) -> None:
        self.url = url
        self.status = status
        self.message = message
        self.body = body
        where = url if status is None else f"{url} answered {status}"
        super().__init__(f"{where}: {message}")


@dataclass(frozen=True)
class Response:
    """Status, decoded JSON (the text itself when it isn't JSON) and headers in lower case."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True)
class HttpJsonClient:
    """One endpoint, for example ``https://198.51.100.11:8008`` or ``https://[2001:db8::1]:2379``.

    ``ca`` is the path of the certificate authority to trust (the system's without it),
    ``cert`` and ``key`` are paths of a client certificate. ``username`` and ``password``
    send basic authentication, ``token`` a bearer header. ``timeout`` is seconds for
    connecting and for each read.
    """

    base_url: str
    ca: str | None = None
    cert: str | None = None
    key: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    timeout: float = 5.0

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Return the decoded answer; raise EndpointError without one or at status >= 400."""
        response = self.fetch(method, path, body, headers)
        if response.status >= 400:
            raise EndpointError(self._url(path), response.status, error_text(response.body), response.body)
        return response.body

    def fetch(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Return the Response whatever its status; raise EndpointError without an answer."""
        connection: http.client.HTTPConnection | None = None
        try:
            connection = self._connection()
            connection.request(
                method,
                self._target(path),
                body=None if body is None else json.dumps(body).encode(),
                headers={**self._headers(body is not None), **(headers or {})},
            )
            answer = connection.getresponse()
            return Response(
                answer.status,
                decode(answer.read()),
                {name.lower(): value for name, value in answer.getheaders()},
            )
        except (OSError, http.client.HTTPException, ValueError) as error:
            message = str(error) or type(error).__name__
            raise EndpointError(self._url(path), None, message) from error
        finally:
            if connection is not None:
                connection.close()

    def _url(self, path: str) -> str:
        return self.base_url.rstrip("/") + path

    def _target(self, path: str) -> str:
        return urlsplit(self.base_url).path.rstrip("/") + path

    def _connection(self) -> http.client.HTTPConnection:
        url = urlsplit(self.base_url)
        host = url.hostname or ""
        if url.scheme == "https":
            return http.client.HTTPSConnection(host, url.port, timeout=self.timeout, context=self._tls)
        return http.client.HTTPConnection(host, url.port, timeout=self.timeout)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if self.cert:
            context.load_cert_chain(self.cert, self.key)
        return context

    def _headers(self, has_body: bool) -> dict[str, str]:
        headers = {"Accept": "application/json"}
        if has_body:
            headers["Content-Type"] = "application/json"
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        elif self.username is not None:
            pair = f"{self.username}:{self.password or ''}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        return headers


def decode(payload: bytes) -> Any:
    """Return decoded JSON, the text when it isn't JSON, or None when there is nothing."""
    text = payload.decode("utf-8", errors="replace").strip()
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def error_text(body: Any) -> str:
    """Return the human part of an error answer: its message, or the whole of it."""
    if isinstance(body, dict):
        for name in ("message", "error", "detail"):
            if isinstance(body.get(name), str):
                return body[name]
    return "no message" if body is None else str(body)
