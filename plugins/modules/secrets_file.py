#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: secrets_file
short_description: Generate and rotate the secrets of an inventory
version_added: 1.0.0
description:
  - Adds to a variables file every missing secret of a cluster and a password for each SQL role.
  - Keeps the file's contents, including comments, and adds missing keys only. Never prints values.
  - An encrypted file stays encrypted with its vault id and password, and keeps its owner, group and mode. Where all its
    secrets are encrypted in place (C(!vault)), new ones are, too.
  - Any other file is encrypted when a vault password is given, and gets mode 0600. With several passwords,
    C(ANSIBLE_VAULT_ENCRYPT_IDENTITY) selects the vault id.
  - With O(rotate), it gives secrets new values and keeps their former ones in C(ha_secrets_previous) and
    C(ha_role_passwords_previous) of the same file, until O(settled) removes them. Both leave the rest of the file
    alone, and protect it as before.
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
  rotate:
    description:
      - "Secrets that get new values: keys of C(ha_secrets), SQL roles, or V(passwords) for all that can be replaced in
        place. A name that is both is written with its variable, such as C(ha_role_passwords.app)."
      - One that has a former value keeps its new one, because its rotation has not ended.
    type: list
    elements: str
    default: []
  settled:
    description:
      - Secrets, with their variables, whose former values are removed.
      - A warning names those that the file does not have.
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

- name: Give two of them new values
  holdfast.ha.secrets_file:
    rotate: [etcd_patroni, app]
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
rotated:
  description: Names of the secrets that got a new value.
  returned: success
  type: list
  elements: str
  sample: [ha_secrets.etcd_patroni]
removed:
  description: Names of the secrets whose former value was removed.
  returned: success
  type: list
  elements: str
  sample: [ha_secrets.etcd_patroni]
encrypted:
  description: Whether the file is encrypted.
  returned: success
  type: bool
"""
