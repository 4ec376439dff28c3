#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_check
short_description: Validate a configuration with the installed PostgreSQL before it is deployed
version_added: 1.0.0
description:
  - Has the installed server read parameters, pg_hba.conf and pg_ident.conf on an empty scratch cluster as it would at
    start. No server is started, nothing listens, and the real cluster is not touched.
  - Also asks the installed Patroni, which leaves out or replaces parameters that it does not accept.
  - Tries roles, databases and extensions in the scratch cluster. A running server is asked which ones it has.
  - An accepted configuration is not tried again until it, the server or the host's memory changes.
  - Where PostgreSQL is not installed, only what needs no server is checked.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: V(accepted) is the same in check mode. V(in_effect) predicts restarts.
  diff_mode:
    support: full
    description: With V(in_effect) in check mode, shows the parameters that need a restart.
options:
  state:
    description:
      - V(accepted) fails when the server would not accept a value.
      - V(in_effect) fails when the running server does not have the values. In check mode it reports instead whether
        the server will be restarted for them. Without a running server it reports nothing.
    type: str
    choices: [accepted, in_effect]
    default: accepted
  bin_directory:
    description: Directory of PostgreSQL's programs.
    type: path
    required: true
  sources:
    description: Parameters of PostgreSQL. Later sources win.
    type: list
    elements: dict
    default: []
    suboptions:
      parameters: {description: Values by name., type: dict, default: {}}
      variable: {description: "The user's variable that sets them, empty for the role itself.", type: str, default: ""}
      local: {description: Whether Patroni has them in its local configuration., type: bool, default: false}
      removes: {description: Whether a null removes a parameter. It is refused otherwise., type: bool, default: false}
      recovery: {description: Whether Patroni has them in the recovery configuration., type: bool, default: false}
  owned:
    description: Parameters that a user may not set, each with the alternative.
    type: dict
    default: {}
  dynamic:
    description:
      - The user's additions to Patroni's dynamic configuration, as in the role P(holdfast.ha.patroni#role).
      - Keys and values that Patroni would ignore or misread are refused.
    type: dict
    default: {}
  synchronous_mode:
    description:
      - Patroni's synchronous mode, unless O(dynamic) has one. V(quorum) is refused where Patroni does not support it.
    type: raw
  patroni_version:
    description: Version of Patroni where none is installed yet.
    type: str
    default: ""
  hba:
    description: Content of pg_hba.conf. Without it neither file is checked.
    type: str
  ident:
    description: Content of pg_ident.conf.
    type: str
    default: ""
  hba_path:
    description: Path of pg_hba.conf; files that it includes are searched for in the same directory.
    type: path
    default: /etc/patroni/pg_hba.conf
  encoding: {description: Encoding of a new cluster., type: str, default: UTF8}
  locale: {description: Locale of a new cluster., type: str, default: C.UTF-8}
  roles:
    description: Roles as in the role P(holdfast.ha.postgresql_objects#role).
    type: list
    elements: dict
    default: []
  databases:
    description: Databases as in the role P(holdfast.ha.postgresql_objects#role).
    type: list
    elements: dict
    default: []
  extensions:
    description: Extensions as in the role P(holdfast.ha.postgresql_objects#role).
    type: list
    elements: dict
    default: []
  privileges:
    description: Privileges as in the role P(holdfast.ha.postgresql_objects#role).
    type: list
    elements: dict
    default: []
  reserved:
    description: Names, case-insensitive, that no declared role or database may have, each with its present user.
    type: dict
    default: {}
  restarts:
    description: Whether a parameter that needs a restart must be in effect; otherwise it is only a warning.
    type: bool
    default: true
  member: {description: Name of this host's member in messages., type: str, default: this host}
  socket_directory: {description: Where the running server's socket is., type: path, default: /var/run/postgresql}
  port: {description: Port of the running server., type: int, default: 5432}
  superuser: {description: Superuser as whom the system user postgres may log in., type: str, default: postgres}
  timeout: {description: Seconds within which the values must take effect., type: int, default: 15}
  record:
    description: Name of the record, below C(/var/lib/holdfast/postgresql-check), of the last accepted configuration.
    type: str
    default: server
"""

EXAMPLES = r"""
- name: Validate the configuration with the installed server
  holdfast.ha.postgresql_check:
    bin_directory: /usr/lib/postgresql/17/bin
    sources:
      - {variable: patroni_parameters, parameters: {work_mem: 16MB}}
    hba: |
      local all postgres peer
      hostssl all all 192.0.2.0/24 scram-sha-256
  any_errors_fatal: true
"""

RETURN = r"""
accepted:
  description:
    - Whether the installed server checked and accepted everything. V(false) where it is not installed, and where no
      server runs that could check databases, extensions or privileges.
  returned: success
  type: bool
restart:
  description: Parameters whose values need a restart of this host's server.
  returned: with V(in_effect) in check mode
  type: list
  elements: str
"""

from pathlib import Path

from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_judge import (
    DICTS,
    JUDGED,
    accept,
    await_effect,
    effect,
    predict,
    refuse,
    tell_effect,
    trial_of,
)
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_scratch import ScratchError, Server
from ansible_collections.holdfast.ha.plugins.module_utils.unlogged import UnloggedModule


def main() -> None:
    """Run the module."""
    module = UnloggedModule(
        argument_spec={
            **JUDGED,
            "state": {"type": "str", "choices": ["accepted", "in_effect"], "default": "accepted"},
            "synchronous_mode": {"type": "raw"},
            "patroni_version": {"type": "str", "default": ""},
            "privileges": DICTS,
            "reserved": {"type": "dict", "default": {}},
            "restarts": {"type": "bool", "default": True},
            "member": {"type": "str", "default": "this host"},
            "socket_directory": {"type": "path", "default": "/var/run/postgresql"},
            "port": {"type": "int", "default": 5432},
            "superuser": {"type": "str", "default": "postgres"},
            "timeout": {"type": "int", "default": 15},
            "record": {"type": "str", "default": "server"},
        },
        supports_check_mode=True,
    )
    params = module.params
    server = Server(module.run_command, Path(params["bin_directory"]))
    trial = trial_of(params)
    try:
        if params["state"] == "accepted":
            accepted = accept(module, server, trial)
            refuse(module, trial)
            module.exit_json(changed=False, accepted=accepted)
        elif module.check_mode:
            predict(module, effect(server, params, trial))
            module.exit_json(changed=False, restart=[])
        tell_effect(module, await_effect(server, params, trial))
        module.exit_json(changed=False)
    except ScratchError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
