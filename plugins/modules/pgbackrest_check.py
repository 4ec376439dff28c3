#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_check
short_description: Prove that WAL reaches the pgBackRest repository
version_added: 1.0.0
description:
  - Runs C(pgbackrest check), which makes the primary archive one WAL segment and waits until the repository has it.
  - Database hosts whose pgBackRest server does not answer within 2 s are left out and returned in RV(silent). For each
    of them pgBackRest would wait many times its C(io-timeout). Without the primary the check fails.
  - A failed check is a result, not a failure. Run it on the repository host.
author: Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.pgbackrest
  - holdfast.ha.pgbackrest.stanza
  - holdfast.ha.pgbackrest.reads
options:
  timeout:
    description: Seconds within which the segment must arrive.
    type: int
    default: 30
seealso:
  - module: holdfast.ha.pgbackrest_stanza
"""

EXAMPLES = r"""
- name: Check archiving
  holdfast.ha.pgbackrest_check:
    stanza: lab
  register: archiving
  failed_when: archiving.check != 'passed'
"""

RETURN = r"""
check:
  description: V(passed), V(backup_running) when a backup holds the lock, otherwise pgBackRest's error.
  returned: always
  type: str
  sample: passed
silent:
  description: The addresses of the database hosts whose pgBackRest server does not answer.
  returned: always
  type: list
  elements: str
  sample: [198.51.100.13]
"""

import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import (
    COMMON_SPEC,
    LOCK_ACQUIRE,
    TIMED_OUT,
    Answer,
    client_of,
)

GRACE_SECONDS = 5


def outcome(answer: Answer, timeout: int) -> str:
    """Return the result for what the command answered."""
    if answer.code == TIMED_OUT:
        return f"pgbackrest check took longer than {timeout + GRACE_SECONDS} s"
    return {0: "passed", LOCK_ACQUIRE: "backup_running"}.get(answer.code, answer.error)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "stanza": {"type": "str", "required": True},
            "timeout": {"type": "int", "default": 30},
            **COMMON_SPEC,
        },
        supports_check_mode=True,
    )
    if shutil.which("pgbackrest") is None:
        module.exit_json(changed=False, check="pgbackrest is not installed on this host", silent=[])
    timeout = module.params["timeout"]
    answer, silent = client_of(module).check(
        f"--archive-timeout={timeout}", stanza=module.params["stanza"], timeout=timeout + GRACE_SECONDS
    )
    module.exit_json(changed=False, check=outcome(answer, timeout), silent=silent)


if __name__ == "__main__":
    main()
