#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_switchover
short_description: Switch over to another member of a Patroni cluster
version_added: 1.0.0
description:
  - A planned switchover. The old leader shuts down cleanly, and the candidate takes over with every committed
    transaction.
  - Where clients connect through PgBouncers, these hold the clients meanwhile, so that clients wait instead of failing.
  - Refuses, before it changes anything, a candidate that is unknown, may not lead, does not stream, lags, or is not
    synchronous in synchronous mode. Also refuses when the leader is not healthy, the cluster is in maintenance mode, or
    a PgBouncer's console can't be used.
  - Run it on one host per cluster.
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.patroni
attributes:
  check_mode:
    support: full
    description: Makes the same checks, but does not switch over.
  diff_mode:
    support: full
    description: Shows the leader before and after.
options:
  leader:
    description:
      - Name of the member to lead. Nothing is done when it already leads and is healthy.
      - Without it, one of the eligible standbys takes over, so every run is a change. This is faster where replication
        is synchronous, because Patroni has standbys that were not named sleep for two seconds before they follow.
    type: str
  poolers:
    description: The PgBouncers that hold their clients, all at the same time.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name used in messages., type: str, required: true}
      address: {description: "Address of the PgBouncer, as its certificate has it.", type: str, required: true}
      port: {description: Its port., type: int, default: 6432}
  pooler_username:
    description: User of the admin consoles.
    type: str
    default: holdfast
  pooler_password:
    description: Password of that user.
    type: str
  pooler_ca:
    description: Certificate authority to verify the PgBouncers with; without it they are not verified.
    type: path
  pool:
    description:
      - Where the PgBouncers find the leader, such as HAProxy's pool for it.
      - Clients are released when a new connection there reaches the new leader, identified by its TLS certificate.
      - Without it, they are released as soon as the new leader leads.
    type: dict
    suboptions:
      address: {description: Its address., type: str, required: true}
      port: {description: Its port., type: int, required: true}
  superuser:
    description:
      - A role that logs in to the leader for a checkpoint before clients are held, which shortens the shutdown.
      - If the leader archives, the module also fills its WAL segment up to the last 1 MiB, within two seconds.
        Otherwise the leader would send the rest to the standbys while clients wait. The module skips this for a role
        that lacks the permission or can't see the standbys.
      - Requires psycopg2 on the host, as O(poolers) does.
    type: str
  superuser_password:
    description: Password of that role.
    type: str
  pause_timeout:
    description: Seconds that running transactions have to end when clients are held.
    type: float
    default: 5.0
  pause_required:
    description:
      - When these transactions don't end in time, V(true) releases all clients and refuses the switchover.
      - V(false) switches over nevertheless. Transactions that still run then fail; all others wait.
    type: bool
    default: true
  timeout:
    description: Seconds for the checkpoint, for the candidate to lead, and for O(pool) to reach it, each.
    type: float
    default: 20.0
  healthy_timeout:
    description: Seconds within which all members that were healthy before must follow the new leader.
    type: float
    default: 120.0
notes:
  - The module releases the clients on every exit, including errors, SIGTERM and SIGHUP, and survives the loss of the
    controller. It does not survive the loss of its own host. PgBouncers on other hosts then hold their clients until
    they receive C(RESUME) or the signal C(USR2), or are restarted; C(playbooks/switchover.yml) sets a timer for that on
    each.
  - A PgBouncer in session mode pauses only after all its clients have disconnected; there O(pause_timeout) usually
    expires.
