# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options shared by the modules that run pgBackRest."""

from __future__ import annotations


class ModuleDocFragment:
    """How pgBackRest is run on the repository host."""

    DOCUMENTATION = r"""
options:
  user:
    description: System user that owns the repository and runs C(pgbackrest).
    type: str
    default: postgres
  config:
    description: Path of the configuration file. pgBackRest's own default when unset.
    type: path
attributes:
  action_group:
    description: Takes the defaults of C(module_defaults) for C(group/holdfast.ha.pgbackrest).
    support: full
    membership: [holdfast.ha.pgbackrest]
"""

    STANZA = r"""
options:
  stanza:
    description: Name of the stanza.
    type: str
    required: true
"""

    READS = r"""
attributes:
  check_mode:
    description: Runs the same in check mode.
    support: full
  diff_mode:
    description: Changes nothing, so shows no difference.
    support: none
"""
