#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_backup
short_description: Ensure that a recent pgBackRest backup of a type exists
version_added: 1.0.0
description:
  - Takes a backup unless the stanza has a recent enough one of the type, or of a type that includes it. A full backup
    serves as a differential and an incremental one, a differential as an incremental one.
  - Only backups of the stanza's current database count.
  - While another backup runs, the module waits for it, then checks again.
  - Handles the repositories in turn. If one fails, the others still get their backup; the module fails at the end.
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
    description: Type of the backup.
    type: str
    choices: [full, diff, incr]
    default: full
  max_age:
    description: Greatest age in seconds of a backup that serves. Any age serves when unset; V(0) always takes a backup.
    type: int
  repository:
    description: Number of the only repository to handle; all in turn when unset.
    type: int
  timeout:
    description: Seconds within which each repository must have the backup, including the wait for another one.
    type: int
    default: 43200
seealso:
  - module: holdfast.ha.pgbackrest_stanza
  - module: holdfast.ha.pgbackrest_info
"""

EXAMPLES = r"""
- name: Ensure a first full backup
  holdfast.ha.pgbackrest_backup:
    stanza: lab

- name: Ensure a differential backup of the last day
  holdfast.ha.pgbackrest_backup:
    stanza: lab
    type: diff
    max_age: 86400
"""

RETURN = r"""
backups:
  description:
    - The backup that serves in each repository, in the shape of RV(holdfast.ha.pgbackrest_info#module:stanzas[].last)
      with C(repository), its number. For a backup that is yet to be taken, only the number is known.
  returned: always, but with invalid options
  type: list
  elements: dict
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import (
    BACKUP_TYPES,
    PgBackRestError,
    describe_backup,
    of_repository,
)
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import (
    COMMON_SPEC,
    BackupOutcome,
    Deadline,
    PgBackRest,
    client_of,
    converge_backup,
    predict_absent,
)


def result(outcomes: Sequence[BackupOutcome], wanted: str) -> dict[str, Any]:
    """Return the module's result for backups that were kept, taken or would be taken."""
    return {
        "changed": any(outcome.step == "take" for outcome in outcomes),
        "backups": [described(outcome) for outcome in outcomes],
        "diff": {
            "before": {f"repo{each.repository}": each.previous and each.previous.label for each in outcomes},
            "after": {
                f"repo{each.repository}": each.backup.label if each.backup else f"a new {wanted} backup"
                for each in outcomes
            },
        },
    }


def described(outcome: BackupOutcome) -> dict[str, Any]:
    """Return the backup of a repository as plain data."""
    backup = {} if outcome.backup is None else describe_backup(outcome.backup, int(time.time()))
    return {"repository": outcome.repository, **backup}


def converge(client: PgBackRest, params: Mapping[str, Any], dry_run: bool) -> tuple[list[BackupOutcome], list[str]]:
    """Ensure the backups, repository by repository; return them and the others' errors."""
    stanza = params["stanza"]
    repositories = of_repository(client.repositories(stanza), params["repository"])
    outcomes: list[BackupOutcome] = []
    errors: list[str] = []
    for repository in [each.repository for each in repositories]:
        try:
            outcomes.append(
                converge_backup(
                    client,
                    stanza,
                    params["type"],
                    params["max_age"],
                    Deadline(params["timeout"]),
                    dry_run=dry_run,
                    repository=repository,
                )
            )
        except PgBackRestError as error:
            errors.append(f"repository {repository}: {error}" if len(repositories) > 1 else str(error))
    return outcomes, errors


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "stanza": {"type": "str", "required": True},
            "type": {"type": "str", "choices": list(BACKUP_TYPES), "default": "full"},
            "max_age": {"type": "int"},
            "repository": {"type": "int"},
            "timeout": {"type": "int", "default": 43200},
            **COMMON_SPEC,
        },
        supports_check_mode=True,
    )
    predict_absent(module, backups=[])
    try:
        outcomes, errors = converge(client_of(module), module.params, module.check_mode)
    except PgBackRestError as error:
        module.fail_json(msg=str(error), backups=[])
    answer = result(outcomes, module.params["type"])
    if errors:
        module.fail_json(msg="; ".join(errors), **answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
