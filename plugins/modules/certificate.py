#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: certificate
short_description: Manage a host's private key and its certificates
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Manages a host's key and certificates in one step. It creates the private key (ECDSA P-256) on the host when there
    is none, writes the certificate authority's certificate, and checks the existing certificates.
  - A certificate is issued when it is missing or soon expires, has other names than declared, belongs to another key or
    comes from another authority. The action plugin of the same name issues it on the controller.
  - A certificate's content comes from O(certificates) alone. The host contributes only the public key, and a signature
    that proves that it has the private key. The host installs a certificate only if it matches O(certificates) and its
    key.
  - A key that the authority has certified for another host is refused. C(issued) in O(authority_directory) holds a file
    per public key, named after its SHA-256, with the host's name.
  - A host whose facts contain C(ha), C(ha_*), C(certificates_*), C(inventory_*) or C(groups) gets no certificate.
    Ansible may let facts, which the host itself supplies, replace variables of the inventory.
  - The private key never leaves the host. The authority's key never leaves the controller.
  - Files are replaced atomically, and every decision follows from the state of the host, so the next run completes an
    interrupted one.
requirements:
  - cryptography >= 38 on the host, to make a key or a signing request
  - cryptography on the controller, where ansible-core has it
attributes:
  check_mode:
    support: full
    description: Predicts changes even where cryptography, the group or the authority do not exist yet.
  diff_mode:
    support: full
    description: Shows which files change and why, never a private key.
options:
  directory:
    description: Directory of the files; it belongs to root and has mode 0755.
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
      - The authority's certificate as PEM. Of several, all are trusted and the first one is the issuer.
      - May be empty in check mode only, for an authority that does not exist yet.
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
        description: Common name of the subject. Without it the subject has none, as etcd's JSON gateway requires.
        type: str
      unit_name:
        description: Organizational unit of a subject without a common name.
        type: str
        default: holdfast
      client:
        description:
          - Whether the certificate is valid for clients, too. Otherwise servers that require a client certificate
            refuse it.
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
      - Directory on the controller with the authority's C(ca.crt) and C(ca.key). The first certificate in C(ca.crt) is
        the issuer.
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
    description: The certificates just issued, as PEM, by their path. The action plugin sets it.
    type: dict
    default: {}
  renew_before_days:
    description: A certificate that expires within this many days is renewed.
    type: int
    default: 30
"""

EXAMPLES = r"""
- name: Manage the key and the certificate
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
  description: The signing requests for the action plugin. Empty once everything is installed, and in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Path of the certificate.
      type: str
    csr:
      description: A signing request as PEM without a subject; it proves that the host has the key.
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

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_keeper import Keeper
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
