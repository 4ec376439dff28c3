# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests and answers are sent at once."""

from __future__ import annotations

import socket

from patroni_start.connections import without_delay


def test_what_is_said_to_etcd_is_sent_at_once():
    def set_options(_etcd, sock, options):
        for option in options:
            sock.setsockopt(*option)

    with socket.socket() as sock:
        without_delay(set_options)(None, sock, [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)])
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
