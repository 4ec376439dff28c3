# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup plugin: the hosts of a play, or the reason why it must not run."""

from __future__ import annotations

DOCUMENTATION = r"""
name: targets
short_description: The hosts of a play, or the reason why it must not run
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - For C(hosts) of a play. Ansible skips a play without hosts and succeeds. This lookup fails instead, before any host
    is contacted, independent of the limit, the strategy, the tags and C(ansible.cfg).
  - Fails where no host has a cluster, where the cluster is unnamed or unknown, and where the limit leaves no host. A
    play that is only a part of the playbook that the user runs may have no hosts.
  - Fails where an extra variable is unknown, of the wrong type, belongs to another playbook or is set by the playbooks.
    A variable of the play, such as one of C(import_playbook), fails where it is a misspelt option or of the wrong type.
    The list C(ha_foreign_variables) of names and patterns, in the inventory or an extra variable, allows variables that
    only look like the collection's.
  - Returns no host where the variable C(play__due) of the play is false, so that a playbook can import another one that
    only some runs need.
options:
  _terms:
    description:
      - One group, or several with colons between them.
      - C(localhost) needs no cluster.
    type: list
    elements: str
    required: true
  playbook:
    description: The name of the playbook, as in C(meta/playbooks.yml).
    type: str
    required: true
  cluster:
    description: The variable that names the cluster whose hosts to return.
    type: str
    default: ""
  sole:
    description: Whether the cluster need not be named where the inventory has only one.
    type: bool
    default: false
  host:
    description: The variable that names the only host to return. The term is ignored.
    type: str
    default: ""
  whole:
    description: Whether the play must run on all these hosts or on none.
    type: bool
    default: false
  maintained:
    description:
      - Whether hosts in maintenance take part. An earlier play of the run has put them into the group
        C(holdfast_maintenance).
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Restore the cluster
  hosts: >-
    {{ lookup('holdfast.ha.targets', 'holdfast_postgresql', playbook='restore',
              cluster='restore_confirm', whole=true) }}
"""

RETURN = r"""
_list:
  description: A pattern for C(hosts).
  type: list
  elements: str
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ansible import context
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.lookup import LookupBase
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars
from ansible_collections.holdfast.ha.plugins.inventory.topology import plain, refuse
from ansible_collections.holdfast.ha.plugins.plugin_utils.inventory_sources import files, is_topology
from ansible_collections.holdfast.ha.plugins.plugin_utils.maintenance import MAINTAINED
from ansible_collections.holdfast.ha.plugins.plugin_utils.playbooks import (
    ALL,
    CLUSTER,
    COLLECTION,
    FOREIGN_IN_INVENTORY,
    MODEL,
    Inventory,
    Wanted,
    extra_problems,
    foreign_names,
    interface,
    play_problems,
    running,
    target_problems,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import Problem
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.hosts import foreign

LISTING = ("syntax", "listhosts", "listtasks", "listtags")
LOCAL = "localhost"
SKIPS = "skips what the tasks after it rest on: facts, comparisons, the hosts' answers"
REPEAT = "run the playbook of that part without it, such as playbooks/postgresql.yml: what is right is left alone"


class LookupModule(LookupBase):
    """Adapter between Ansible's command line and the pure functions."""

    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **options: Any) -> list[str]:
        """Return a pattern, or fail with every reason against it."""
        self.set_options(var_options=variables, direct=options)
        known = variables or {}
        group = str(self._value(known, self.get_option("host")) or "") if self.get_option("host") else terms[0]
        if any(context.CLIARGS.get(name) for name in LISTING):
            return [group or ALL]
        if start := context.CLIARGS.get("start_at_task"):
            self._refuse([Problem("--start-at-task", start, SKIPS, REPEAT)])
        run = running(context.CLIARGS.get("args") or (), COLLECTION, "holdfast.ha")
        topologies = [path for path in files(known.get("ansible_inventory_sources") or ()) if is_topology(path)]
        limit = known.get("ansible_limit") or ""
        inventory = Inventory(known["groups"], known["ansible_play_hosts_all"], limit, topologies)
        wanted = self._wanted(known, inventory, group)
        problems = [
            *self._extra_problems(run),
            *self._play_problems(known),
            *self._target_problems(wanted, inventory, run),
        ]
        if problems:
            self._refuse(problems)
        pattern = f"{group}:&{CLUSTER}{wanted.chosen}" if wanted.cluster else group
        if not boolean(self._templar.template(known.get("play__due", True))):
            return [f"{pattern}:!{ALL}"]
        leaves = inventory.groups.get(MAINTAINED) and not self.get_option("maintained") and not wanted.host
        return [f"{pattern}:!{MAINTAINED}" if leaves else pattern]

    def _refuse(self, problems: Iterable[Problem]) -> NoReturn:
        books = ", ".join(Path(argument).name for argument in context.CLIARGS.get("args") or ())
        head = f"{books or self.get_option('playbook')} is refused before Holdfast touches a host:"
        refuse("\n  ".join([head, *map(str, problems)]))

    def _wanted(self, known: Mapping[str, Any], inventory: Inventory, group: str) -> Wanted:
        cluster = self.get_option("cluster")
        chosen = self._value(known, cluster)
        if chosen is None and self.get_option("sole") and len(inventory.clusters) == 1:
            chosen = inventory.clusters[0]
        return Wanted(group, cluster, chosen, self.get_option("host"), self.get_option("whole"))

    def _value(self, known: Mapping[str, Any], name: str) -> str | None:
        value = self._templar.template(known.get(name)) if name else None
        return None if value is None else str(value)

    def _target_problems(self, wanted: Wanted, inventory: Inventory, run: list[str] | None) -> list[Problem]:
        if wanted.group == LOCAL:
            return _local_problems(inventory.limit)
        if wanted.cluster or self.get_option("playbook") in (run or ()):
            return target_problems(wanted, inventory)
        # One part of what runs need not have hosts, the whole must.
        whole = Inventory(inventory.groups, inventory.members(ALL), "", inventory.topologies)
        unlimited = inventory if run is not None else whole
        return target_problems(Wanted(ALL), unlimited)

    def _extra_problems(self, run: list[str] | None) -> list[Problem]:
        extra = plain(load_extra_vars(self._loader))
        if not extra:
            return []
        listed = [*foreign(extra), *FOREIGN_IN_INVENTORY]
        problems = extra_problems(extra, interface(), run, listed)
        if run is not None and not problems:
            for name in foreign_names(extra, interface(), listed):
                Display().warning(f"the extra variable {name} is none of Holdfast's; only your own templates see it")
        return problems

    def _play_problems(self, known: Mapping[str, Any]) -> list[Problem]:
        """What is wrong with the play's own variables. Those of hosts are not among the known ones."""
        extra = load_extra_vars(self._loader)
        own = {name: value for name, value in known.items() if name not in extra and not name.startswith("ansible_")}
        given = {name: plain(value) for name, value in own.items() if name == MODEL or "_" in name}
        listed = [*foreign(extra), *foreign(given), *FOREIGN_IN_INVENTORY]
        return play_problems(given, interface(), self.get_option("playbook"), listed)


def _local_problems(limit: str) -> list[Problem]:
    """The implicit localhost runs only where the limit names it."""
    if not limit or LOCAL in limit.replace(":", ",").split(","):
        return []
    return [Problem("--limit", limit, "leaves out the controller, where all this is done", "leave it out")]
