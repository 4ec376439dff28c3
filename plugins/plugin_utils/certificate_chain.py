# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a chain of authorities is one that every program accepts; some of them verify only up to a root."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.certificate_proof import prove
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_x509 import begin, end

# ansible-core requires it, so it is installed wherever this runs; ansible-test imports without it.
with contextlib.suppress(ImportError):
    from cryptography import x509


def chain_problems(chain: Sequence[Any], now: datetime) -> Iterator[str]:
    """Yield what is wrong with authorities, the issuer of hosts' certificates first, each issued by the next one."""
    for below, one in enumerate(chain):
        name = one.subject.rfc4514_string()
        try:
            constraints = one.extensions.get_extension_for_class(x509.BasicConstraints).value
        except x509.ExtensionNotFound:
            constraints = None
        if constraints is None or not constraints.ca:
            yield f"{name} is no authority (basicConstraints without CA:TRUE)"
        elif constraints.path_length is not None and constraints.path_length < below:
            yield f"{name} allows {constraints.path_length} authorities below it (pathlen), and there are {below}"
        yield from validity_problems(one, name, now)
    if chain and chain[-1].issuer != chain[-1].subject:
        yield f"the authority above {chain[-1].subject.rfc4514_string()} is missing: add those up to the root"


def strict_problems(certificates: str, key: str, trusted: str) -> Iterator[str]:
    """Yield why clients that demand all of RFC 5280 refuse a certificate, the first one of its chain; all are PEM.

    Clients with Python 3.13 do, where an authority without keyUsage or a certificate without authorityKeyIdentifier
    is accepted by others.
    """
    with tempfile.TemporaryDirectory() as folder:
        crt, private = Path(folder, "crt"), Path(folder, "key")
        for path, text in ((crt, certificates), (private, key)):
            path.touch(mode=0o600)
            path.write_text(text, encoding="utf-8")
        found = prove(str(crt), str(private), trusted, strict=True)
    if isinstance(found, str):
        yield f"{found} (RFC 5280); have it issued anew"


def validity_problems(certificate: Any, name: str, now: datetime) -> Iterator[str]:
    """Yield why a certificate is not valid now."""
    if not begin(certificate) <= now < end(certificate):
        yield f"{name} is valid from {begin(certificate):%Y-%m-%d} to {end(certificate):%Y-%m-%d} only: renew it"
