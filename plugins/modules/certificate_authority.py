#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_authority
short_description: Manage the certificate authority on the controller
version_added: 1.0.0
description:
  - Creates the authority that issues the hosts' certificates, and replaces it by another one in steps. No step is taken
    before all hosts have followed the one before it, so that services trust each other throughout.
  - First hosts trust the next authority, too. Then it issues all certificates. At last hosts forget the former one.
    The files in O(directory) alone say how far this is, so that the next run continues an interrupted one.
  - This is an action plugin, it runs on the controller. Run it once per play, but O(state=present) for each host.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Predicts the next step; RV(ca_content) is then what hosts would trust after it.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  directory:
    description:
      - Directory with the authority's C(ca.crt) and C(ca.key). During a replacement C(next.key), C(old.key) and
        C(old.crt) are there, too, and C(rotated) after one.
      - For a next authority of your own, put its C(next.key) there, and its certificate with those above it, up to the
        root, as C(next.crt).
      - Required with O(state=present). Without it, every authority of the run's hosts is meant. Their variables
        C(certificates_ca_directory), C(certificates_ca_passphrase), C(certificates_ca_common_name) and
        C(certificates_ca_validity_days) then say what O(directory), O(passphrase), O(common_name) and O(validity_days)
        are.
    type: path
  passphrase:
    description: Passphrase of all keys there; empty when they have none.
    type: str
    default: ""
  common_name:
    description: Common name of a new authority; one that replaces another has the date after it.
    type: str
    default: Holdfast CA
  validity_days:
    description: Days a new authority is valid.
    type: int
    default: 3650
  state:
    description:
      - V(read) only reads how far a replacement is.
      - V(present) creates the authority if there is none, and with O(replace) one that has ended again.
      - V(rotating) begins to replace the authority, unless that is under way or was completed within O(recent). It also
        replaces one whose C(ca.key) is lost. Of several, none is begun before all can be.
      - V(followed) takes the next step of a replacement if all hosts have followed the one before it. It fails if some
        have not. Without a replacement, it fails if hosts of this run lack something.
    type: str
    choices: [read, present, rotating, followed]
    default: present
  replace:
    description: Whether to make a new authority in the place of one that has ended, which nobody accepts any more.
    type: bool
    default: false
  recent:
    description:
      - An authority that took the place of another one within so many seconds is not replaced again. The file
        C(rotated) in O(directory) says when that was.
    type: float
    default: 3600
  hold:
    description: Whether V(followed) stays at the present step although all hosts have taken it.
    type: bool
    default: false
  register:
    description: The variable in which each host's result of M(holdfast.ha.certificate) in check mode was registered.
    type: str
    default: certificates_result
  proof_register:
    description: The variable in which each host's result of M(holdfast.ha.certificate_probe) was registered.
    type: str
    default: certificates_probe_result
  group:
    description: The group of the hosts.
    type: str
    default: holdfast
seealso:
  - module: holdfast.ha.certificate
  - module: holdfast.ha.certificate_probe
"""

EXAMPLES = r"""
- name: Begin to replace the authority
  holdfast.ha.certificate_authority:
    directory: pki
    state: rotating
  run_once: true
"""

RETURN = r"""
phase:
  description:
    - How far a replacement is. V(settled) when there is none. Of several authorities, this and the following describe
      the one that is furthest behind.
  returned: success
  type: str
  choices: [settled, trust, issue, distrust]
before:
  description: The same before this run; empty where there was no authority.
  returned: success
  type: str
issuer:
  description: The subject of the authority that issues.
  returned: success
  type: str
  sample: CN=Holdfast CA
issuer_content:
  description: The certificate of the authority that issues, and those above it, as PEM.
  returned: success
  type: str
ca_content:
  description: The certificates that hosts are to trust, as PEM.
  returned: success
  type: str
authorities:
  description: C(phase), C(before), C(issuer), C(issuer_content), C(ca_content) and C(changed) of each host's authority.
  returned: success, not with O(state=present)
  type: dict
  sample: {db1: {phase: settled}}
left:
  description: The hosts that have not followed yet, each with the reason.
  returned: with O(state=followed)
  type: dict
  sample: {db3: takes no part in this run}
"""
