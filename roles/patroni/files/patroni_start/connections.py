# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patroni sends each request and each answer at once (TCP_NODELAY).

Otherwise the kernel keeps the second half of each request to etcd, and of each answer of the REST interface, until the
other side has acknowledged the first, after 40 ms (Nagle's algorithm). Answers are sent as a whole: HAProxy reads only
the status and hangs up before a second half, and Patroni would log a traceback.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any


def without_delay(set_options: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's setting of a connection's options (Etcd3.set_socket_options) plus TCP_NODELAY."""

    def set_options_and_no_delay(etcd: Any, sock: socket.socket, *args: Any) -> Any:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return set_options(etcd, sock, *args)

    return set_options_and_no_delay


def replacements(set_options: Any, *_used: Any) -> Mapping[str, Any]:
    """Return the replacements that turn off Nagle's algorithm and buffer whole answers."""
    return {
        "patroni.dcs.etcd3:Etcd3.set_socket_options": without_delay(set_options),
        "patroni.api:RestApiHandler.disable_nagle_algorithm": True,
        "patroni.api:RestApiHandler.wbufsize": -1,
    }
