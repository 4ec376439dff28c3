#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_info
short_description: Report pgBackRest stanzas, backups and archived WAL
version_added: 1.0.0
description:
  - Returns the parsed output of C(pgbackrest info), with the ages and sizes of the newest backups.
  - Also reports the installed version and the number of processors, by which a configuration may be sized.
  - On a host without pgBackRest the result is empty and RV(version) is null.
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.pgbackrest
  - holdfast.ha.pgbackrest.reads
options:
  stanza:
    description: The only stanza to report. It is reported as missing when the repository does not know it.
    type: str
  stanzas:
    description: Whether to ask the repository at all; V(false) reports the installation only.
    type: bool
    default: true
  volume:
    description: Path of a file system whose size is reported, too. It need not exist yet.
    type: path
seealso:
  - module: holdfast.ha.pgbackrest_stanza
  - module: holdfast.ha.pgbackrest_backup
"""

EXAMPLES = r"""
- name: Read the backups of the stanza lab
  holdfast.ha.pgbackrest_info:
    stanza: lab
  register: backups

- name: Require a full backup of the last eight days
  ansible.builtin.assert:
    that:
      - backups.stanzas[0].last.full is not none
      - backups.stanzas[0].last.full.age < 8 * 86400
"""

RETURN = r"""
version:
  description: Installed pgBackRest version; null when there is none.
  returned: success
  type: str
  sample: "2.55.1"
processors:
  description: Number of processors that this process may use.
  returned: success
  type: int
  sample: 4
volume_size:
  description: Size in bytes of the file system of O(volume); null without it.
  returned: success
  type: int
stanzas:
  description: The stanzas as C(pgbackrest info) reports them, each once for every repository.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the stanza.
      type: str
      returned: always
    repository:
      description: Number of the repository, 1 for pgBackRest's C(repo1).
      type: int
      returned: always
    ok:
      description: Whether the stanza's status is C(ok); it has a backup then.
      type: bool
      returned: always
    code:
      description: pgBackRest's status code, C(0) for ok, C(1) for a missing stanza, C(2) for no valid backups.
      type: int
      returned: always
    message:
      description: pgBackRest's status message.
      type: str
      returned: always
    locked:
      description: Whether a backup runs on this host.
      type: bool
      returned: always
    cipher:
      description: Cipher of the repository.
      type: str
      returned: always
    system_id:
      description: System identifier of the stanza's current database.
      type: str
      returned: always
    postgresql_version:
      description: PostgreSQL version of the stanza's current database.
      type: str
      returned: always
    backups:
      description: All backups, oldest first, in the shape of RV(stanzas[].last).
      type: list
      elements: dict
      returned: always
    last:
      description:
        - The newest V(full), V(diff) and V(incr) backup of the current database; null where there is none.
        - Times are seconds since the epoch, C(age) and C(duration) are seconds, sizes are bytes.
      type: dict
      returned: always
    wal:
      description: First and last archived WAL segment of each database that the stanza has had.
      type: list
      elements: dict
      returned: always
"""

import os
import shutil
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import PgBackRestError, describe_stanza
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import (
    COMMON_SPEC,
    client_of,
)


def size_of(path: Path) -> int:
    """Return the size of the file system that a path lies on, or will once it is made."""
    return shutil.disk_usage(next(there for there in (path, *path.parents) if there.exists())).total


def report(module: AnsibleModule) -> dict[str, Any]:
    """Return the module's result."""
    processors = len(os.sched_getaffinity(0))
    volume = module.params["volume"]
    host = {"processors": processors, "volume_size": size_of(Path(volume)) if volume else None}
    if shutil.which("pgbackrest") is None:
        return {"version": None, **host, "stanzas": []}
    client = client_of(module)
    name = module.params["stanza"]
    stanzas = client.stanzas(name) if module.params["stanzas"] else ()
    now = int(time.time())
    return {
        "version": client.version(),
        **host,
        "stanzas": [describe_stanza(stanza, now) for stanza in stanzas],
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "stanza": {"type": "str"},
            "stanzas": {"type": "bool", "default": True},
            "volume": {"type": "path"},
            **COMMON_SPEC,
        },
        supports_check_mode=True,
    )
    try:
        module.exit_json(changed=False, **report(module))
    except PgBackRestError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
