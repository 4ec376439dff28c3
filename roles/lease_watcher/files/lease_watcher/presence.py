# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the Patroni of a silent leader still answers requests. If it does not, no member need wait for it."""

from __future__ import annotations

import errno
import http.client
import ssl
import threading
from urllib.parse import urlsplit

from lease_watcher.core import Leadership

PATH = "/liveness"
UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT}


class Presence:
    """Asks one leader's REST interface once, in parallel to the rounds; timeout is seconds for each step."""

    def __init__(self, ca: str, timeout: float) -> None:
        self._ca = ca
        self._timeout = timeout
        self._about: Leadership | None = None
        self._silent = threading.Event()

    def asked(self, leadership: Leadership) -> bool:
        """Whether this leader was asked already."""
        return self._about == leadership

    def ask(self, leadership: Leadership, url: str) -> None:
        """Start the request; url is the member's C(api_url)."""
        self._about = leadership
        self._silent = threading.Event()
        threading.Thread(target=self._listen, args=(url, self._silent), daemon=True).start()

    def is_silent(self, leadership: Leadership) -> bool:
        """Whether it was asked and did not answer in time."""
        return self._about == leadership and self._silent.is_set()

    def forget(self) -> None:
        """Drop the answer: the leader is alive, or another member leads. Ask again the next time."""
        self._about = None

    def _listen(self, url: str, silent: threading.Event) -> None:
        if gives_no_answer(url, self._ca, self._timeout):
            silent.set()


def gives_no_answer(url: str, ca: str, timeout: float) -> bool:
    """Whether a request to a URL's host gets no answer; a refusal or any error is an answer."""
    parts = urlsplit(url)
    try:
        connection = _connection(parts.scheme, parts.hostname or "", parts.port, ca, timeout)
        try:
            connection.request("GET", PATH)
            connection.getresponse()
        finally:
            connection.close()
    except TimeoutError:
        return True
    except OSError as error:
        return error.errno in UNREACHABLE
    except (http.client.HTTPException, ValueError):
        return False
    return False


def _connection(scheme: str, host: str, port: int | None, ca: str, timeout: float) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context(cafile=ca)
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout)
