#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: explore
short_description: Carry out random schedules of faults, or a ladder of short ones
version_added: 1.0.0
description:
  - Carries out seeded random schedules of one to three faults that may overlap, while clients write and read through
    the cluster's virtual IP. At every moment a majority of etcd and of PostgreSQL is left.
  - Judges each schedule by the drill's invariants, and by the time until writes flow again, which must not exceed the
    predicted worst case. A failing schedule is shrunk, and written as a file that replays it.
  - The mode V(ladder) injects one short fault at a time, and counts how often each length led to a failover.
  - Keeps a record of each trial. The same command continues an interrupted run.
  - This is an action plugin, it runs on the controller and connects to the hosts with SSH (paramiko) on its own.
requirements:
  - The packages of C(requirements-drill.txt) on the controller.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Prints the plan and touches nothing.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  cluster:
    description: The cluster's name.
    type: str
    required: true
  mode:
    description:
      - V(random) carries out random schedules, V(ladder) one short fault at a time.
      - O(schedule) replays a file instead.
    type: str
    choices: [random, ladder]
    default: random
  trials:
    description:
      - The number of random schedules, or how often to replay a file.
      - By default 20 random schedules, or one replay.
    type: int
  minutes:
    description: Minutes after which no trial begins; 0 for no limit.
    type: int
    default: 0
  seed:
    description: The same seed gives the same schedules, and the same order of the ladder's trials.
    type: int
    default: 1
  kinds:
    description: The kinds of faults; V(all) for all of them.
    type: list
    elements: str
    default: [all]
  schedule:
    description: A file with a schedule to replay.
    type: path
  shrink:
    description: The most runs that shrink one failing schedule; 0 keeps it as it is.
    type: int
    default: 12
  lengths:
    description: The lengths of the ladder's faults in seconds, from 0.5 to 5.
    type: list
    elements: float
    default: [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5]
  repeat:
    description: How often the ladder injects each fault of each length.
    type: int
    default: 5
  confirm:
    description: Must be the cluster's name; otherwise nothing is touched.
    type: str
  check_only:
    description: Fail when the exploration would be refused, and do nothing else.
    type: bool
    default: false
  provider:
    description:
      - How hosts lose power and freeze.
      - V(hosts) resets a host through its own kernel and freezes services with control groups.
      - V(containers) kills and pauses containers on the controller.
    type: str
    choices: [hosts, containers]
    default: hosts
  engine:
    description: The container engine's command.
    type: str
    default: docker
  container_prefix:
    description: Prefix of a host's name in its container's name, unless the host has a variable C(drill_container).
    type: str
    default: holdfast-
  client:
    description:
      - The host outside the cluster that runs the clients; it needs python3-psycopg2.
      - By default the first host of the group C(client).
    type: str
  dead_man:
    description: Seconds after which a node itself undoes a fault; 180 or more, if all kinds are permitted.
    type: int
    default: 300
  directory:
    description:
      - Directory of the records and the report.
      - By default C(explore-CLUSTER-SEED), C(ladder-CLUSTER-PROFILE) or C(replay-TIME) in C(reports) in the current
        directory.
    type: path
  slack:
    description: Seconds added to every predicted worst case and default budget, for a busy machine.
    type: float
    default: 0.0
  without_backup:
    description: Whether to explore a cluster without backups.
    type: bool
    default: false
seealso:
  - module: holdfast.ha.drill
  - module: holdfast.ha.soak
"""

EXAMPLES = r"""
- name: Carry out 200 random schedules
  holdfast.ha.explore:
    cluster: main
    confirm: main
    trials: 200
    seed: 7
  run_once: true
"""

RETURN = r"""
passed:
  description: Whether no trial failed.
  returned: when an exploration was carried out
  type: bool
failure:
  description: What went wrong, in words.
  returned: when an exploration was carried out
  type: str
directory:
  description: The directory with C(explore.md), C(explore.json), the records and the files that replay failures.
  returned: when an exploration was carried out
  type: str
"""
