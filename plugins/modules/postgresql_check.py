#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: postgresql_check
short_description: Have the installed PostgreSQL judge a configuration before it is put in place
version_added: 1.0.0
description:
  - Gives parameters, pg_hba.conf and pg_ident.conf to the installed server, which reads them as if it started, on an
    empty scratch cluster. No server is started, nothing listens, and the real cluster is not touched.
  - The installed Patroni is asked as well, which leaves out or replaces what it does not take.
  - Roles, databases and extensions are tried in the scratch cluster. Where a server runs, it is asked what it has.
  - What was accepted once is not tried again until the configuration, the server or the host's memory changes.
  - Where PostgreSQL is not installed, only what needs no server is judged.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: V(accepted) judges as without it. V(in_effect) predicts restarts.
  diff_mode:
    support: full
    description: With V(in_effect) in check mode, shows the parameters that a restart brings into effect.
options:
  state:
    description:
      - V(accepted) fails when a value can't take effect.
      - V(in_effect) fails when the running server does not have the values; in check mode it says instead whether the
        server will be restarted for them. Without a running server it says nothing.
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
      variable: {description: "The user's variable, empty for the role itself.", type: str, default: ""}
      local: {description: Whether Patroni has them in its local configuration., type: bool, default: false}
      removes: {description: Whether a null removes a parameter. It is refused otherwise., type: bool, default: false}
      recovery: {description: Whether Patroni has them in the recovery configuration., type: bool, default: false}
  owned:
    description: Parameters that a user may not declare, each with what to do instead.
    type: dict
    default: {}
  dynamic:
    description:
      - What a user adds to Patroni's dynamic configuration, as in the role P(holdfast.ha.patroni#role).
      - What Patroni would ignore or take for something else is refused.
    type: dict
    default: {}
  synchronous_mode:
    description: Patroni's synchronous mode, unless O(dynamic) has one. V(quorum) is refused of a Patroni without it.
    type: raw
  patroni_version:
    description: Version of Patroni where none is installed yet.
    type: str
    default: ""
  hba:
    description: Content of pg_hba.conf. Without it neither file is judged.
    type: str
  ident:
    description: Content of pg_ident.conf.
    type: str
    default: ""
  hba_path:
    description: Where pg_hba.conf will be; what it includes is looked for beside it.
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
    description: Names, in any letters, that no declared role or database may have, each with what has it.
    type: dict
    default: {}
  restarts:
    description: Whether what takes a restart must be in effect; otherwise it is only warned of.
    type: bool
    default: true
  member: {description: Name of this host's member in messages., type: str, default: this host}
  socket_directory: {description: Where the running server's socket is., type: path, default: /var/run/postgresql}
  port: {description: Port of the running server., type: int, default: 5432}
  superuser: {description: Superuser that the system user postgres may be., type: str, default: postgres}
  timeout: {description: Seconds within which the values must be in effect., type: int, default: 15}
  record:
    description: Name under C(/var/lib/holdfast/postgresql-check) of what was accepted last.
    type: str
    default: server
"""

EXAMPLES = r"""
- name: Have the installed server judge the configuration
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
    - Whether the installed server judged, and took, all of it. V(false) where it is not installed, and where none runs
      that could be asked about databases, extensions or privileges.
  returned: success
  type: bool
restart:
  description: Parameters whose value takes a restart of this host's server.
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
