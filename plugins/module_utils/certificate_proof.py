# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifies a certificate by using it: a TLS handshake in memory, with the certificate on both sides.

It needs only the standard library and little time, because it runs on every host in every run.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Found, end_of, parse_peer_certificate

_MOST_FLIGHTS = 10
_STRICT = ssl.VERIFY_X509_STRICT | 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which the module ssl has no name for


def prove(certificate_path: str, key_path: str, ca: str, *, strict: bool = False) -> Found | str:
    """Return a certificate's content, or why it fails for a server whose clients trust only ``ca`` (PEM).

    :arg strict: demand all that RFC 5280 does, up to the root, as clients with Python 3.13 do; at whatever time.
    """
    flags = _STRICT if strict else ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        server = _context(ssl.PROTOCOL_TLS_SERVER, certificate_path, key_path, ca, flags)
        client = _context(ssl.PROTOCOL_TLS_CLIENT, certificate_path, key_path, ca, flags)
        try:
            return parse_peer_certificate(_handshake(client, server))
        except ssl.SSLCertVerificationError:
            server.verify_mode = ssl.CERT_NONE
            return replace(parse_peer_certificate(_handshake(client, server)), client=False)
    except ssl.SSLCertVerificationError as error:
        return f"it isn't accepted: {error.verify_message}"
    except ssl.SSLError as error:
        return f"it can't be used with the private key: {error.reason or error}"
    except OSError:
        return "there is no certificate, or no private key"


def end_of_authority(ca: str) -> datetime | None:
    """Return the last moment of an authority's validity, or None when the PEM text holds none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=ca)
    except ssl.SSLError:
        return None
    return min((end_of(found) for found in context.get_ca_certs()), default=None)


def _context(protocol: int, certificate_path: str, key_path: str, ca: str, flags: ssl.VerifyFlags) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= flags
    context.load_verify_locations(cadata=ca)
    # without one OpenSSL would ask a terminal for the passphrase of an encrypted key
    context.load_cert_chain(certificate_path, key_path, password=lambda: "-")
    return context


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> Mapping[str, Any]:
    """Return the certificate the client saw, once both sides have accepted the other's."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.wrap_bio(to_client, to_server)
    waiting = [caller, server.wrap_bio(to_server, to_client, server_side=True)]
    for _flight in range(_MOST_FLIGHTS):
        waiting = [side for side in waiting if not _advance(side)]
    return caller.getpeercert() or {}


def _advance(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
