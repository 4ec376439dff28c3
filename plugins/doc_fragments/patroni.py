# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options shared by the modules that talk to Patroni."""

from __future__ import annotations


class ModuleDocFragment:
    """The connection to the members' REST interfaces."""

    DOCUMENTATION = r"""
options:
  endpoints:
    description:
      - Base URLs of the members' REST interfaces, as their C(connect_address) says,
        such as V(https://198.51.100.11:8008).
      - All are asked in parallel; changes go to the first that answers.
    type: list
    elements: str
    required: true
  ca:
    description: Certificate authority to verify the members with.
    type: path
  cert:
    description: Client certificate, needed for changes where Patroni verifies clients.
    type: path
  key:
    description: Key of the client certificate.
    type: path
  username:
    description: User of the REST interface, needed for changes.
    type: str
  password:
    description: Password of that user.
    type: str
  request_timeout:
    description: Seconds to wait for one endpoint's answer.
    type: float
    default: 3.0
attributes:
  action_group:
    description: Takes the defaults of C(module_defaults) for C(group/holdfast.ha.patroni).
    support: full
    membership: [holdfast.ha.patroni]
"""
