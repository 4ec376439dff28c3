# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole process: parse, validate, derive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import (
    OPAQUE,
    Problem,
    Problems,
    TopologyError,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.derive import (
    count_labels,
    derive_groups,
    derive_host,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Inventory
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.parse import parse
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.ports import check_ports
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.required_secrets import check_secrets
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import RoleSpec, coerced
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.sql_names import check_sql
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.validate import validate
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.variables import check_variables


@dataclass(frozen=True)
class Topology:
    """The plugin's additions to the inventory."""

    hosts: Mapping[str, dict[str, Any]]
    groups: Mapping[str, list[str]]


def build(
    document: Any, inventory: Inventory, roles: Mapping[str, RoleSpec], *, needs_secrets: bool = True
) -> Topology:
    """Build the model of every cluster.

    :arg document: the topology file's plain data.
    :arg inventory: the hosts, their variables and groups.
    :arg roles: the options of each role, by role name; roles that are absent are not checked.
    :arg needs_secrets: False where the secrets are to be created next.
    :raises TopologyError: with every problem found.
    """
    problems = Problems()
    if not inventory.hosts:
        fix = "name the hosts file so that it sorts before topology.ha.yml, as hosts.yml does, or give -i TOPOLOGY last"
        raise TopologyError([Problem("inventory", OPAQUE, "has no hosts when the topology is read", fix)])
    inventory = _typed(inventory, roles)
    clusters = parse(document, inventory, problems)
    validate(clusters, inventory, problems)
    for cluster in clusters:
        check_sql(cluster, inventory, roles, problems)
        check_ports(cluster, inventory, roles, problems)
        check_variables(cluster, inventory, roles, problems)
        if needs_secrets:
            check_secrets(cluster, inventory, problems)
    if problems.found:
        raise TopologyError(problems.found)
    labels = count_labels(clusters)
    hosts = {host.name: derive_host(cluster, host, labels, roles) for cluster in clusters for host in cluster.hosts}
    return Topology(hosts, derive_groups(clusters))


def _typed(inventory: Inventory, roles: Mapping[str, RoleSpec]) -> Inventory:
    """The inventory with booleans and numbers of role variables converted from texts."""
    options = {name: option for role in roles.values() for name, option in role.options.items()}
    hosts = {
        host: {name: coerced(value, options.get(name, {})) for name, value in variables.items()}
        for host, variables in inventory.hosts.items()
    }
    return Inventory(hosts, inventory.groups)
