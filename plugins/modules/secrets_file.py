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
  - Adds to a variables file every missing secret of a cluster and a password for each SQL role.
  - Keeps the file's contents, including comments, and adds missing keys only. Never prints values.
  - An encrypted file stays encrypted with its vault id and password, and keeps its owner, group and mode. Where all its
    secrets are encrypted in place (C(!vault)), new ones are, too.
  - Any other file is encrypted when a vault password is given, and gets mode 0600. With several passwords,
    C(ANSIBLE_VAULT_ENCRYPT_IDENTITY) selects the vault id.
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
      - The file. By default the C(group_vars/all/secrets.yml) that exists beside an inventory source, otherwise that
        beside the first source.
      - Refused where several sources have one, and where the inventory sets C(ha_secrets) elsewhere.
    type: path
  roles:
    description: SQL roles that need a password, besides those that the inventory's C(*.ha.yml) name.
    type: list
    elements: str
    default: []
  plaintext:
    description: Whether to write an unencrypted file when no vault password is given. For throw-away labs.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Generate the missing secrets
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
