#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_switchover
short_description: Let another member of a Patroni cluster lead
version_added: 1.0.0
description:
  - A planned switchover. The old leader stops in order, the candidate takes over with all that was committed.
  - Where PgBouncers stand before the cluster, their clients are held meanwhile, so that they wait instead of failing.
  - Refuses before anything is touched when the candidate is unknown, may not lead, does not stream, lags, or is not
    synchronous in synchronous mode; when the leader is not healthy, the cluster is in maintenance mode,
    or a PgBouncer's console can't be used.
  - Run it on one host per cluster.
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.patroni
attributes:
  check_mode:
    support: full
    description: The same is asked and refused, but nothing is done.
  diff_mode:
    support: full
    description: Shows the leader before and after.
options:
  leader:
    description:
      - Name of the member that is to lead. Nothing is done when it does and is healthy.
      - Without it one of the able standbys takes over, so every run is a change. It is the faster way where replication
        is synchronous, since Patroni lets standbys that were not named sleep for two seconds before they follow.
    type: str
  poolers:
    description: The PgBouncers whose clients are to be held, all at once.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: A name for people., type: str, required: true}
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
      - Clients are let go on when a new connection there leads to the new leader, told by its TLS certificate.
      - Without it they are as soon as that one leads.
    type: dict
    suboptions:
      address: {description: Its address., type: str, required: true}
      port: {description: Its port., type: int, required: true}
  superuser:
    description:
      - A role that logs in to the leader for a checkpoint before clients are held, which shortens its stop.
      - Where it archives, its WAL segment is filled as well, in up to two seconds and but for 1 MiB, as it would send
        the rest to the standbys while clients wait. A role that may not do that, or not see them, does without.
      - Needs psycopg2 on the host, as O(poolers) does.
    type: str
  superuser_password:
    description: Password of that role.
    type: str
  pause_timeout:
    description: Seconds the transactions under way have to end when clients are held.
    type: float
    default: 5.0
  pause_required:
    description:
      - When those transactions don't end in time, V(true) lets all clients go on and refuses the switchover.
      - V(false) switches over all the same. Transactions that are still under way then fail, all others wait.
    type: bool
    default: true
  timeout:
    description: Seconds for the checkpoint, for the candidate to lead, and for O(pool) to lead to it, each.
    type: float
    default: 20.0
  healthy_timeout:
    description: Seconds for all members that were healthy before to follow the new leader.
    type: float
    default: 120.0
notes:
  - Clients are let go on whatever happens to the module, errors, SIGTERM and SIGHUP included, and losing the controller
    does not end it. Losing its own host does. Then PgBouncers on other hosts hold their clients until they are told
    C(RESUME), get the signal C(USR2), or are restarted; C(playbooks/switchover.yml) sets a timer for that on each.
  - A PgBouncer in session mode is held only once all its clients have left; there O(pause_timeout) passes in vain.
"""

EXAMPLES = r"""
- name: Let db2 lead
  holdfast.ha.patroni_switchover:
    endpoints: [https://198.51.100.11:8008, https://198.51.100.12:8008, https://198.51.100.13:8008]
    ca: /etc/holdfast/tls/ca.crt
    username: holdfast
    password: "{{ ha_secrets.patroni_rest }}"
    leader: db2

- name: Let another member lead while the poolers hold their clients
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
  description: Name of the member that leads now; in check mode of the one that would, or is likely to.
  returned: success
  type: str
timeline:
  description: The timeline on which it leads; in check mode and without a change the one of now.
  returned: success
  type: int
seconds:
  description:
    - Seconds each phase took, in their order; empty when nothing was done. Held clients waited for RV(seconds.paused),
      RV(seconds.promoted) and RV(seconds.switched) at most.
  returned: success
  type: dict
  contains:
    checkpointed: {description: "The checkpoint before, and until the standbys had all WAL.", type: float}
    paused: {description: "Until all PgBouncers held their clients, with no transaction under way.", type: float}
    promoted: {description: Until another member led on its new timeline., type: float}
    switched: {description: "Until the pool led to it, and the clients went on.", type: float}
    healthy: {description: "Until the others followed it, synchronously where asked for.", type: float}
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
from ansible_collections.holdfast.ha.plugins.module_utils.pgbouncer import PoolerError
from ansible_collections.holdfast.ha.plugins.module_utils.switchover import Switchover

SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class InterruptedBySignalError(Exception):
    """The module is to end; the message says by which signal."""


def unwind_on_signals() -> None:
    """Let the first signal end the module in order, by an exception; later ones don't disturb that."""

    def unwind(number: int, _frame: Any) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise InterruptedBySignalError(f"interrupted by {signal.Signals(number).name}")

    for each in SIGNALS:
        signal.signal(each, unwind)


def result(made: Plan, leader: Member, seconds: dict[str, float]) -> dict[str, Any]:
    """Return the module's result; leader is the one of now, or the likely one where nothing was done."""
    return {
        "changed": made.needed,
        "old_leader": made.leader.name,
        "leader": leader.name,
        "timeline": leader.timeline,
        "seconds": seconds,
        "diff": {"before": {"leader": made.leader.name}, "after": {"leader": leader.name}},
    }


def converge(switchover: Switchover, wanted: str | None, check_mode: bool) -> dict[str, Any]:
    """Plan, switch over unless in check mode or where nothing is to be done, and return the module's result."""
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
            "poolers": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "name": {"type": "str", "required": True},
                    **address,
                    "port": {"type": "int", "default": 6432},
                },
            },
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
