# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GET /<node>: "off" when its container does not run, "on" when it does; 404 for an unknown node."""

from __future__ import annotations

import http.client
import json
import re
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8080
ENGINE = "/var/run/docker.sock"
NODE = re.compile(r"/([a-z0-9][a-z0-9.-]*)")


class EngineConnection(http.client.HTTPConnection):
    """HTTP over the engine's socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(ENGINE)


def power(node: str) -> str | None:
    """Return on or off, or None for a node without a container."""
    connection = EngineConnection("localhost", timeout=5)
    try:
        connection.request("GET", f"/containers/holdfast-{node}/json")
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        return None
    return "on" if json.loads(body)["State"]["Running"] else "off"


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    def do_GET(self) -> None:
        """Answer with a node's power state."""
        node = NODE.fullmatch(self.path)
        state = power(node[1]) if node else None
        body = (state or "unknown").encode()
        self.send_response(http.client.NOT_FOUND if state is None else http.client.OK)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    with ThreadingHTTPServer(("", PORT), Handler) as server:
        print("serving", flush=True)
        server.serve_forever()
