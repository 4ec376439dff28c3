#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_cluster
short_description: Have a Patroni cluster running as declared
version_added: 0.1.0
description:
  - Waits until the named members run, the standbys stream on the leader's timeline,
    and a majority agrees on the leader.
  - Then restarts PostgreSQL where Patroni says a restart is pending, one member at a time, the leader last,
    waiting for a healthy cluster after each.
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.patroni
attributes:
  check_mode:
    support: full
    description: Does not wait and does not restart; pending restarts are reported as a change.
  diff_mode:
    support: full
    description: Shows the members whose restart is pending.
options:
  members:
    description: Names of the members that must be healthy.
    type: list
    elements: str
    required: true
  settle:
    description:
      - First wait until every answering member has applied what was changed just before,
        so that restarts which follow from it are seen.
    type: bool
    default: false
  restart_pending:
    description: Restart members whose restart is pending.
    type: bool
    default: true
  etcd:
    description:
      - How to reach Patroni's keys in etcd, to free a bootstrap that was abandoned when the member creating the cluster
        died - that is when no member has a database, none is creating one, and all of them wait for that.
      - Without it such a cluster waits for ever.
    type: dict
    suboptions:
      endpoints: {description: Base URLs of etcd's members., type: list, elements: str, required: true}
      prefix: {description: "Prefix of the cluster's keys, such as V(/service/lab/).", type: str, required: true}
      ca: {description: Certificate authority to verify etcd with., type: path}
      cert: {description: Client certificate., type: path}
      key: {description: Key of the client certificate., type: path}
      username: {description: "User of etcd, empty where it asks for none.", type: str}
      password: {description: Password of that user., type: str}
  restart_timeout:
    description: Seconds one PostgreSQL has to restart.
    type: int
    default: 120
  timeout:
    description: Seconds to become healthy, at the start and after each restart.
    type: int
    default: 300
"""

EXAMPLES = r"""
- name: Wait for a healthy cluster and finish pending restarts
  holdfast.ha.patroni_cluster:
    endpoints: [https://198.51.100.11:8008, https://198.51.100.12:8008]
    ca: /etc/holdfast/tls/ca.crt
    username: holdfast
    password: "{{ ha_secrets.patroni_rest }}"
    members: [db1, db2]
"""

RETURN = r"""
cluster:
  description: The cluster at the end, as M(holdfast.ha.patroni_info) returns it.
  returned: success
  type: dict
restarted:
  description: Names of the members that were restarted, or would be, in that order.
  returned: success
  type: list
  elements: str
problems:
  description: What keeps the cluster from being healthy; can be other than empty in check mode only.
  returned: success
  type: list
  elements: str
"""

import time
import typing as t
from dataclasses import dataclass

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import (
    Cluster,
    Member,
    as_facts,
    merge_answers,
    nobody_creates,
    problems,
    restart_order,
)
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import (
    ARGUMENT_SPEC,
    ClusterError,
    PatroniApi,
    await_applied,
    until,
)
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import is_synchronous
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_etcd import ARGUMENT_SPEC as ETCD_ARGUMENT_SPEC
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_etcd import Store, WrongPasswordError

RESTART_ROUNDS = 3
ABANDONED_AFTER = 10.0  # seconds in which a member would have begun to create the cluster


@dataclass(frozen=True)
class Convergence:
    """One cluster on its way to what is declared."""

    api: PatroniApi
    members: list[str]
    timeout: float
    restart_timeout: float
    store: Store | None = None

    def problems(self, cluster: Cluster) -> list[str]:
        """Return what keeps the cluster from being healthy."""
        return problems(cluster, self.members, self._synchronous() and len(self.members) > 1)

    def healthy(self) -> Cluster:
        """Wait for a healthy cluster and return it; raise ClusterError when it takes too long."""
        found: list[str] = []
        created = time.monotonic()
        for _left in until(time.monotonic() + self.timeout):
            answers = self.api.answers()
            cluster = merge_answers(answers)
            found = self.problems(cluster)
            if not found:
                return cluster
            found += [f"{answer.endpoint}: {answer.error}" for answer in answers if answer.error]
            if not nobody_creates(answers):
                created = time.monotonic()
            elif self.store and time.monotonic() - created >= ABANDONED_AFTER:
                self._free(self.store)
                created = time.monotonic()
        raise ClusterError(f"not healthy within {self.timeout:g} s: {'; '.join(found)}")

    def restart_pending(self, cluster: Cluster) -> tuple[Cluster, list[str]]:
        """Restart pending members in order and return the cluster after it, and their names.

        A lowered limit stays pending on a standby until the leader has it, hence the rounds.
        """
        restarted: list[str] = []
        for _round in range(RESTART_ROUNDS):
            pending = restart_order(cluster)
            if not pending:
                return cluster, restarted
            for member in pending:
                self._restart(member)
                restarted.append(member.name)
                cluster = self.healthy()
            await_applied(self.api, self.timeout)
            cluster = self.healthy()
        if restart_order(cluster):
            raise ClusterError(f"a restart is still pending after restarting {', '.join(restarted)}")
        return cluster, restarted

    @staticmethod
    def _free(store: Store) -> None:
        try:
            store.free_initialization()
        except (EndpointError, WrongPasswordError) as error:
            raise ClusterError(f"the abandoned bootstrap could not be freed: {error}") from error

    def _restart(self, member: Member) -> None:
        try:
            self.api.restart(member, self.restart_timeout)
        except EndpointError as error:
            raise ClusterError(f"{member.name} could not be restarted: {error}") from error

    def _synchronous(self) -> bool:
        try:
            return is_synchronous(self.api.read_configuration())
        except EndpointError:
            return False


def predict(convergence: Convergence, restart: bool) -> dict[str, t.Any]:
    """Return the module's result for check mode, from one look."""
    cluster = convergence.api.cluster()
    pending = [member.name for member in restart_order(cluster)] if restart else []
    return result(cluster, pending, convergence.problems(cluster))


def converge(convergence: Convergence, settle: bool, restart: bool) -> dict[str, t.Any]:
    """Wait, restart what is pending, and return the module's result."""
    cluster = convergence.healthy()
    if settle:
        await_applied(convergence.api, convergence.timeout)
        cluster = convergence.healthy()
    restarted: list[str] = []
    if restart:
        cluster, restarted = convergence.restart_pending(cluster)
    return result(cluster, restarted, [])


def result(cluster: Cluster, restarted: list[str], found: list[str]) -> dict[str, t.Any]:
    """Return the module's result."""
    return {
        "changed": bool(restarted),
        "cluster": as_facts(cluster),
        "restarted": restarted,
        "problems": found,
        "diff": {"before": {"pending_restart": restarted}, "after": {"pending_restart": []}},
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **ARGUMENT_SPEC,
            "members": {"type": "list", "elements": "str", "required": True},
            "settle": {"type": "bool", "default": False},
            "restart_pending": {"type": "bool", "default": True},
            "etcd": {"type": "dict", "options": ETCD_ARGUMENT_SPEC},
            "restart_timeout": {"type": "int", "default": 120},
            "timeout": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    params = module.params
    convergence = Convergence(
        PatroniApi.from_params(params),
        params["members"],
        params["timeout"],
        params["restart_timeout"],
        Store.from_params(params["etcd"]) if params["etcd"] else None,
    )
    if module.check_mode:
        module.exit_json(**predict(convergence, params["restart_pending"]))
    try:
        module.exit_json(**converge(convergence, params["settle"], params["restart_pending"]))
    except ClusterError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
