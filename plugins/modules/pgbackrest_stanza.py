#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_stanza
short_description: Ensure that a pgBackRest stanza exists, fits its database and archives WAL
version_added: 1.0.0
description:
  - Creates the stanza in each repository where it is missing, from the configured database that is the primary.
  - Deletes the info files that an interrupted creation left behind. A repository that still holds backup sets, archived
    WAL or anything else of the stanza is never cleared; that is an error.
  - Proves archiving with C(pgbackrest check), which archives one WAL segment of the primary. The check detects a
    database that was upgraded or initialized again. The stanza is then upgraded when it holds no backups or O(upgrade)
    allows it. Otherwise that is an error, because the new database's backups would expire the old ones.
  - Transient failures (a database that starts, fails over or does not archive yet) are retried until O(timeout).
  - Run it on the repository host.
author:
  - Holdfast contributors (@holdfast)
attributes:
  check_mode:
    description: Predicts from the repository alone, without asking a database or archiving.
    support: full
  diff_mode:
    description: Shows the stanza's status before and after.
    support: full
extends_documentation_fragment:
  - holdfast.ha.pgbackrest
  - holdfast.ha.pgbackrest.stanza
options:
  check:
    description:
      - When to run C(pgbackrest check); V(changed) runs it only after the stanza was created.
      - The module never waits for a running backup; RV(check) returns it.
    type: str
    choices: [always, changed, never]
    default: always
  upgrade:
    description: Whether a stanza that holds backups of another database may be upgraded to the primary's.
    type: bool
    default: false
  timeout:
    description: Seconds within which the stanza must exist and the check must pass.
    type: int
    default: 120
seealso:
  - module: holdfast.ha.pgbackrest_backup
  - module: holdfast.ha.pgbackrest_info
"""

EXAMPLES = r"""
- name: Ensure that the stanza lab exists and archives WAL
  holdfast.ha.pgbackrest_stanza:
    stanza: lab
"""

RETURN = r"""
actions:
  description: The actions carried out, or predicted in check mode; of V(delete), V(create) and V(upgrade).
  returned: success
  type: list
  elements: str
  sample: [create]
check:
  description: Result of C(pgbackrest check); V(passed), V(not_run) or V(backup_running).
  returned: success
  type: str
  sample: passed
partly:
  description: Whether another repository has the stanza and can take a backup.
  returned: failure
  type: bool
stanzas:
  description: The stanza in each repository, in the shape of RV(holdfast.ha.pgbackrest_info#module:stanzas).
  returned: success
  type: list
  elements: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import PgBackRestError, Stanza, describe_stanza
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import (
    COMMON_SPEC,
    Deadline,
    PartlyError,
    StanzaOutcome,
    client_of,
    converge_stanza,
    predict_absent,
)


def result(outcome: StanzaOutcome, dry_run: bool) -> dict[str, Any]:
    """Return the module's result for what was, or would be, done."""
    return {
        "changed": bool(outcome.actions),
        "actions": list(outcome.actions),
        "check": outcome.check,
        "stanzas": [describe_stanza(stanza, int(time.time())) for stanza in outcome.after],
        "diff": {
            "before": {f"repo{each.repository}": shown(each) for each in outcome.before},
            "after": {
                f"repo{each.repository}": shown(each, predicted=bool(outcome.actions) and dry_run)
                for each in outcome.after
            },
        },
    }


def shown(stanza: Stanza, predicted: bool = False) -> dict[str, str | None]:
    """Return a stanza as the diff shows it."""
    return {"stanza": "ok" if predicted else stanza.message, "system_id": stanza.system_id}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "stanza": {"type": "str", "required": True},
            "check": {"type": "str", "choices": ["always", "changed", "never"], "default": "always"},
            "upgrade": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 120},
            **COMMON_SPEC,
        },
        supports_check_mode=True,
    )
    predict_absent(module, actions=["create"], check="not_run", stanzas=[])
    params = module.params
    try:
        outcome = converge_stanza(
            client_of(module),
            params["stanza"],
            params["check"],
            Deadline(params["timeout"]),
            dry_run=module.check_mode,
            upgrade=params["upgrade"],
        )
    except PgBackRestError as error:
        module.fail_json(msg=str(error), partly=isinstance(error, PartlyError))
    if "upgrade" in outcome.actions and any(stanza.backups for stanza in outcome.after):
        module.warn(f"stanza {params['stanza']}: the database is a new one; earlier backups are of the former one")
    module.exit_json(**result(outcome, module.check_mode))


if __name__ == "__main__":
    main()
