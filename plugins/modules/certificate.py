#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: certificate
short_description: A host's private key and the certificates made for it
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Keeps a host's key and certificates in one step. It makes the private key (ECDSA P-256) on the host when there is
    none, writes the certificate authority's certificate, and looks at the certificates present.
  - A certificate that is missing, soon ends, says other names than it should, belongs to another key or was issued by
    another authority is issued on the controller, where the action plugin of the same name runs, and installed.
  - What a certificate says comes from O(certificates) alone. Only the public key comes from the host, whose signature
    proves that it has the private one. The host installs a certificate only if it says what O(certificates) says and
    works with its key.
  - A key that the authority has certified for another host is refused; C(issued) in O(authority_directory) has a file
    per public key, named after its SHA-256, that holds the host's name.
  - A host whose facts contain C(ha), C(ha_*), C(certificates_*), C(inventory_*) or C(groups) gets nothing. Ansible may
    let facts replace variables of the inventory, and facts are what a host says of itself.
  - The private key never leaves the host, and the authority's key never the controller.
  - Files are replaced whole, and every decision is taken from what is found on the host, so an interrupted run is
    finished by the next one.
requirements:
  - cryptography >= 38 on the host, to make a key or a signing request
  - cryptography on the controller, where ansible-core has it
attributes:
  check_mode:
    support: full
    description: Predicts changes even where cryptography, the group or the authority are missing as yet.
  diff_mode:
    support: full
    description: Shows which files change and why, never a private key.
options:
  directory:
    description: Directory kept as root's with mode 0755, for the files to be in.
    type: path
    required: true
  private_key_path:
    description: Path of the private key.
    type: path
    required: true
  private_key_owner:
    description: Owner of the private key.
    type: str
    default: root
  private_key_group:
    description: Group that may read the private key.
    type: str
    default: ssl-cert
  private_key_mode:
    description: Mode of the private key, in octal.
    type: str
    default: "0640"
  ca_path:
    description: Path of the certificate authority's certificate.
    type: path
    required: true
  ca_content:
    description:
      - The authority's certificate as PEM. Of several, all are trusted and the first one issues.
      - May only be empty in check mode, for an authority that is yet to be made.
    type: str
    required: true
  certificates:
    description: The certificates to keep.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Path of the certificate.
        type: path
        required: true
      common_name:
        description: Common name of the subject. Without it the subject has none, as etcd's JSON gateway demands.
        type: str
      unit_name:
        description: Organizational unit of a subject without a common name.
        type: str
        default: holdfast
      client:
        description: Whether it also serves a client. One that does not is refused where a client has to show one.
        type: bool
        default: true
      dns:
        description: DNS names.
        type: list
        elements: str
        default: []
      ip:
        description: IP addresses.
        type: list
        elements: str
        default: []
  absent:
    description: Certificates that the host must not have.
    type: list
    elements: path
    default: []
  authority_directory:
    description:
      - Directory on the controller with the authority's C(ca.crt) and C(ca.key). The first one of C(ca.crt) issues.
    type: path
    required: true
  authority_passphrase:
    description: Passphrase of C(ca.key); empty when it has none.
    type: str
    default: ""
  validity_days:
    description: Days a certificate is valid.
    type: int
    default: 730
  signed:
    description: Set by the action plugin, certificates just issued, as PEM, by the path they belong to.
    type: dict
    default: {}
  renew_before_days:
    description: A certificate that ends within this many days is renewed.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Look after the key and the certificate
  holdfast.ha.certificate:
    directory: /etc/holdfast/tls
    private_key_path: /etc/holdfast/tls/host.key
    ca_path: /etc/holdfast/tls/ca.crt
    ca_content: "{{ lookup('ansible.builtin.file', 'pki/ca.crt') }}"
    authority_directory: pki
    certificates:
      - path: /etc/holdfast/tls/host.crt
        common_name: db1
        dns: [db1, localhost]
        ip: [198.51.100.11, 127.0.0.1]
