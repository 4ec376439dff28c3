#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: archive_queue_info
short_description: Report the WAL that waits to be archived
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Counts the WAL files that PostgreSQL has marked as ready to be archived, and returns the age of the oldest.
  - PostgreSQL's own counter of failures does not show this. An asynchronous archiver that can't reach its repository
    makes the server wait rather than fail.
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: Changes nothing.
options:
  data_directory:
    description: The server's data directory.
    type: path
    required: true
  stanza:
    description: The stanza that it archives to.
    type: str
    required: true
  spool_path:
    description: pgBackRest's spool path.
    type: path
    default: /var/spool/pgbackrest
  user:
    description: System user that owns the database; the module reads the directories as this user.
    type: str
    default: postgres
seealso:
  - module: holdfast.ha.pgbackrest_check
"""

EXAMPLES = r"""
- name: See what waits to be archived
  holdfast.ha.archive_queue_info:
    data_directory: /var/lib/postgresql/17/lab
    stanza: lab
  register: queue
"""

RETURN = r"""
waiting:
  description: How many files wait.
  returned: success
  type: int
  sample: 3
age:
  description: Seconds since the oldest file was ready; null when none waits.
  returned: success
  type: int
  sample: 42
error:
  description: pgBackRest's error for the oldest file that it failed to archive; empty without one.
  returned: success
  type: str
  sample: "[103] unable to find a valid repository"
"""

import time
from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.archive_queue import read_queue
from ansible_collections.holdfast.ha.plugins.module_utils.service_user import ServiceUserError, as_user


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "data_directory": {"type": "path", "required": True},
            "stanza": {"type": "str", "required": True},
            "spool_path": {"type": "path", "default": "/var/spool/pgbackrest"},
            "user": {"type": "str", "default": "postgres"},
        },
        supports_check_mode=True,
    )
    given = module.params
    directories = Path(given["data_directory"]), Path(given["spool_path"])
    try:
        found = as_user(
            given["user"], lambda: asdict(read_queue(*directories, given["stanza"], time.time())), (OSError,)
        )
    except (OSError, ServiceUserError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
