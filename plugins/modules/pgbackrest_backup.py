#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_backup
short_description: Have a pgBackRest backup of a type, taking one where none serves
version_added: 0.1.0
description:
  - Takes a backup unless the stanza has one of the type, or of a type that contains it, which is young enough.
    A full backup serves as a differential and an incremental one, a differential as an incremental one.
  - Only backups of the database that the stanza serves now count.
  - While another backup runs it waits for that one, then judges again.
  - Run it on the repository host, after M(holdfast.ha.pgbackrest_stanza).
author:
  - Holdfast contributors (@holdfast)
attributes:
  check_mode:
    description: Predicts from the repository alone.
    support: full
  diff_mode:
    description: Shows the newest serving backup before and after.
    support: full
extends_documentation_fragment:
  - holdfast.ha.pgbackrest
  - holdfast.ha.pgbackrest.stanza
options:
  type:
    description: Type of the wanted backup.
    type: str
    choices: [full, diff, incr]
    default: full
  max_age:
    description: Age in seconds above which a backup no longer serves. Any age serves when unset; V(0) always takes one.
    type: int
  timeout:
    description: Seconds until the backup must be there, waiting for another one included.
    type: int
    default: 43200
seealso:
  - module: holdfast.ha.pgbackrest_stanza
  - module: holdfast.ha.pgbackrest_info
"""

EXAMPLES = r"""
- name: Have a first full backup
  holdfast.ha.pgbackrest_backup:
    stanza: lab

- name: Have a differential backup of today
  holdfast.ha.pgbackrest_backup:
    stanza: lab
    type: diff
    max_age: 86400
"""

RETURN = r"""
backup:
  description: The backup that serves, in the shape of RV(holdfast.ha.pgbackrest_info#module:stanzas[].last); null when
    it is yet to be taken.
  returned: success
  type: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import (
    BACKUP_TYPES,
    PgBackRestError,
    describe_backup,
)
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import (
    COMMON_SPEC,
    BackupOutcome,
    Deadline,
    client_of,
    converge_backup,
    predict_absent,
)


def result(outcome: BackupOutcome, wanted: str) -> dict[str, Any]:
    """Return the module's result for a backup that was kept, taken or would be taken."""
    described = None if outcome.backup is None else describe_backup(outcome.backup, int(time.time()))
    before = None if outcome.previous is None else outcome.previous.label
    label = f"a new {wanted} backup" if outcome.backup is None else outcome.backup.label
    return {
        "changed": outcome.step == "take",
        "backup": described,
        "diff": {"before": {"backup": before}, "after": {"backup": label}},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "stanza": {"type": "str", "required": True},
            "type": {"type": "str", "choices": list(BACKUP_TYPES), "default": "full"},
            "max_age": {"type": "int"},
            "timeout": {"type": "int", "default": 43200},
            **COMMON_SPEC,
        },
        supports_check_mode=True,
    )
    predict_absent(module, backup=None)
    params = module.params
    try:
        outcome = converge_backup(
            client_of(module),
            params["stanza"],
            params["type"],
            params["max_age"],
            Deadline(params["timeout"]),
            dry_run=module.check_mode,
        )
    except PgBackRestError as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result(outcome, params["type"]))


if __name__ == "__main__":
    main()
