#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_reset
short_description: Delete a former database's state from etcd, and name the member that bootstraps the next one
version_added: 1.0.0
description:
  - Deletes what Patroni keeps in etcd about a cluster's database, which is its system identifier, leader, position,
    history and synchronous standbys. The dynamic configuration is kept.
  - With these keys, a member whose database was restored to an earlier point could not lead.
  - Refuses to delete the keys while a member's Patroni is alive. A killed Patroni counts as alive until its lease
    expires.
  - Where etcd knows no cluster, a member that has data starts with it only when it is named.
  - It also deletes the key of a single member that left the cluster.
author:
  - Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Returns the keys that would be deleted.
  diff_mode:
    support: full
    description: Shows the names of the keys.
options:
  etcd:
    description: How to reach the keys in etcd.
    type: dict
    required: true
    suboptions:
      endpoints: {description: "etcd's client URLs.", type: list, elements: str, required: true}
      prefix: {description: "Prefix of the cluster's keys, as V(/service/lab/).", type: str, required: true}
      ca: {description: Certificate authority to verify etcd with., type: path}
      cert: {description: Client certificate., type: path}
      key: {description: Its key., type: path}
      username: {description: "etcd's user, empty where it asks for none.", type: str}
  etcd_password:
    description: Password of etcd's user.
    type: str
  state:
    description:
      - V(forgotten) deletes the keys.
      - V(named) permits O(member) to start with its data within ten minutes. Nothing is done where etcd knows a
        cluster.
      - V(left) deletes the key of O(member), whose Patroni is stopped for good. The module waits for the lease of one
        that O(stopped) does not name, and fails when it does not expire or when the member leads.
    type: str
    choices: [forgotten, named, left]
    default: forgotten
  member:
    description: Patroni's name of the member to permit, or of the one that left.
    type: str
  stopped:
    description: Members whose Patroni was just stopped; the module does not wait for their leases.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds within which every member's lease must expire.
    type: int
    default: 60
seealso:
  - module: holdfast.ha.pgbackrest_restore
"""

EXAMPLES = r"""
- name: Delete the former database's state
  holdfast.ha.patroni_reset:
    etcd:
      endpoints: [https://198.51.100.11:2379]
      prefix: /service/lab/
      ca: /etc/holdfast/tls/ca.crt
      cert: /etc/holdfast/tls/client.crt
      key: /etc/holdfast/tls/host.key
      username: patroni
    etcd_password: "{{ ha_secrets.etcd_patroni }}"

- name: Permit the member to start with its data
  holdfast.ha.patroni_reset:
    etcd: "{{ patroni_store }}"
    etcd_password: "{{ ha_secrets.etcd_patroni }}"
    state: named
    member: db1

- name: Delete the key of a member whose host is gone
  holdfast.ha.patroni_reset:
    etcd: "{{ patroni_store }}"
    etcd_password: "{{ ha_secrets.etcd_patroni }}"
    state: left
    member: db3
"""

RETURN = r"""
deleted:
  description: >-
    Names of the keys that were deleted, or have expired, or would be deleted, without their prefix; empty when a member
    was named.
  returned: success
  type: list
  elements: str
  sample: [initialize, leader, status]
"""

import time
from collections.abc import Collection
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import ClusterError, until
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_etcd import (
    ARGUMENT_SPEC,
    INITIALIZED,
    MEMBERS,
    NAMED_SECONDS,
    PASSWORD_SPEC,
    Store,
    WrongPasswordError,
    alive,
    forgettable,
)


def reset(store: Store, stopped: Collection[str], timeout: float, dry_run: bool) -> tuple[str, ...]:
    """Delete the keys once no member is alive and return their names; raise ClusterError when one stays alive."""
    members: tuple[str, ...] = ()
    for _left in until(time.monotonic() + timeout):
        names = store.names()
        doomed, members = forgettable(names), alive(names)
        if dry_run or not doomed:
            return doomed
        leases = [f"{MEMBERS}{member}" for member in members if member in stopped]
        if leases:
            store.forget(leases, guarded=False)
        members = tuple(member for member in members if member not in stopped)
        if not members and store.forget(doomed):
            return doomed
    raise ClusterError(
        f"Patroni is still alive on {', '.join(members) or 'a member'} after {timeout:g} s; stop it there "
        "(systemctl stop patroni), it would bring the former database back"
    )


def name_member(store: Store, member: str, dry_run: bool) -> bool:
    """Permit a member to start with its data unless etcd knows a cluster; return whether it may, or would."""
    return INITIALIZED not in store.names() if dry_run else store.permit(member, NAMED_SECONDS)


def take_leave(store: Store, member: str, stopped: Collection[str], timeout: float, dry_run: bool) -> tuple[str, ...]:
    """Delete the key of a member that left and return its name; raise ClusterError when its Patroni stays alive."""
    key = f"{MEMBERS}{member}"
    known = [key] if key in store.names() else []
    if dry_run or not known:
        return tuple(known)
    if store.leader() == member:
        raise ClusterError(f"{member} leads the cluster: switch over first (playbooks/switchover.yml)")
    if member in stopped:
        store.forget(known, guarded=False)
        return tuple(known)
    for _left in until(time.monotonic() + timeout):
        if key not in store.names():
            return tuple(known)
    raise ClusterError(
        f"Patroni is still alive on {member} after {timeout:g} s; stop it there (systemctl disable --now patroni)"
    )


def run(params: dict[str, Any], dry_run: bool) -> dict[str, Any]:
    """Carry out or, in check mode, predict the declared state, and return the module's result."""
    store = Store.from_params(params["etcd"], params["etcd_password"])
    if params["state"] == "named":
        return {"changed": name_member(store, params["member"], dry_run), "deleted": []}
    if params["state"] == "left":
        deleted = list(take_leave(store, params["member"], params["stopped"], params["timeout"], dry_run))
    else:
        deleted = list(reset(store, params["stopped"], params["timeout"], dry_run))
    return {"changed": bool(deleted), "deleted": deleted, "diff": {"before": {"keys": deleted}, "after": {"keys": []}}}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "etcd": {"type": "dict", "options": ARGUMENT_SPEC, "required": True},
            **PASSWORD_SPEC,
            "state": {"type": "str", "choices": ["forgotten", "named", "left"], "default": "forgotten"},
            "member": {"type": "str"},
            "stopped": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "int", "default": 60},
        },
        required_if=[("state", "named", ["member"]), ("state", "left", ["member"])],
        supports_check_mode=True,
    )
    try:
        result = run(module.params, module.check_mode)
    except (EndpointError, ClusterError, WrongPasswordError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
