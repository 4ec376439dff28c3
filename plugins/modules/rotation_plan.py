#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rotation_plan
short_description: Judge what is to be rotated, and show what is left to do
version_added: 1.0.0
description:
  - Judges the options of C(rotate.yml), and shows the order of the work by what M(holdfast.ha.preflight_report) found.
  - This is an action plugin, it runs on the controller. Run it once per play.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status without changing anything, as it never does.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  rotate:
    description:
      - "What to rotate: secrets and SQL roles by their names, V(passwords), V(certificates), V(authority), or V(all)."
    type: list
    elements: str
    default: []
  without:
    description: Hosts that keep the former secrets for now.
    type: list
    elements: str
    default: []
  moves:
    description: What is left to do by cluster. Without it only the other options are judged.
    type: dict
  group:
    description: The group of the hosts.
    type: str
    default: holdfast
seealso:
  - module: holdfast.ha.preflight_report
  - module: holdfast.ha.secrets_file
"""

EXAMPLES = r"""
- name: Show what is left to do
  holdfast.ha.rotation_plan:
    rotate: [etcd_patroni, app]
    moves: "{{ preflight_report.moves }}"
  run_once: true
"""

RETURN = r"""
parts:
  description: What rotate.yml rotates, V(passwords), V(certificates) or V(authority).
  returned: success
  type: list
  elements: str
names:
  description: The chosen secrets with anything left to do.
  returned: success
  type: list
  elements: str
  sample: [etcd_patroni, ha_role_passwords.app]
former:
  description: The chosen secrets that have a former value, with their variables.
  returned: success
  type: list
  elements: str
  sample: [ha_secrets.etcd_patroni, ha_role_passwords.app]
"""
