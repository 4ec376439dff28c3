#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_position_info
short_description: Report the WAL position of a member's database
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Returns where the WAL of a data directory ends, as the running server reports it, and whether the server is or was a
    primary.
  - Requires neither etcd nor Patroni.
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: Changes nothing.
options:
  data_directory:
    description: The data directory.
    type: path
    required: true
  user:
    description: Operating system user that may connect as a superuser through the local socket.
    type: str
    default: postgres
seealso:
  - plugin: holdfast.ha.most_advanced
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Read this member's position
  holdfast.ha.postgresql_position_info:
    data_directory: /var/lib/postgresql/lab
  register: position
"""

RETURN = r"""
position:
  description:
    - C(system_id), C(timeline), C(primary) (it is the primary, or was when it stopped or crashed) and C(lsn), the end
      of its WAL; C(lsn) is null when the server does not run.
    - Null where there is no PostgreSQL data directory.
  returned: success
  type: dict
  sample: {system_id: "7444412345678901234", timeline: 4, primary: false, lsn: 0/110000A0}
"""

from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_instance import parse_control
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_position import QUESTION, position
from ansible_collections.holdfast.ha.plugins.module_utils.service_user import ServiceUserError, as_user

ERRORS = (FileNotFoundError, OSError)
PROGRAMS = "/usr/lib/postgresql/{version}/bin/{name}"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "data_directory": {"type": "path", "required": True},
            "user": {"type": "str", "default": "postgres"},
        },
        supports_check_mode=True,
    )
    data = Path(module.params["data_directory"])
    user = module.params["user"]
    as_them = ["runuser", "-u", user, "--"]
    try:
        version = as_user(user, lambda: (data / "PG_VERSION").read_text(encoding="utf-8").strip(), ERRORS)
    except FileNotFoundError:
        module.exit_json(changed=False, position=None)
    except (OSError, ServiceUserError) as error:
        module.fail_json(msg=f"no database there: {error}")
    if not version.isdecimal():
        module.fail_json(msg=f"no database there: {data}/PG_VERSION holds no version")
    program = PROGRAMS.format(version=version, name="pg_controldata")
    _code, control, _error = module.run_command([*as_them, program, str(data)], check_rc=True, cwd="/")
    ask = [*as_them, "psql", "-XAtq", "-d", "postgres", "-c", QUESTION]
    code, answer, _error = module.run_command(ask, environ_update={"PGCONNECT_TIMEOUT": "5"}, cwd="/")
    module.exit_json(changed=False, position=asdict(position(parse_control(control), answer if code == 0 else None)))


if __name__ == "__main__":
    main()
