# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of the certificate authority after which services would refuse each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.certificate_x509 import chain_of
from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Deployed
from ansible_collections.holdfast.ha.plugins.plugin_utils.authority_files import AuthorityDirectory
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import (
    RefusedError,
    load_certificates,
    spki,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.declared import trusted
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import Difference, Host, mapping

VARIABLE = "certificates_ca_directory"
SEE = "docs/certificates.md"
ROTATE = f"put the former ca.crt and ca.key back, the other ones beside them as next.crt and next.key, and run \
playbooks/rotate_authority.yml: {SEE}"
TRUST_FIRST = f"have ca.crt name both, and run site.yml, before certificates of the other one are given: {SEE}"


def judge_authorities(seen: Sequence[tuple[Host, Deployed]]) -> Iterator[Difference]:
    """Yield a change of authority that most hosts of a cluster are not ready for.

    A few may be: one that comes back after a change has old certificates, which this run replaces.
    """
    known = [(host, deployed) for host, deployed in seen if deployed.trusted and trusted(host.variables)]
    strange = [host for host, deployed in known if not is_trusted(host, deployed)]
    needed = [host for host, deployed in known if deployed.keeps is False]
    if 2 * len(strange) > len(known):
        fix = TRUST_FIRST if given(strange[0]) else ROTATE
        text = f"services on {names(strange)} do not trust the authority that certificates would come from"
        yield Difference(strange[0].name, VARIABLE, text, fix)
    elif 2 * len(needed) > len(known):
        text = f"ca.crt lacks the authority that the certificates on {names(needed)} come from"
        yield Difference(needed[0].name, VARIABLE, text, f"keep it there until these have other certificates: {SEE}")


def is_trusted(host: Host, deployed: Deployed) -> bool:
    """Return whether the host's services trust where its certificate would come from; True where that is unclear."""
    try:
        present = load_certificates(deployed.trusted.encode())
        if given(host):
            leaf, *between = load_certificates(Path(str(given(host)["certificate"])).expanduser().read_bytes())
            chain = chain_of(leaf, [*between, *present])
            return bool(chain) and chain[-1] in present
        directory = Path(str(host.variables[VARIABLE])).expanduser()
        state = AuthorityDirectory(directory, str(host.variables.get("certificates_ca_passphrase") or "")).read()
    except (RefusedError, OSError, KeyError):
        return True
    return state is None or any(is_same(state.issuer, one) for one in present)


def is_same(one: Any, other: Any) -> bool:
    """Return whether two certificates are of one authority, such as a renewed one with the same key."""
    return bool(one.subject == other.subject and spki(one.public_key()) == spki(other.public_key()))


def given(host: Host) -> Mapping[str, Any]:
    """Return the user's own certificates for a host, {} without any."""
    return mapping(host.variables.get("certificates_given"))


def names(hosts: Sequence[Host]) -> str:
    """Return the hosts' names."""
    return ", ".join(sorted(host.name for host in hosts))
