#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation of the action plugin of the same name; the work is done on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence
short_description: Record what clients see while a cluster is worked on
version_added: 1.0.0
description:
  - Runs clients that write and read through the cluster's virtual IP, directly and through its poolers, while other
    tasks work on its hosts. Afterwards it counts every acknowledged row on every member, and writes a report with the
    cost of each step.
  - V(started) starts a process on the controller that outlives the task, and waits until its clients work. V(mark)
    notes the begin or the end of a step. V(finished) ends the clients, counts the rows and shows a table.
  - The process ends by itself when C(ansible-playbook) is gone or O(longest) is over, and counts the rows then, too.
  - Clients renew their connections every 5 s, as an application's pool does, except one direct and one pooled client.
  - This is an action plugin, it runs on the controller and connects to the hosts with SSH (paramiko) on its own.
    Nothing is left on the hosts.
requirements:
  - The packages of C(requirements-drill.txt) on the controller.
  - The package python3-psycopg2 on the clients' host and on database hosts.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Refuses what can't be recorded, and starts nothing.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  state:
    description: Whether to start a record, to mark a step in it, or to end it.
    type: str
    choices: [started, mark, finished]
    required: true
  enabled:
    description:
      - Whether to record. By default where the inventory has a host in the group C(client).
      - Without a record, RV(directory) is empty, and V(mark) and V(finished) with an empty O(directory) do nothing.
    type: bool
  cluster:
    description: The cluster's name; required for V(started).
    type: str
  title:
    description: The name of the work, for the report.
    type: str
    default: the work
  hosts:
    description: The hosts that are worked on; the clients' host must not be one of them.
    type: list
    elements: str
    default: []
  without:
    description: >-
      Hosts that are no part of the cluster: they have not joined yet, or are down for good. They are not asked, and
      alerts about them don't count.
    type: list
    elements: str
    default: []
  client:
    description:
      - The host outside the cluster that runs the clients; it needs python3-psycopg2.
      - By default the first host of the group C(client).
    type: str
  directory:
    description:
      - Directory of the report; by default C(reports/TIME) in the current directory.
      - For V(mark) and V(finished), the RV(directory) that V(started) returned.
    type: path
  budgets:
    description: What the work may cost. More fails V(finished); without a limit it is only reported.
    type: dict
    suboptions:
      pooled_wait:
        description: Seconds that a client behind a pooler may wait, from its first attempt to the acknowledgement.
        type: float
      pooled_errors:
        description: How many transactions of clients behind a pooler may fail.
        type: float
      direct_wait:
        description: Seconds that a direct writer may wait, from its first attempt to the acknowledgement.
        type: float
  longest:
    description: Seconds after which the record ends, even if the work goes on.
    type: float
    default: 14400.0
  timeout:
    description: Seconds within which the clients must work, or within which the rows must be counted.
    type: float
    default: 300.0
  host:
    description: The host of the step; for V(mark).
    type: str
  text:
    description: What the step does; its begin and its end have the same text. For V(mark).
    type: str
  edge:
    description: Whether the step begins or ends now; for V(mark).
    type: str
    choices: [begin, end]
    default: begin
seealso:
  - module: holdfast.ha.drill
"""

EXAMPLES = r"""
- name: Run clients while the hosts restart
  holdfast.ha.evidence:
    state: started
    cluster: main
    title: restart
    hosts: [db1, db2]
    budgets: {pooled_wait: 1.5, pooled_errors: 0}
  register: begun
  run_once: true

- name: Mark the begin of a step
  holdfast.ha.evidence:
    state: mark
    directory: "{{ begun.directory }}"
    host: db2
    text: restart Patroni
    edge: begin
  run_once: true

- name: Count the rows
  holdfast.ha.evidence:
    state: finished
    directory: "{{ begun.directory }}"
  run_once: true
"""

RETURN = r"""
directory:
  description: The directory with C(report.html), C(evidence.json), the ledger and C(engine.log); empty if not recorded.
  returned: always
  type: str
passed:
  description: Whether no acknowledged row was lost, none was stored twice, and every budget was kept.
  returned: with O(state=finished)
  type: bool
failure:
  description: What went wrong, in words.
  returned: with O(state=finished)
  type: str
acknowledged:
  description: How many rows were acknowledged.
  returned: with O(state=finished)
  type: int
lost:
  description: How many acknowledged rows the leader lacks.
  returned: with O(state=finished)
  type: int
duplicated:
  description: How many rows are stored more than once.
  returned: with O(state=finished)
  type: int
refused:
  description: How many writes were refused.
  returned: with O(state=finished)
  type: int
unknown:
  description: How many writes were sent and never answered.
  returned: with O(state=finished)
  type: int
clients:
  description:
    - What each kind of clients saw. Kinds are C(direct), C(direct-kept), C(pooled), C(pooled-kept), C(readers) and
      C(naive); those with C(kept) never renew their connection.
    - C(attempts), C(failed), C(unknown), C(broken_idle) are numbers; C(longest_wait) and C(waited_at) are seconds;
      C(waited) is the client that waited longest; C(error) is the first error.
  returned: with O(state=finished)
  type: dict
steps:
  description: The same numbers for each step, with its C(host), C(text), and its C(begin) and C(end) in seconds.
  returned: with O(state=finished)
  type: list
  elements: dict
"""
