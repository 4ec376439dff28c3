#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pgbackrest_restore
short_description: Restore a PostgreSQL data directory from pgBackRest, keeping the former one
version_added: 1.0.0
description:
  - Restores a backup beside the data directory and lets PostgreSQL recover it to a target. Only then it replaces the
    data directory. The former one is kept under another name.
  - Each state continues where an interrupted run stopped, which a marker beside the data directory records. Another
    target starts over.
  - The module does not contact Patroni, which must not run from V(recovered) on.
  - Run it as root on a database host, or with O(private_config) on any host that can read the repository. All work on
    and beside the data directory is done as O(user), who must be allowed to write to its parent directory.
author:
  - Holdfast contributors (@holdfast)
attributes:
  check_mode:
    description: Returns the steps that a run would carry out.
    support: full
  diff_mode:
    description: Shows the steps.
    support: full
extends_documentation_fragment:
  - holdfast.ha.pgbackrest.stanza
options:
  path:
    description: PostgreSQL's data directory.
    type: path
    required: true
  state:
    description:
      - V(room) only checks whether a second copy fits on the file system.
      - V(prepared) fetches the files and, unless the target is the latest, proves that recovery reaches the target. The
        database in O(path) may run meanwhile.
      - V(stopped) stops a PostgreSQL that runs on O(path), such as one that a paused Patroni left running.
      - V(recovered) recovers the fetched files to the target, on a new timeline. The timeline is archived as soon as
        the database serves.
      - V(aside) renames a data directory that is no longer used; for the other members.
      - V(placed) renames the former data directory and puts the restored one in its place.
      - V(finished) ends the restore and returns where the former data is.
    type: str
    choices: [room, prepared, stopped, recovered, aside, placed, finished]
    required: true
  target:
    description:
      - The target and its backup, as M(holdfast.ha.pgbackrest_target) returns it. Not needed for V(stopped), V(aside)
        and V(finished).
    type: dict
  set:
    description: The backup's label if the user chose it. Another choice makes an interrupted restore start over.
    type: str
  repository:
    description: The repository's number if the user chose it. Another choice makes an interrupted restore start over.
    type: int
  id:
    description: Id of the restore, as V(prepared) returned it in RV(id). Required for V(aside) and V(finished).
    type: str
  anew:
    description: Whether V(prepared) starts over even where an interrupted restore could continue.
    type: bool
    default: false
  keep:
    description: Whether V(finished) keeps the former data directory.
    type: bool
    default: true
  private_config:
    description:
      - Whether pgBackRest reads a copy of O(config) that has O(path) as its only database. A repository host needs
        this, as its own configuration has only databases on other hosts. The copy may hold the repository's passphrase,
        so only O(user) can read it. It is removed when the restored directory is placed.
    type: bool
    default: false
  archive:
    description: Whether to keep the WAL of the new timeline, so that the next server archives it; V(false) for a clone.
    type: bool
    default: true
  bin_directory:
    description: Directory of PostgreSQL's programs. When unset, those of O(target)'s version, without one the newest.
    type: path
  timeout:
    description: Seconds that fetching and recovery may take, each.
    type: int
    default: 86400
  user:
    description: System user that owns the database.
    type: str
    default: postgres
  config:
    description:
      - Path of pgBackRest's configuration file. pgBackRest's own default when unset, and C(/etc/pgbackrest.conf) with
        O(private_config).
    type: path
seealso:
  - module: holdfast.ha.pgbackrest_target
  - module: holdfast.ha.patroni_reset
"""

EXAMPLES = r"""
- name: Fetch the files and prove the target while the database runs
  holdfast.ha.pgbackrest_restore:
    stanza: lab
    path: /var/lib/postgresql/17/lab
    state: prepared
    target: "{{ judged.target }}"

- name: Recover them on a new timeline
  holdfast.ha.pgbackrest_restore:
    stanza: lab
    path: /var/lib/postgresql/17/lab
    state: recovered
    target: "{{ judged.target }}"
"""

RETURN = r"""
steps:
  description: The steps that were, or would be, carried out.
  returned: success
  type: list
  elements: str
  sample: [begin, fetch, prove]
