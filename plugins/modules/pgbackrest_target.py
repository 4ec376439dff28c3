#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_target
short_description: Check a recovery target and find the pgBackRest backup to restore
version_added: 1.0.0
description:
  - Refuses a target that can't be reached from the repository. That is a time or LSN before the oldest backup or after
    the end of the archive, and a backup that does not exist, has tablespaces, or is not on the timeline's history.
  - Takes the first repository from which the target can be reached. For a target near the archive's end (V(latest),
    V(xid), V(name)) it leaves out repositories whose archive ends a minute or more before another's.
  - Only recovery itself can show whether a transaction id or a named restore point exists.
  - Changes nothing. Run it on the repository host.
author: Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.pgbackrest
  - holdfast.ha.pgbackrest.stanza
  - holdfast.ha.pgbackrest.reads
options:
  type:
    description:
      - Type of the target. V(latest) is the end of the archive, V(immediate) the point at which the backup is
        consistent.
    type: str
    choices: [latest, immediate, time, lsn, xid, name]
    default: latest
  target:
    description: The time with its offset from UTC, the LSN, the transaction id or the restore point's name.
    type: str
  exclusive:
    description: Whether to stop just before the target instead of just after it.
    type: bool
    default: false
  timeline:
    description: Timeline to recover along; V(latest), V(current) (the backup's) or a number.
    type: str
    default: latest
  repository:
    description: Number of the repository to restore from.
    type: int
  set:
    description: Label of the backup to restore. The newest before the target when unset.
    type: str
seealso:
  - module: holdfast.ha.pgbackrest_restore
"""

EXAMPLES = r"""
- name: Check that a point in time can be restored
  holdfast.ha.pgbackrest_target:
    stanza: lab
    type: time
    target: "2026-01-05 13:00:00+00"
  register: judged
"""

RETURN = r"""
target:
  description: The target and the backup to restore, as M(holdfast.ha.pgbackrest_restore) takes them.
  returned: success
  type: dict
  sample:
    type: time
    value: "2026-01-05 13:00:00+00:00"
    inclusive: true
    timeline: latest
    set: 20260105-010000F
    size: 31457280
    backup_type: full
    backup_finished: 1767574805
    archive_end: "000000010000000000000007"
    postgresql_version: "17"
    archive_arrived: 1767618000
    repository: 1
"""

import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import PgBackRestError
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_archive import judge
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import COMMON_SPEC, client_of
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_target import TARGET_TYPES


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "stanza": {"type": "str", "required": True},
            "type": {"type": "str", "choices": list(TARGET_TYPES), "default": "latest"},
            "target": {"type": "str"},
            "exclusive": {"type": "bool", "default": False},
            "timeline": {"type": "str", "default": "latest"},
            "repository": {"type": "int"},
            "set": {"type": "str"},
            **COMMON_SPEC,
        },
        supports_check_mode=True,
    )
    if shutil.which("pgbackrest") is None:
        module.fail_json(msg="pgbackrest is not installed on this host, so there is no repository to restore from")
    try:
        module.exit_json(changed=False, target=judge(client_of(module), module.params))
    except PgBackRestError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
