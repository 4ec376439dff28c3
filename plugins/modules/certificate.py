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
  - With O(given), it installs certificates and keys of the user's own instead. They must match O(certificates).
  - With O(units), it then reloads or restarts the services that started, or reloaded, before a file changed. Both times
    are read from the host, so that a run completes an interrupted one.
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
    description: Shows which files change and why, and which services read them; never a private key.
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
      - The authority's certificate as PEM. Of several, all are trusted.
      - May be empty in check mode only, for an authority that does not exist yet.
    type: str
    required: true
  issuer:
    description:
      - Which certificates of O(ca_content) the host's may come from, as PEM. The first one by default.
      - The action plugin sets it to the one that C(ca.key) in O(authority_directory) belongs to. Where that key is
        lost, it allows all, and no certificate is renewed while the authority is replaced.
    type: str
    default: ""
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
      - Directory on the controller with the authority's C(ca.crt) and C(ca.key). The issuer is the certificate in
        C(ca.crt) that C(ca.key) belongs to.
    type: path
    required: true
  authority_passphrase:
    description: Passphrase of C(ca.key); empty when it has none.
    type: str
    default: ""
  validity_days:
    description:
      - Days a certificate is valid, less up to a tenth of them by the host's name. So the certificates of hosts that
        were set up on one day don't end on one day.
    type: int
    default: 730
  given:
    description:
      - Files on the controller with the user's own certificates, which are installed instead of issued ones. They may
        be encrypted by Ansible Vault.
    type: dict
    suboptions:
      certificate:
        description: The certificate with the host's name as common name, and the intermediate ones after it.
        type: path
      client_certificate:
        description: The certificate without a common name, likewise. Required for hosts that have such a one.
        type: path
      key:
        description: The private key of both, without a passphrase of its own.
        type: path
  private_key:
    description: The content of the given key. The action plugin sets it.
    type: str
    default: ""
  issued_since:
    description:
      - Certificates that were issued before this moment, in seconds since the epoch, are issued again. V(0) for none.
    type: float
    default: 0
  new_key:
    description: Whether a host whose certificates are issued again because of O(issued_since) also makes a new key.
    type: bool
    default: false
  units:
    description: The services that read the files, in the order in which they reload or restart.
    type: list
    elements: dict
    default: []
    suboptions:
      component:
        description: The name of the component; it is returned as it is.
        type: str
        required: true
      unit:
        description: The name of its systemd unit.
        type: str
        required: true
      restart_on:
        description: The unit is restarted when it started before one of these files was last modified.
        type: list
        elements: path
        default: []
      reload_on:
        description: The unit is reloaded when its state last changed before one of these files was last modified.
        type: list
        elements: path
        default: []
      amended:
        description:
          - Those of O(units[].reload_on) for which a reload is enough only where Patroni runs with the collection's
            amendments. Otherwise the unit is restarted.
        type: list
        elements: path
        default: []
      managed:
        description: Whether something else restarts the unit, such as M(holdfast.ha.etcd_restart).
        type: bool
        default: false
  signed:
    description: The certificates to install, just issued or given, as PEM, by their path. The action plugin sets it.
    type: dict
    default: {}
  renew_before_days:
    description: A certificate that expires within this many days, at most half of its validity, is renewed.
    type: int
    default: 60
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
units:
  description:
    - Those of O(units) in their order, whether each is active, and why it had to restart (C(reasons)) or to reload
      (C(reloads)). Empty while certificates are still to be issued.
  returned: success
  type: list
  elements: dict
  sample:
    - component: etcd
      unit: etcd.service
      active: true
      reasons: [/etc/holdfast/tls/ca.crt changed since its start]
      reloads: []
"""

from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.certificate_keeper import Keeper
from ansible_collections.holdfast.ha.plugins.module_utils.safe_path import UnsafePathError
from ansible_collections.holdfast.ha.plugins.module_utils.unlogged import UnloggedModule

PATHS = {"type": "list", "elements": "path", "default": []}
UNIT = {
    "component": {"type": "str", "required": True},
    "unit": {"type": "str", "required": True},
    "restart_on": PATHS,
    "reload_on": PATHS,
    "amended": PATHS,
    "managed": {"type": "bool", "default": False},
}
GIVEN = {
    "certificate": {"type": "path"},
    "client_certificate": {"type": "path"},
    "key": {"type": "path", "no_log": False},
}
ARGUMENTS: dict[str, Any] = {
    "directory": {"type": "path", "required": True},
    "private_key_path": {"type": "path", "required": True, "no_log": False},
    "private_key_owner": {"type": "str", "default": "root", "no_log": False},
    "private_key_group": {"type": "str", "default": "ssl-cert", "no_log": False},
    "private_key_mode": {"type": "str", "default": "0640", "no_log": False},
    "ca_path": {"type": "path", "required": True},
    "ca_content": {"type": "str", "required": True},
    "issuer": {"type": "str", "default": ""},
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
    "given": {"type": "dict", "options": GIVEN},
    "private_key": {"type": "str", "default": "", "no_log": True},
    "signed": {"type": "dict", "default": {}},
    "renew_before_days": {"type": "int", "default": 60},
    "issued_since": {"type": "float", "default": 0},
    "new_key": {"type": "bool", "default": False, "no_log": False},
    "units": {"type": "list", "elements": "dict", "default": [], "options": UNIT},
}


def main() -> None:
    """Run the module."""
    module = UnloggedModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        outcome = Keeper(module).run()
    except UnsafePathError as error:
        module.fail_json(msg=str(error))
    except ValueError as error:
        module.fail_json(msg=f"A name, an address or the authority's certificate won't do: {error}")
    module.exit_json(**outcome)


if __name__ == "__main__":
    main()
