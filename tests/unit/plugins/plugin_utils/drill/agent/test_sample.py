# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ctypes
import fcntl
import socket
import struct

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent import sample as sut

SIXES = """\
00000000000000000000000000000001 01 80 10 80       lo
20010db8000000000000000000000100 01 80 00 20       lo
20010db8000000000000000000000021 02 40 00 80     eth0
"""


def test_this_host_has_its_own_addresses():
    assert sut.held(["192.0.2.77", "127.0.0.1", "2001:db8::77"]) == ["127.0.0.1"]


def test_an_ipv6_address_that_was_handed_over_is_not_held():
    assert [str(address) for address in sut._ipv6(SIXES)] == ["2001:db8::21"]


@pytest.mark.skipif(struct.calcsize("P") != 8, reason="the answer below is that of a 64 bit kernel")
def test_an_ipv4_address_that_was_handed_over_is_not_held(monkeypatch):
    rows = [(b"lo", "127.0.0.1"), (b"lo:handover-00", "198.18.0.100"), (b"eth0", "198.18.0.21")]

    def answer(_socket, _code, request):
        _room, at = struct.unpack("iP", request)
        told = b"".join(struct.pack("16s4x4s16x", label, socket.inet_aton(address)) for label, address in rows)
        ctypes.memmove(at, told, len(told))
        return struct.pack("iP", len(told), at)

    monkeypatch.setattr(fcntl, "ioctl", answer)
    assert [str(address) for address in sut._ipv4()] == ["127.0.0.1", "198.18.0.21"]
