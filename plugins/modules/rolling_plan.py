#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rolling_plan
short_description: Plan work that goes host by host
version_added: 1.0.0
description:
  - Plans an update, restart or reboot, or a change of certificates, of the clusters of the play's hosts, host by host,
    from what M(holdfast.ha.gather) and M(holdfast.ha.rolling_info) registered on them. Nothing else is remembered, so
    an interrupted run is continued by the next one.
  - Hosts with etcd or a database come first, then those that only balance, then the repository host. Within each, the
    primary is last, etcd's leader before it, and holders of virtual IPs come after other balancers. Hosts without work
    take no part.
  - Prints the plan and the predicted waits. Fails before anything is touched when the cluster is not fit for the work.
  - A host that an interrupted run left out comes first, if its absence explains all of the cluster's problems.
  - This is an action plugin, it runs on the controller. Run it once per play.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status without changing anything, as it never does.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  verb:
    description:
      - What to do on each host. V(update) upgrades packages and restarts the services that are due.
      - V(restart) restarts services that run outdated files, V(reboot) reboots hosts that require it.
      - V(certificates) replaces certificates and has services read them. O(rolling_register) has the results of
        M(holdfast.ha.certificate) then.
      - V(maintenance) stops what the hosts in O(only) serve with. It is judged as if they were switched off then.
    type: str
    choices: [update, restart, reboot, maintenance, certificates]
    required: true
  scope:
    description:
      - Which packages an update upgrades. V(stack) is those of the components, V(system) all, V(security) those of all
        that come from a security suite only.
    type: str
    choices: [stack, system, security]
    default: stack
  only:
    description: Names of the hosts to work on. All hosts by default.
    type: list
    elements: str
    default: []
  without:
    description:
      - Names of hosts that are meant to be out. They take no part.
      - Hosts in maintenance are added. O(status_register) tells which these are.
    type: list
    elements: str
    default: []
  accept_outage:
    description: Whether writes or connections may stop while a host is out that has no second one beside it.
    type: bool
    default: false
  force:
    description: Whether to also restart services that are not due, or to reboot hosts that do not require it.
    type: bool
    default: false
  recent:
    description:
      - With O(force), a host that has been up for fewer seconds is not rebooted again. So a run continues an
        interrupted one.
    type: float
    default: 0
  status_register:
    description: The variable in which each host's result of M(holdfast.ha.gather) was registered.
    type: str
    default: status__host
  rolling_register:
    description: The variable in which each host's result of M(holdfast.ha.rolling_info) was registered.
    type: str
    default: rolling_host
  packages_register:
    description:
      - The variable in which each host's result of M(holdfast.ha.packages_upgrade) in check mode was registered.
      - With it, an update has these packages, whatever the O(scope). Needed for pinned versions.
    type: str
  group:
    description: The group of the hosts.
    type: str
    default: holdfast
  lag:
    description: The greatest lag of a standby behind the leader, in bytes.
    type: int
    default: 16777216
  queue_age:
    description: The longest time in seconds that a WAL file may wait to be archived.
    type: int
    default: 300
seealso:
  - module: holdfast.ha.cluster_status
  - module: holdfast.ha.gather
  - module: holdfast.ha.rolling_summary
"""

EXAMPLES = r"""
- name: Plan the update of the databases
  holdfast.ha.rolling_plan:
    verb: update
    only: [db1, db2, db3]
  register: plan
  run_once: true
"""

RETURN = r"""
changed:
  description: Whether there is a step.
  returned: success
  type: bool
steps:
  description: The hosts' turns in order, cluster after cluster; empty when there is nothing to do.
  returned: success
  type: list
  elements: dict
  contains:
    cluster: {description: Name of the cluster., type: str}
    host: {description: Name of the host., type: str}
    packages: {description: "The packages to upgrade, as C(name=version).", type: list, elements: str}
    restart:
      description: The units that are due, and those that the new packages are expected to make due.
      type: list
      elements: str
    reboot: {description: Whether the host reboots., type: bool}
    touches:
      description: The components that stop meanwhile. All of the host's where nobody can tell.
      type: list
      elements: str
    stop: {description: The units that stop for a maintenance., type: list, elements: str}
    primary: {description: Whether the host leads PostgreSQL when its turn comes., type: bool}
    etcd_leader: {description: Whether the host leads etcd then., type: bool}
    holds: {description: The virtual IPs with prefix that it holds then., type: list, elements: str}
    primary_to:
      description: The standbys that may take over, the likeliest first. Empty when the primary can stay.
      type: list
      elements: str
    etcd_leader_to:
      description: The members that may lead etcd, the best first. Empty when the leader can stay.
      type: list
      elements: str
    holds_to:
      description: The balancers that may hold each virtual IP, the likeliest first. Empty when it can stay.
      type: dict
    out:
      description: Whether an interrupted run left the host out. The gate before its work must not ask for it then.
      type: bool
    backup_running:
      description: Whether a backup or a job runs on this repository host, whose end the work must await.
      type: bool
    files: {description: The files of its certificates that are replaced., type: list, elements: str}
    reload: {description: The units that reload., type: list, elements: str}
    reasons: {description: "Why the host takes part, one sentence each.", type: list, elements: str}
left:
  description: What the run will leave to do, with C(host) and C(text).
  returned: always
  type: list
  elements: dict
refused:
  description: Why nothing may be done, one sentence each; empty when the plan holds.
  returned: always
  type: list
  elements: str
"""
