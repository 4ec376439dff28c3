#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets_file
short_description: Generate the secrets of an inventory
version_added: 1.0.0
description:
  - Completes a variables file with every secret that a cluster needs and a password for each SQL role.
  - What the file has is kept, comments too; only missing keys are added. Values are never printed.
  - An encrypted file stays encrypted with the vault id and the password that it has, and keeps its owner, group and
    mode. Where all its secrets are encrypted in place (C(!vault)), so are those that are added.
  - Any other file is encrypted when a vault password is given, with the id in C(ANSIBLE_VAULT_ENCRYPT_IDENTITY) where
    several are, and belongs to its owner alone (mode 0600).
  - This is an action plugin, it runs on the controller.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status without changing the file.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  path:
    description:
      - The file. By default C(group_vars/all/secrets.yml) beside an inventory source, the first where none has it.
      - Refused where several have it, and where the inventory has C(ha_secrets) from elsewhere.
    type: path
  roles:
    description: SQL roles that need a password, beside those that the inventory's C(*.ha.yml) name.
    type: list
    elements: str
    default: []
  plaintext:
    description: Accept to write an unencrypted file when no vault password is given. For throw-away labs.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Generate what is missing
  holdfast.ha.secrets_file:
    roles: [app]
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
  sample: inventory/prod/group_vars/all/secrets.yml
added:
  description: Names of the generated secrets.
  returned: success
  type: list
  elements: str
  sample: [ha_secrets.etcd_root, ha_role_passwords.app]
encrypted:
  description: Whether the file is encrypted.
  returned: success
  type: bool
"""
