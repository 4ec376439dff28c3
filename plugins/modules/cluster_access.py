#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_access
short_description: Show how to reach the clusters, and the next steps
version_added: 1.0.0
description:
  - Shows the addresses and ports of each cluster of the play's hosts and what they serve. Also shows the path of the
    authority's certificate, the file with the passwords, and a command that logs in. Values of secrets are never shown.
  - This is an action plugin, it runs on the controller.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status without changing anything.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options: {}
seealso:
  - module: holdfast.ha.cluster_status
"""

EXAMPLES = r"""
- name: Show how to reach the clusters
  holdfast.ha.cluster_access:
  run_once: true
"""

RETURN = r"""
# Nothing beside what every module returns.
"""
