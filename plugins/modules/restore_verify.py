#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_verify
short_description: Verify the restore of the newest backup now
version_added: 1.0.0
description:
  - Starts the unit that the role holdfast.ha.restore_verify installed, waits until it ends and returns its record.
  - Fails with the reason when the restore is not proven. Waits for a verification that already runs.
author:
  - Holdfast contributors (@holdfast)
attributes:
  check_mode:
    description: Verifies nothing and returns the last record.
    support: full
  diff_mode:
    description: Changes nothing, so shows no difference.
    support: none
options:
  record:
    description: Path of the record that the unit writes.
    type: path
    required: true
  unit:
    description: The unit.
    type: str
    default: holdfast-restore-verify.service
seealso:
  - module: holdfast.ha.restore_verify_info
"""

EXAMPLES = r"""
- name: Verify now
  holdfast.ha.restore_verify:
    record: /var/lib/holdfast-restore-verify/record.json
"""

RETURN = r"""
record:
  description: The record, in the shape of RV(holdfast.ha.restore_verify_info#module:record).
  returned: always
  type: dict
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.restore_record import read_record


def problem_of(record: dict[str, Any] | None, started: int, unit: str, failure: str) -> str | None:
    """Return why the verification that began at *started* is no proof, or None; *failure* is systemd's."""
    if record is None or record["finished"] < started:
        return f"{unit} left no record, see journalctl -u {unit}: {failure}"
    if failure or record["result"] != "passed":
        return f"backup {record['backup'] or '?'} is not proven to restore: {record['error'] or failure}"
    return None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "record": {"type": "path", "required": True},
            "unit": {"type": "str", "default": "holdfast-restore-verify.service"},
        },
        supports_check_mode=True,
    )
    path, unit = Path(module.params["record"]), module.params["unit"]
    if module.check_mode:
        module.exit_json(changed=False, record=read_record(path))
    started = int(time.time())
    code, _output, error = module.run_command(["systemctl", "start", unit])
    record = read_record(path)
    problem = problem_of(record, started, unit, "" if code == 0 else error.strip())
    if problem:
        module.fail_json(msg=problem, record=record)
    module.exit_json(changed=False, record=record)


if __name__ == "__main__":
    main()
