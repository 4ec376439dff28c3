# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations


class ModuleDocFragment:
    """Which packages an upgrade takes along, of rolling_info, which predicts it, and packages_upgrade."""

    DOCUMENTATION = r"""
options:
  names:
    description:
      - The packages of the stack, as in C(ha.packages). Those that are not installed are ignored.
      - All installed packages that are built from the same source belong to them. A package without files of its own
        brings in those that it depends on and that are named after it, as C(postgresql) does C(postgresql-17).
    type: list
    elements: str
    default: []
  versions:
    description:
      - Exact versions of packages, whatever they belong to, instead of the newest ones. One that is not installed has
        no effect.
      - Fails before anything is changed if the host can't install one of them.
    type: dict
    default: {}
  allow_downgrade:
    description: Whether O(versions) may name a version that is older than the installed one.
    type: bool
    default: false
  lock_timeout:
    description: How long to wait for another package manager, in seconds.
    type: int
    default: 60
"""
