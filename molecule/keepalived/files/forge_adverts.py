#!/usr/bin/python3
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send VRRPv3 adverts with forged source addresses for a bounded time; keepalived must ignore them."""

from __future__ import annotations

import argparse
import socket
import struct
import time
from ipaddress import ip_address

VRRP = 112
HIGHEST_PRIORITY = 255
INTERVAL = 0.1


def checksum(data: bytes) -> int:
    """Return the internet checksum."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def advert(source: bytes, target: bytes, router_id: int, virtual: bytes) -> bytes:
    """Return a VRRPv3 advert with its checksum, which covers the addresses it is sent with."""
    centiseconds = round(INTERVAL * 100)
    head = struct.pack("!BBBBH", 0x31, router_id, HIGHEST_PRIORITY, 1, centiseconds)
    length = len(head) + 2 + len(virtual)
    pseudo = (
        source
        + target
        + (struct.pack("!BBH", 0, VRRP, length) if len(source) == 4 else struct.pack("!IHBB", length, 0, 0, VRRP))
    )
    return head + struct.pack("!H", checksum(pseudo + head + b"\0\0" + virtual)) + virtual


def packet(source: str, target: str, ttl: int, router_id: int, virtual: str) -> bytes:
    """Return the whole IP packet; the kernel fills in length and checksum of an IPv4 header."""
    pair = ip_address(source).packed, ip_address(target).packed
    payload = advert(*pair, router_id, ip_address(virtual).packed)
    if ip_address(source).version == 4:
        return struct.pack("!BBHHHBBH4s4s", 0x45, 0xC0, 0, 0, 0, ttl, VRRP, 0, *pair) + payload
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), VRRP, ttl, *pair) + payload


def main() -> None:
    """Send to each of two balancers in the name of the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("triples", nargs="+", help="BALANCER,BALANCER,VIRTUAL_ADDRESS")
    parser.add_argument("--ttl", type=int, required=True)
    parser.add_argument("--router-id", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    sockets = {family: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) for family in FAMILIES.values()}
    deadline = time.monotonic() + min(options.seconds, 10)
    while time.monotonic() < deadline:
        for one, other, virtual in (triple.split(",") for triple in options.triples):
            for source, target in ((one, other), (other, one)):
                data = packet(source, target, options.ttl, options.router_id, virtual)
                sockets[FAMILIES[ip_address(target).version]].sendto(data, (target, 0))
        time.sleep(INTERVAL)


FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

if __name__ == "__main__":
    main()