"""

EXAMPLES = r"""
- name: Switch over to db2
  holdfast.ha.patroni_switchover:
    endpoints: [https://198.51.100.11:8008, https://198.51.100.12:8008, https://198.51.100.13:8008]
    ca: /etc/holdfast/tls/ca.crt
    username: holdfast
    password: "{{ ha_secrets.patroni_rest }}"
    leader: db2

- name: Switch over to another member while the poolers hold their clients
  holdfast.ha.patroni_switchover:
    endpoints: [https://198.51.100.11:8008, https://198.51.100.12:8008]
    ca: /etc/holdfast/tls/ca.crt
    username: holdfast
    password: "{{ ha_secrets.patroni_rest }}"
    poolers:
      - {name: db1, address: 198.51.100.11, port: 6432}
      - {name: db2, address: 198.51.100.12, port: 6432}
    pooler_password: "{{ ha_secrets.pgbouncer }}"
    pooler_ca: /etc/holdfast/tls/ca.crt
    pool: {address: 198.51.100.100, port: 5000}
"""

RETURN = r"""
old_leader:
  description: Name of the member that led.
  returned: success
  type: str
leader:
  description: Name of the member that leads now; in check mode, of the one that would or is likely to.
  returned: success
  type: str
timeline:
  description: The timeline on which it leads; in check mode and without a change, the present one.
  returned: success
  type: int
seconds:
  description:
    - Seconds that each phase took, in order; empty when nothing was done. Held clients waited for RV(seconds.paused),
      RV(seconds.promoted) and RV(seconds.switched) at most.
  returned: success
  type: dict
  contains:
    checkpointed: {description: "The checkpoint, and until the standbys had all WAL.", type: float}
    paused: {description: "Until all PgBouncers held their clients and no transaction ran.", type: float}
    promoted: {description: Until another member led on its new timeline., type: float}
    switched: {description: "Until the pool reached it and the clients were released.", type: float}
    healthy: {description: "Until the others followed it, synchronously where required.", type: float}
  sample: {checkpointed: 0.1, paused: 0.02, promoted: 1.1, switched: 0.2, healthy: 3.5}
"""

import signal
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import Member
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import ARGUMENT_SPEC, ClusterError
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_switchover import Plan, RefusedError
from ansible_collections.holdfast.ha.plugins.module_utils.pgbouncer import POOLERS, PoolerError
from ansible_collections.holdfast.ha.plugins.module_utils.switchover import Switchover

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class InterruptedBySignalError(Exception):
    """A signal ends the module; the message names it."""


def unwind_on_signals() -> None:
    """Let the first signal end the module cleanly with an exception; ignore later ones."""

    def unwind(number: int, _frame: Any) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise InterruptedBySignalError(f"interrupted by {signal.Signals(number).name}")

    for each in SIGNALS:
        signal.signal(each, unwind)


def result(made: Plan, leader: Member, seconds: dict[str, float]) -> dict[str, Any]:
    """Return the module's result; leader is the present one, or the likely one if nothing was done."""
    return {
        "changed": made.needed,
        "old_leader": made.leader.name,
        "leader": leader.name,
        "timeline": leader.timeline,
        "seconds": seconds,
        "diff": {"before": {"leader": made.leader.name}, "after": {"leader": leader.name}},
    }


def converge(switchover: Switchover, wanted: str | None, check_mode: bool) -> dict[str, Any]:
    """Plan, switch over unless in check mode or not needed, and return the module's result."""
    made = switchover.plan(wanted)
    if check_mode or not made.needed:
        return result(made, replace(made.heir, timeline=made.leader.timeline), {})
    cluster, seconds = switchover.run(made)
    return result(made, cluster.leader or made.heir, seconds)


def main() -> None:
    """Run the module."""
    address = {"address": {"type": "str", "required": True}}
    module = AnsibleModule(
        argument_spec={
            **ARGUMENT_SPEC,
            "leader": {"type": "str"},
            "poolers": {**POOLERS, "default": []},
            "pooler_username": {"type": "str", "default": "holdfast"},
            "pooler_password": {"type": "str", "no_log": True},
            "pooler_ca": {"type": "path"},
            "pool": {"type": "dict", "options": {**address, "port": {"type": "int", "required": True}}},
            "superuser": {"type": "str"},
            "superuser_password": {"type": "str", "no_log": True},
            "pause_timeout": {"type": "float", "default": 5.0},
            "pause_required": {"type": "bool", "default": True},
            "timeout": {"type": "float", "default": 20.0},
            "healthy_timeout": {"type": "float", "default": 120.0},
        },
        required_together=[("superuser", "superuser_password")],
        supports_check_mode=True,
    )
    unwind_on_signals()
    try:
        module.exit_json(**converge(Switchover.from_params(module.params), module.params["leader"], module.check_mode))
    except (RefusedError, PoolerError, ClusterError, EndpointError, InterruptedBySignalError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