id:
  description: Id of the restore; null when none is in progress.
  returned: success
  type: str
phase:
  description: The last phase that the restore has reached; null when none is in progress.
  returned: success
  type: str
  sample: prepared
aside:
  description: Where the former data directory is; null when there is none.
  returned: success
  type: str
  sample: /var/lib/postgresql/17/lab.before-20260105T130000Z
seconds:
  description: Seconds that each step took.
  returned: success
  type: dict
  sample: {begin: 0.0, fetch: 4.2}
last_transaction:
  description: Time of the last transaction that recovery replayed, if a step recovered.
  returned: success
  type: str
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import safe_path
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import PgBackRestError
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import COMMON_SPEC, client_of
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_instance import InstanceError
from ansible_collections.holdfast.ha.plugins.module_utils.restore import STATES, RestoreError, request_of
from ansible_collections.holdfast.ha.plugins.module_utils.restore_work import Restore, converge
from ansible_collections.holdfast.ha.plugins.module_utils.service_user import ServiceUserError, as_user

LOCK_SECONDS = 60
POLL_SECONDS = 0.5
ERRORS = (PgBackRestError, RestoreError, InstanceError, OSError)


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the lock of a data directory's restore: a run whose controller died may still be running."""
    with os.fdopen(safe_path.lock_file(path), "w", encoding="utf-8") as lock:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() >= deadline:
                    raise RestoreError(
                        f"another restore is still at work on this host (it holds {path}); wait for its end"
                    ) from error
                time.sleep(POLL_SECONDS)
        yield


def programs(version: str | None, root: Path = Path("/usr/lib/postgresql")) -> Path:
    """Return the programs of a version on a Debian system, those of the newest one with C(None)."""
    versions = [path for path in root.glob("*/bin") if path.parent.name.isdecimal() and (path / "postgres").exists()]
    if version:
        versions = [path for path in versions if path.parent.name == version]
    if not versions:
        wanted = f"PostgreSQL {version}" if version else "PostgreSQL"
        raise RestoreError(f"there is no {wanted} server below {root}; run playbooks/site.yml first")
    return max(versions, key=lambda path: int(path.parent.name))


def restore_of(module: AnsibleModule) -> Restore:
    """Return the restore that the parameters describe; raise RestoreError."""
    params = module.params
    target = params["target"] or {}
    return Restore(
        client=client_of(module),
        stanza=params["stanza"],
        path=Path(params["path"]),
        target=target,
        request=request_of(target, params["set"], params["repository"]) if target else {},
        bin=Path(params["bin_directory"]) if params["bin_directory"] else programs(target.get("postgresql_version")),
        timeout=params["timeout"],
        id=params["id"],
        anew=params["anew"],
        private=params["private_config"],
        archive=params["archive"],
    )


def run(module: AnsibleModule) -> dict[str, Any]:
    """Carry out the restore to the given state, and return the module's result."""
    return converge(restore_of(module), module.params["state"], module.params["keep"], module.check_mode)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "stanza": {"type": "str", "required": True},
            "path": {"type": "path", "required": True},
            "state": {"type": "str", "choices": list(STATES), "required": True},
            "target": {"type": "dict"},
            "set": {"type": "str"},
            "repository": {"type": "int"},
            "id": {"type": "str"},
            "anew": {"type": "bool", "default": False},
            "keep": {"type": "bool", "default": True},
            "private_config": {"type": "bool", "default": False},
            "archive": {"type": "bool", "default": True},
            "bin_directory": {"type": "path"},
            "timeout": {"type": "int", "default": 86400},
            **COMMON_SPEC,
        },
        required_if=[
            ("state", "room", ["target"]),
            ("state", "prepared", ["target"]),
            ("state", "recovered", ["target"]),
            ("state", "placed", ["target"]),
            ("state", "aside", ["id"]),
            ("state", "finished", ["id"]),
        ],
        supports_check_mode=True,
    )
    try:
        with only_one(Path(f"/run/holdfast-restore-{module.params['stanza']}.lock")):
            result = as_user(module.params["user"], lambda: run(module), ERRORS)
    except (ServiceUserError, *ERRORS) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
