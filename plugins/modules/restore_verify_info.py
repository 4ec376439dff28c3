#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_verify_info
short_description: Report the last verification of a backup's restore
version_added: 1.0.0
description:
  - Reads the record that the job of the role holdfast.ha.restore_verify wrote.
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.pgbackrest.reads
options:
  record:
    description: Path of the record.
    type: path
    required: true
seealso:
  - module: holdfast.ha.restore_verify
"""

EXAMPLES = r"""
- name: Read the last verification
  holdfast.ha.restore_verify_info:
    record: /var/lib/holdfast-restore-verify/record.json
"""

RETURN = r"""
record:
  description:
    - The last verification; null when there was none. Times are seconds since the epoch, sizes bytes.
    - C(canary) is when the newest restored canary was written, C(canary_age) its age in seconds at the archive's end.
      Without a canary, the age is that of the backup.
    - C(older) is the older backup that was verified last, C(older_target) its recovery target. C(older_result) is
      V(passed), V(failed), or V(not run) in this verification.
    - C(repository) is the number of the verified repository, C(turns) the older backup that was verified last in each
      repository.
  returned: success
  type: dict
  sample:
    result: passed
    error: ""
    backup: 20260105-010000F
    backup_type: full
    finished: 1767582000
    last_passed: 1767582000
    bytes: 31457280
    megabytes_per_second: 182.4
    last_transaction: "2026-01-05 02:59:58.5+00"
    checksums: passed
    amcheck: passed
    assertions: 1
    canary: 1767581967
    canary_age: 31
    older: 20260104-010000F
    older_target: time 2026-01-04 17:21:09+00:00
    older_result: passed
    repository: 1
    turns: {"1": 20260104-010000F}
    seconds: {restore: 0.2, replay: 1.1, amcheck: 0.4, assertions: 0.0, checksums: 0.1, total: 2.0}
age:
  description: Seconds since the last verification ended; null when there was none.
  returned: success
  type: int
passed_age:
  description: Seconds since the last verification that passed; null when none did.
  returned: success
  type: int
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.restore_record import read_record


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"record": {"type": "path", "required": True}}, supports_check_mode=True)
    record = read_record(Path(module.params["record"]))
    now = int(time.time())
    passed = record["last_passed"] if record else None
    module.exit_json(
        changed=False,
        record=record,
        age=now - record["finished"] if record else None,
        passed_age=None if passed is None else now - passed,
    )


if __name__ == "__main__":
    main()
