#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_stanza
short_description: Make a pgBackRest stanza exist, fit its database and archive WAL
version_added: 1.0.0
description:
  - Creates the stanza in each repository where it is missing, from whichever configured database is the primary.
  - Clears what an interrupted creation left behind, its info files. A repository that still holds backup sets, archived
    WAL or anything else of the stanza is never cleared, that is an error.
  - Proves archiving with C(pgbackrest check), which archives one WAL segment of the primary. A database that was
    initialized anew or upgraded is noticed by it. The stanza is upgraded to fit when it holds no backups or
    O(upgrade) allows it; otherwise that is an error, because the new database's backups would expire the old ones.
  - Failures that pass (a database that starts, fails over or does not archive yet) are tried again until O(timeout).
  - Run it on the repository host.
author:
  - Holdfast contributors (@holdfast)
attributes:
  check_mode:
    description: Predicts from the repository alone, asks no database and archives nothing.
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
      - A running backup is never waited for, RV(check) then says so.
    type: str
    choices: [always, changed, never]
    default: always
  upgrade:
    description: Whether a stanza that holds backups of another database may go over to the primary's.
    type: bool
    default: false
  timeout:
    description: Seconds until the stanza must exist and the check must pass.
    type: int
    default: 120
seealso:
  - module: holdfast.ha.pgbackrest_backup
  - module: holdfast.ha.pgbackrest_info
"""

EXAMPLES = r"""
- name: Have the stanza lab and a proof that WAL is archived
  holdfast.ha.pgbackrest_stanza:
    stanza: lab
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done; of V(delete), V(create) and V(upgrade).
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
    """Return a stanza as the difference shows it."""
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