"""

RETURN = r"""
requests:
  description: What the module asks of the action plugin. Empty once everything is installed, and in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path of the certificate.
      type: str
    csr:
      description: A signing request as PEM that names nothing; it proves that the host has the key.
      type: str
reasons:
  description: Why certificates have to be issued, by path.
  returned: success
  type: dict
  sample:
    /etc/holdfast/tls/host.crt:
      - there is no readable certificate
changed_paths:
  description: Files that were, or would be, written.
  returned: success
  type: list
  elements: str
"""

import tempfile
import typing as t
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.holdfast.ha.plugins.module_utils import certificate_files as files
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import (
    Found,
    Wanted,
    first_certificate,
    reasons_to_renew,
)
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_proof import end_of_authority, prove
from ansible_collections.holdfast.ha.plugins.module_utils.safe_path import UnsafePathError

ARGUMENTS = {
    "directory": {"type": "path", "required": True},
    "private_key_path": {"type": "path", "required": True, "no_log": False},
    "private_key_owner": {"type": "str", "default": "root", "no_log": False},
    "private_key_group": {"type": "str", "default": "ssl-cert", "no_log": False},
    "private_key_mode": {"type": "str", "default": "0640", "no_log": False},
    "ca_path": {"type": "path", "required": True},
    "ca_content": {"type": "str", "required": True},
    "certificates": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "path": {"type": "path", "required": True},
            "common_name": {"type": "str"},
            "unit_name": {"type": "str", "default": "holdfast"},
            "client": {"type": "bool", "default": True},
            "dns": {"type": "list", "elements": "str", "default": []},
            "ip": {"type": "list", "elements": "str", "default": []},
        },
    },
    "absent": {"type": "list", "elements": "path", "default": []},
    "authority_directory": {"type": "path", "required": True},
    "authority_passphrase": {"type": "str", "default": "", "no_log": True},
    "validity_days": {"type": "int", "default": 730},
    "signed": {"type": "dict", "default": {}},
    "renew_before_days": {"type": "int", "default": 30},
}


class Keeper:
    """One run: what is found on the host, what has to change, and doing it."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params: dict[str, t.Any] = module.params
        self.wanted = [Wanted.from_entry(entry) for entry in self.params["certificates"]]
        self.ca = first_certificate(self.params["ca_content"])

    def run(self) -> dict[str, t.Any]:
        """Compare, write unless in check mode, and return the module's result."""
        self.warn_of_the_end()
        reasons = {wanted.path: found for wanted in self.wanted if (found := self.reasons(wanted))}
        self.refuse_unfit(reasons)
        key_pem, requests = self.key_and_requests([wanted for wanted in self.wanted if wanted.path in reasons])
        directories = [path for path in [self.params["directory"]] if files.directory_differs(path)]
        changed = [file for file in self.files_wanted(key_pem) if files.differs(file)]
        superfluous = [path for path in self.params["absent"] if Path(path).exists()]
        if not self.module.check_mode:
            self.refuse_unknown_accounts(changed)
            for path in directories:
                files.put_directory(path)
            for file in changed:
                files.put(file)
            for path in superfluous:
                Path(path).unlink()
        return result(reasons, [*directories, *(file.path for file in changed), *superfluous], requests)

    def warn_of_the_end(self) -> None:
        """Warn when the authority ends within a year, for that takes preparation."""
        end = end_of_authority(self.ca) if self.ca else None
        if end and end - datetime.now(UTC) < timedelta(days=365):
            self.module.warn(f"The certificate authority ends on {end:%Y-%m-%d}: put its successor before it in ca.crt")

    def reasons(self, wanted: Wanted) -> tuple[str, ...]:
        """Return why a certificate, the one just signed or the one on disk, won't do."""
        signed = self.params["signed"].get(wanted.path)
        days = self.params["renew_before_days"] if signed is None else 0
        found = self.prove(wanted.path) if signed is None else self.prove_signed(signed)
        return reasons_to_renew(found, wanted, datetime.now(UTC), timedelta(days=days))

    def prove(self, path: str) -> Found | str:
        """Return what a certificate says, or why it is of no use."""
        if self.ca is None:
            return "there is no certificate authority yet"
        return prove(path, self.params["private_key_path"], self.ca)

    def prove_signed(self, pem: str) -> Found | str:
        """Prove a certificate that isn't in its place yet."""
        with tempfile.NamedTemporaryFile(dir=self.module.tmpdir) as staged:
            staged.write(with_newline(pem))
            staged.flush()
            return self.prove(staged.name)

    def key_and_requests(self, unfit: list[Wanted]) -> tuple[bytes | None, list[dict[str, str]]]:
        """Return a new private key (None: the present one is kept) and what has to be signed."""
        path = self.params["private_key_path"]
        if not unfit:
            return None, []
        if self.module.check_mode:
            return None if Path(path).exists() else b"", []
        # A run that changes nothing doesn't come here: loading cryptography is most of what this module costs.
        from ansible_collections.holdfast.ha.plugins.module_utils import certificate_x509 as crypto  # noqa: PLC0415

        if crypto.CRYPTOGRAPHY_ERROR:
            self.module.fail_json(msg=missing_required_lib("cryptography >= 38"), exception=crypto.CRYPTOGRAPHY_ERROR)
        present = crypto.load_key(files.read(path))
        key = present or crypto.new_key()
        request = crypto.new_request(key)
        requests = [{"path": wanted.path, "csr": request} for wanted in unfit]
        return None if present else crypto.key_pem(key), requests

    def files_wanted(self, key_pem: bytes | None) -> list[files.File]:
        """Return every file as it shall be."""
        params = self.params
        key = files.File(
            params["private_key_path"],
            key_pem,
            params["private_key_owner"],
            params["private_key_group"],
            int(params["private_key_mode"], 8),
        )
        public: dict[str, bytes | None] = {params["ca_path"]: with_newline(params["ca_content"])}
        public |= {wanted.path: None for wanted in self.wanted}
        public |= {path: with_newline(pem) for path, pem in params["signed"].items()}
        return [key, *(files.File(path, content, "root", "root", 0o644) for path, content in public.items())]

    def refuse_unfit(self, reasons: dict[str, tuple[str, ...]]) -> None:
        """Fail without an authority, and on signed certificates that won't do."""
        if self.ca is None and not self.module.check_mode:
            self.module.fail_json(msg="ca_content holds no certificate")
        unfit = {path: reasons[path] for path in self.params["signed"] if path in reasons}
        if unfit:
            self.module.fail_json(msg=f"The certificate just signed is refused: {unfit}", reasons=unfit)

    def refuse_unknown_accounts(self, changed: list[files.File]) -> None:
        """Fail before anything is written when an owner or a group doesn't exist."""
        unknown = files.unknown_accounts(changed)
        if unknown:
            self.module.fail_json(
                msg=f"This host has no {', '.join(unknown)}; Debian's package ssl-cert has that group"
            )


def with_newline(pem: str) -> bytes:
    """Return PEM text as bytes that end in exactly one newline."""
    return pem.strip().encode() + b"\n"


def result(
    reasons: t.Mapping[str, t.Sequence[str]], changed_paths: list[str], requests: list[dict[str, str]]
) -> dict[str, t.Any]:
    """Return the module's result; its diff names files and reasons only."""
    before = [f"{path}: {reason}" for path, found in reasons.items() for reason in found]
    after = sorted({*changed_paths, *reasons})
    return {
        "changed": bool(changed_paths or reasons),
        "reasons": reasons,
        "changed_paths": changed_paths,
        "requests": requests,
        "diff": {
            "before": "".join(f"{line}\n" for line in before),
            "after": "".join(f"{path}: as it shall be\n" for path in after),
        },
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        outcome = Keeper(module).run()
    except UnsafePathError as error:
        module.fail_json(msg=str(error))
    except ValueError as error:
        module.fail_json(msg=f"A name, an address or the authority's certificate won't do: {error}")
    module.exit_json(**outcome)


if __name__ == "__main__":
    main()
