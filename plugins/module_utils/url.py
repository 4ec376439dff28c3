# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses in URLs."""

from __future__ import annotations


def bracketed(address: str) -> str:
    """Return an address as it stands before a port: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address


def https_url(address: str, port: int | str) -> str:
    """Return the URL of an HTTPS port at an IPv4 or IPv6 address, or a name."""
    return f"https://{bracketed(address)}:{port}"
