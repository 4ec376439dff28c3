#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: clone_preflight
short_description: Check that a clone can be created or removed as declared
version_added: 1.0.0
description:
  - Fails with every problem, each with the variable of the role P(holdfast.ha.clone#role), its value and the fix.
    Problems are a directory that belongs to something else, a port of another clone, and a clone of another target in
    the same directory.
  - Changes nothing. Run it as root on the clone's host.
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.pgbackrest.reads
  - holdfast.ha.pgbackrest.stanza
options:
  directory:
    description: Directory of the clone.
    type: str
    required: true
  data_directory:
    description: PostgreSQL's data directory in it.
    type: path
    required: true
  record:
    description: Path of the record of the clone on this port.
    type: path
    required: true
  port:
    description: Port of the clone.
    type: int
    required: true
  target:
    description: The target, as M(holdfast.ha.pgbackrest_target) returns it. Unset when the clone is to be removed.
    type: dict
  set:
    description: Label of the backup that the user chose.
    type: str
  anew:
    description: Whether an existing clone may be replaced.
    type: bool
    default: false
  listens:
    description: Whether the clone listens on TCP.
    type: bool
    default: false
  clients:
    description: Networks whose clients may log in over TCP.
    type: list
    elements: str
    default: []
  cluster_port:
    description: Port of the cluster's PostgreSQL on this host, if there is one.
    type: int
  reserved:
    description: Paths that the clone must not use.
    type: list
    elements: path
    default: []
  parameters:
    description: Names of PostgreSQL's parameters that the user sets.
    type: list
    elements: str
    default: []
  fixed:
    description: Names of parameters that the user may not set.
    type: list
    elements: str
    default: []
seealso:
  - module: holdfast.ha.pgbackrest_restore
"""

EXAMPLES = r"""
- name: Check that the clone's directory and port are free
  holdfast.ha.clone_preflight:
    stanza: lab
    directory: /srv/clone
    data_directory: /srv/clone/data
    record: /etc/holdfast/clone-5433/record.json
    port: 5433
    target: "{{ judged.target }}"
"""

RETURN = r"""
interrupted:
  description: Whether a run that made the clone was interrupted.
  returned: success
  type: bool
lost:
  description: Whether the clone was made, but its data is gone.
  returned: success
  type: bool
"""

import os
import pwd
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import safe_path
from ansible_collections.holdfast.ha.plugins.module_utils.clone import (
    Found,
    Wanted,
    interrupted,
    lost,
    parse_record,
    refusals,
)
from ansible_collections.holdfast.ha.plugins.module_utils.restore import parse_marker, request_of


def wanted_of(params: dict[str, Any]) -> Wanted:
    """Return the desired clone of the parameters."""
    return Wanted(
        directory=params["directory"],
        port=params["port"],
        stanza=params["stanza"],
        request=request_of(params["target"], params["set"]) if params["target"] else None,
        anew=params["anew"],
        listens=params["listens"],
        clients=tuple(params["clients"]),
        cluster_port=params["cluster_port"],
        reserved=tuple(params["reserved"]),
        parameters=tuple(params["parameters"]),
        fixed=tuple(params["fixed"]),
    )


def find(directory: Path, data: Path, record: Path) -> Found:
    """Return the observed state of the host."""
    return Found(
        record=parse_record(_read(record)),
        marker=parse_marker(_read(data.with_name(f"{data.name}.restore.json"))),
        filled=_filled(directory),
        data=_filled(data),
        real=os.path.realpath(directory),
        names=tuple(sorted(path.name for path in directory.iterdir())) if directory.is_dir() else (),
        homes=tuple(entry.pw_dir for entry in pwd.getpwall()),
    )


def _filled(path: Path) -> bool:
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def _read(path: Path) -> str:
    return (safe_path.read(path) or b"").decode(errors="replace")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "stanza": {"type": "str", "required": True},
            "directory": {"type": "str", "required": True},
            "data_directory": {"type": "path", "required": True},
            "record": {"type": "path", "required": True},
            "port": {"type": "int", "required": True},
            "target": {"type": "dict"},
            "set": {"type": "str"},
            "anew": {"type": "bool", "default": False},
            "listens": {"type": "bool", "default": False},
            "clients": {"type": "list", "elements": "str", "default": []},
            "cluster_port": {"type": "int"},
            "reserved": {"type": "list", "elements": "path", "default": []},
            "parameters": {"type": "list", "elements": "str", "default": []},
            "fixed": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        found = find(Path(params["directory"]), Path(params["data_directory"]), Path(params["record"]))
    except (safe_path.UnsafePathError, OSError) as error:
        module.fail_json(msg=f"clone_directory = {params['directory']}: {error} -- nothing was touched")
    wrong = refusals(wanted_of(params), found)
    if wrong:
        module.fail_json(msg="; ".join(wrong) + " -- nothing was touched")
    module.exit_json(changed=False, interrupted=interrupted(found), lost=lost(found))


if __name__ == "__main__":
    main()
