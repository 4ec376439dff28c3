# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """How the etcd modules reach a cluster."""

    DOCUMENTATION = r"""
options:
  ca_path:
    description: Certificate authority to verify the members with.
    type: path
    required: true
  certificate_path:
    description:
      - Client certificate. With authentication on, etcd's JSON gateway refuses one that has a common name.
    type: path
    required: true
  private_key_path:
    description: Key of the client certificate.
    type: path
    required: true
attributes:
  action_group:
    description: Takes the defaults of C(module_defaults) for C(group/holdfast.ha.etcd).
    support: full
    membership: [holdfast.ha.etcd]
"""

    MEMBER = r"""
options:
  endpoint:
    description: Client URL of the member on this host, one of O(endpoints).
    type: str
    required: true
  endpoints:
    description: Client URLs of all members.
    type: list
    elements: str
    required: true
"""
