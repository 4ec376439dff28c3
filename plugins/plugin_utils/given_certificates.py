# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and keys of the user's own, and why a host could not be reached with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted, dns_name, ip_name
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_x509 import chain_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import (
    RefusedError,
    load_certificates,
    load_key,
    owner_of,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_chain import (
    chain_problems,
    strict_problems,
    validity_problems,
)

VARIABLE = "certificates_given"


@dataclass(frozen=True)
class Given:
    """A host's certificates, each with its intermediate ones after it, and their key, all as PEM."""

    certificate: str
    key: str = field(repr=False)
    client_certificate: str = ""

    def of(self, wanted: Wanted) -> str:
        """Return the certificate to install: without a common name, it is the client's."""
        return self.certificate if wanted.common_name is not None else self.client_certificate


def wanted_of(ha: Mapping[str, Any]) -> list[Wanted]:
    """Return the certificates that a host must have, from its C(ha)."""
    named, tls = ha["certificate"], ha["tls"]
    own = Wanted.from_entry({**named, "path": tls["cert"]})
    nameless = Wanted.from_entry({**named, "path": tls["client_cert"], "common_name": None})
    return [own, nameless] if own.client else [own]


def read_given(files: Mapping[str, Any], loader: Any) -> Given:
    """Read the files on the controller, decrypted where they are vaulted; raise RefusedError.

    :arg loader: Ansible's DataLoader.
    """
    texts = {}
    for name in ("certificate", "client_certificate", "key"):
        path = str(files.get(name) or "")
        texts[name] = _text(name, path, loader) if path else ""
        if not path and name != "client_certificate":
            raise RefusedError(f"{VARIABLE}.{name} is missing: name a file on the controller")
    return Given(**texts)


def _text(name: str, path: str, loader: Any) -> str:
    place = loader.path_dwim(path)
    if not Path(place).is_file():
        raise RefusedError(f"{VARIABLE}.{name} = {path}: is no file on the controller; correct the path")
    readable = loader.get_real_file(place)
    try:
        return Path(readable).read_text(encoding="utf-8")
    finally:
        loader.cleanup_tmp_file(readable)


def problems(given: Given, wanted: Sequence[Wanted], trusted: str, now: datetime) -> list[str]:
    """Return why the certificates won't do, each with the variable and the fix.

    :arg trusted: the authorities that hosts trust, as PEM.
    """
    try:
        key, authorities = load_key(given.key.encode(), ""), load_certificates(trusted.encode())
        chains = [(one, load_certificates(given.of(one).encode()) if given.of(one) else []) for one in wanted]
    except RefusedError as error:
        return [f"{VARIABLE}: {error}; give PEM files, and a key without a passphrase (ansible-vault may encrypt it)"]
    found = [text for one, chain in chains for text in _judge(one, chain, key, authorities, now)]
    texts = () if found else ((_name(one), given.of(one)) for one in wanted)
    return found or [f"{name}: {why}" for name, text in texts for why in strict_problems(text, given.key, trusted)]


def _name(wanted: Wanted) -> str:
    return f"{VARIABLE}.{'certificate' if wanted.common_name is not None else 'client_certificate'}"


def _judge(wanted: Wanted, chain: Sequence[Any], key: Any, authorities: Sequence[Any], now: datetime) -> Iterator[str]:
    name = _name(wanted)
    if not chain:
        yield f"{name} is missing: the host needs one for {Path(wanted.path).name}"
        return
    leaf = chain[0]
    if owner_of(key, [leaf]) is None:
        yield f"{name}: its key is not {VARIABLE}.key; put the host's own certificate first, and give its key"
    yield from (f"{name}: {text}" for text in _content(wanted, leaf))
    above = chain_of(leaf, [*chain[1:], *authorities])
    yield from (f"{name}: {text}" for text in validity_problems(leaf, "it", now))
    if not above or above[-1] not in authorities:
        last = [leaf, *above][-1].issuer.rfc4514_string()
        yield f"{name}: leads to {last}, which certificates_ca_directory/ca.crt lacks; add it there, or the one between"
    else:
        yield from (f"{name}: {text}" for text in chain_problems(above, now))


def _content(wanted: Wanted, leaf: Any) -> Iterator[str]:
    """Yield what a certificate's content lacks; more names than needed do no harm."""
    from cryptography import x509  # noqa: PLC0415 - see certificate_authority
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID  # noqa: PLC0415

    found = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    common_name = str(found[0].value) if found else None
    if common_name != wanted.common_name:
        yield f"its common name is {common_name}; it must be {wanted.common_name or 'left out, as etcd requires'}"
    lacking = sorted(wanted.names - _names(leaf))
    if lacking:
        yield f"it lacks the names {', '.join(lacking)}"
    needed = {"serverAuth": ExtendedKeyUsageOID.SERVER_AUTH}
    needed |= {"clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH} if wanted.client else {}
    try:
        usages = list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        usages = list(needed.values())
    for usage in (usage for usage, oid in needed.items() if oid not in usages):
        yield f"it is not for {usage} (extendedKeyUsage)"


def _names(leaf: Any) -> frozenset[str]:
    from cryptography import x509  # noqa: PLC0415 - see certificate_authority

    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    dns = (dns_name(name) for name in names.get_values_for_type(x509.DNSName))
    return frozenset([*dns, *(ip_name(str(address)) for address in names.get_values_for_type(x509.IPAddress))])
