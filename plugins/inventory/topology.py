# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventory plugin: layers the clusters' model on an ordinary inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: topology
short_description: Derives high-availability clusters from groups, host variables and one file
version_added: 0.1.0
author:
  - Holdfast contributors (@holdfast)
description:
  - Reads a file whose name ends in C(topology.ha.yml) or C(topology.ha.yaml), which names clusters with their virtual
    IP addresses, pools, databases and roles, and combines it with the hosts, groups and variables of the inventory
    sources parsed before it.
  - Gives every member one variable, C(ha), a plain dictionary with all that it needs to know of its cluster, and adds
    the groups C(holdfast), C(holdfast_etcd), C(holdfast_postgresql), C(holdfast_lease_watcher), C(holdfast_haproxy),
    C(holdfast_keepalived), C(holdfast_pgbouncer), C(holdfast_backup), C(holdfast_backup_jobs) and
    C(holdfast_cluster_<name>).
  - Refuses an inventory that cannot work, and tells all problems at once, each with the variable, its value and the
    fix. The variables of the collection's roles are checked as well, as far as they stand in the inventory.
  - Gives the group C(all) the variable C(certificates_ca_directory), the folder C(.pki) beside this file, unless the
    group has it. Thus an inventory has one authority, however its hosts are spread over files and folders, and at
    most one file for this plugin.
  - Secrets must be there (unless C(playbooks/secrets.yml) runs, which makes them), and hold only what all files that
    they reach can carry; their values are never shown.
    Vaulted and templated ones are neither decrypted nor templated; C(playbooks/preflight.yml) judges these.
notes:
  - In an inventory directory files are read in alphabetical order, so C(hosts.yml) comes before C(topology.ha.yml).
    Among several C(-i) options the topology's has to be the last.
  - A refused topology ends the program. Of other inventory sources that it cannot read Ansible only warns, unless
    C(any_unparsed_is_failed) in the section C([inventory]) of C(ansible.cfg) is true. Set it.
  - Files in C(group_vars) and C(host_vars) are seen where Ansible reads them, which is beside what C(-i) names and not
    in folders below it. Those beside a playbook are not.
  - "Variables of a host: C(ansible_host), its IP address (or C(ha_address) where that is a name or another network);
    C(ha_extra_addresses), a list of further ones, such as an IPv6 address; C(ha_zone); C(ha_failover_priority), with
    V(0) for a member that never becomes primary; C(ha_vrrp_priority), 1 to 254; C(ha_interface) for virtual
    addresses; C(ha_foreign_variables), names and patterns of variables that look like Holdfast's and are not."
options:
  plugin:
    description: Marks the file as one for this plugin.
    type: str
    required: true
    choices: [holdfast.ha.topology]
  clusters:
    description:
      - The clusters by name. A name consists of lower-case letters, digits and C(_), and is also Patroni's scope and
        pgBackRest's stanza.
      - C(groups) maps C(etcd), C(postgresql), C(haproxy) and C(backup) to groups of the inventory. Where it is absent,
        the groups with these names are taken as far as they exist; where it is given, the cluster has only the parts
        it names.
      - C(network) is the network, or a list of them, in which hosts and virtual addresses must lie. Without it
        balancers must lie in the networks of their virtual addresses, and other hosts may lie anywhere.
      - C(clients) lists the networks that may log in to PostgreSQL, by default those of C(network) or of the virtual
        addresses. PostgreSQL and PgBouncer refuse all others, as do the balancers' pools that lead to them. Behind a
        balancer PostgreSQL sees the balancer's address only.
      - C(vips) maps names to C(address) (with its prefix length), C(interface) (by default found by the address),
        C(virtual_router_id) (1 to 255, by default derived from the names of cluster and address) and C(priorities)
        (1 to 254 by host, by default C(ha_vrrp_priority) of the host or derived from the names).
      - C(vrrp_sync_groups) maps names to lists of virtual addresses that move together.
      - C(pools) maps names to pools. PostgreSQL has V(primary) on port 5000 and V(standby) on port 5001 besides, unless
        a pool of that name is declared here, or is V(false). Every pool has C(port), C(service) and C(vip) (one name or
        a list; by default C(main) or the only one; without any virtual address it listens on every address of its
        balancers).
      - A pool with C(service) V(postgresql) (the default) has C(role) V(primary), V(standby) or V(any). A pool with any
        other service has C(servers), either C(group), C(port) and C(check_port), or a list of C(name), C(address),
        C(port) and C(check_port); C(mode) V(tcp) or V(http); and C(check) with C(type) V(tcp), V(http) or V(none),
        C(path), C(tls), C(method), C(host), C(status), C(body), C(drains) and C(body_pattern).
      - C(clients) of a pool lists the networks it lets in. Without it a pool that leads to PostgreSQL lets in the
        cluster's C(clients), of which its own must be parts, and any other one everybody. A pool leads to PostgreSQL,
        whatever its service is called, where one of its servers is the PostgreSQL or the pooler of any cluster in the
        file, or the address and port of a pool that does; one that C(backend_options) name counts too. It is the
        address of the connection itself that counts, not what a PROXY header says, and also where another frontend
        leads to the pool.
      - C(balance), C(server_options), C(bind_options), C(frontend_options), C(backend_options), C(shutdown_sessions),
        C(maxconn) and C(timeouts) of a pool are those of C(haproxy_pools) in the role P(holdfast.ha.haproxy#role).
      - C(databases) and C(roles) are lists as in the role P(holdfast.ha.postgresql_objects#role). The owner of a
        database is by default the role of its name. Passwords stand in C(ha_role_passwords), never here.
      - C(ports) may change C(postgresql), C(patroni), C(etcd_client), C(etcd_peer) and C(pgbouncer).
      - C(pooler), V(true) or a mapping, runs PgBouncer beside every PostgreSQL, which it reaches through the first pool
        of the role V(primary). C(mode) is V(transaction) (the default), V(session) or V(statement). C(port), by default
        6432, and C(vip) are those of the pool C(pooled), which leads clients to the poolers. A pool with C(service)
        V(pgbouncer) replaces that one; it takes no C(role), C(servers) or C(check). While there are any others, clients
        get no pooler on the primary's host, unless C(spare_primary) is V(false).
      - C(allow_single_etcd) set to V(true) allows a single etcd member, which survives no failure.
      - C(profile) is V(conservative), V(balanced) (the default) or V(fast), and says how soon silence is taken for a
        failure. It sets the defaults of the timing variables of etcd, Patroni, HAProxy, keepalived and the lease
        watcher together; what is set of those wins.
      - C(lease_watch) is the seconds without a renewal after which the leader's lease is revoked by a watcher beside
        every etcd member, in place of the profile's; V(false) for none, so that only the end of C(patroni_ttl) takes
        it. It, or that of a chosen profile, must be at least C(patroni_loop_wait) + 2 * C(patroni_retry_timeout) + 1,
        or C(patroni_loop_wait) + 1 where replication is synchronous (C(docs/failover.md) tells why).
    type: raw
    required: true
"""

EXAMPLES = r"""
# Groups etcd, postgresql, haproxy and backup in hosts.yml; the rest is default.
plugin: holdfast.ha.topology
clusters:
  main:
    vips:
      main: {address: 192.0.2.100/24}
    databases: [{name: app, owner: app}]
    roles: [{name: app}]

---
# Balancers for a web service, without any PostgreSQL.
plugin: holdfast.ha.topology
clusters:
  web:
    groups: {haproxy: balancers}
    vips:
      main: {address: 192.0.2.100/24, virtual_router_id: 51}
      main6: {address: "2001:db8::100/64", virtual_router_id: 51}
    vrrp_sync_groups:
      both: [main, main6]
    pools:
      web:
        port: 80
        service: web
        vip: [main, main6]
        mode: http
        servers: {group: webservers, port: 8080}
        check: {type: http, path: /healthz}
"""

from collections.abc import Iterable, Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any, NoReturn

from ansible import context
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.inventory.helpers import get_group_vars, sort_groups
from ansible.inventory.host import Host
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import is_trusted_as_template, trust_as_template
from ansible.utils.display import Display
from ansible.utils.vars import combine_vars, load_extra_vars
from ansible.vars.plugins import get_vars_from_inventory_sources
from ansible_collections.holdfast.ha.plugins.plugin_utils import inventory_sources
from ansible_collections.holdfast.ha.plugins.plugin_utils.inventory_sources import is_topology
from ansible_collections.holdfast.ha.plugins.plugin_utils.playbooks import interface, inventory_problems, running
from ansible_collections.holdfast.ha.plugins.plugin_utils.secret_text import is_expression, is_templated
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.build import build
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.document import read_document
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.hosts import foreign
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Inventory
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.problems import (
    HIDDEN,
    OPAQUE,
    TEMPLATE_IN_TEXT,
    Problem,
    Problems,
    TopologyError,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import load_roles
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.variables import ROLES, role_of

SECRET_VARIABLES = frozenset({"ha_secrets", "ha_role_passwords"})
COLLECTION = Path(__file__).resolve().parents[2]
PARSER_ERROR = 4
"""The exit code of Ansible's programs."""
NO_GROUPS = ("all", "ungrouped")
AUTHORITY = "certificates_ca_directory"


class InventoryModule(BaseInventoryPlugin):
    """Adapter between Ansible's inventory and the topology's pure functions."""

    NAME = "holdfast.ha.topology"

    def verify_file(self, path: str) -> bool:
        """Whether the file is a topology by its name."""
        return super().verify_file(path) and is_topology(path)

    def parse(self, inventory: InventoryData, loader: DataLoader, path: str, cache: bool = True) -> None:
        """Add C(ha) and the groups to the inventory, or refuse it unchanged."""
        super().parse(inventory, loader, path, cache)
        lines: dict[str, int] = {}
        try:
            refuse_second(inventory, path)
            refuse_later(inventory, loader, path)
            document, lines = read_document(Path(path).read_text(encoding="utf-8"))
            variables = read_variables(inventory, loader, path)
            found, roles = read_inventory(inventory, variables), load_roles(COLLECTION, ROLES)
            topology = build(document, found, roles, needs_secrets=not makes_secrets())
            refuse_options(variables[host] for host in topology.hosts)
        except TopologyError as error:
            refuse(f"{path}: {error}; nothing was changed on any host.\n{error.describe(lines)}")
        except AnsibleError as error:  # such as variables that can't be read or decrypted
            fix = " Fix: give --vault-password-file or --vault-id." if "decrypt" in str(error).lower() else ""
            refuse(f"{path}: the topology can't read the inventory's variables: {error}{fix}")
        for host, variables in topology.hosts.items():
            inventory.set_variable(host, "ha", trusted(variables))
        for group, hosts in topology.groups.items():
            inventory.add_group(group)
            for host in hosts:
                inventory.add_child(group, host)
        if AUTHORITY not in inventory.groups["all"].get_vars():
            inventory.set_variable("all", AUTHORITY, trusted(str(Path(path).parent / ".pki")))


def refuse(message: str) -> NoReturn:
    """End the program with one message, or raise AnsibleParserError where Ansible is a library.

    Ansible would catch the exception, have other plugins try the file, print all their errors, and go on without the
    clusters unless any_unparsed_is_failed is set.
    """
    if not context.CLIARGS:
        raise AnsibleParserError(message)
    Display().error(message)
    raise SystemExit(PARSER_ERROR)


def refuse_second(inventory: InventoryData, path: str) -> None:
    """Raise TopologyError where another file declares clusters, too."""
    for other in (*inventory.processed_sources, *inventory_sources.files(context.CLIARGS.get("inventory") or ())):
        if is_topology(other) and other != path:
            fix = "declare all clusters in one file, or run once for each inventory"
            raise TopologyError([Problem(other, HIDDEN, "is a second topology", fix)])


def refuse_later(inventory: InventoryData, loader: DataLoader, path: str) -> None:
    """Raise TopologyError where a source that is read later has hosts that the clusters would lack."""
    for later in inventory_sources.after(context.CLIARGS.get("inventory") or (), path):
        try:
            own = InventoryManager(loader=loader, sources=[later])
        except AnsibleError:  # Ansible tells it in its turn
            continue
        grouped = {host.name for name, group in own.groups.items() if name not in NO_GROUPS for host in group.hosts}
        if grouped or own.hosts.keys() & inventory.hosts.keys():
            what = "is read after the topology, which does not see its hosts"
            fix = f"name it so that it sorts before {Path(path).name}, as hosts.yml does, or give -i {path} last"
            raise TopologyError([Problem(later, HIDDEN, what, fix)])


def makes_secrets() -> bool:
    """Whether what runs is the playbook that makes the secrets."""
    return running(context.CLIARGS.get("args") or (), COLLECTION, "holdfast.ha") == ["secrets"]


def refuse_options(hosts: Iterable[Mapping[str, Any]]) -> None:
    """Raise TopologyError where hosts' variables misspell options of playbooks, or give what these don't take."""
    options, found = interface().options, Problems()
    for variables in hosts:
        given = {name: plain(value) if name in options else OPAQUE for name, value in variables.items()}
        for problem in inventory_problems(given, foreign(variables)):
            found.add(*astuple(problem))
    if found.found:
        raise TopologyError(found.found)


def read_variables(inventory: InventoryData, loader: DataLoader, path: str) -> dict[str, dict[str, Any]]:
    """What earlier sources, group_vars and host_vars say, by host."""
    # Ansible reads group_vars beside what -i names, not in the folders below it.
    sources = list(context.CLIARGS.get("inventory") or [*inventory.processed_sources, path])
    return {name: _variables(inventory, host, loader, sources) for name, host in inventory.hosts.items()}


def read_inventory(inventory: InventoryData, variables: Mapping[str, Mapping[str, Any]]) -> Inventory:
    """The groups, and what concerns the topology and the roles as plain data."""
    names = {name: tuple(sorted(host.name for host in group.get_hosts())) for name, group in inventory.groups.items()}
    return Inventory({host: _plain_variables(given) for host, given in variables.items()}, names)


def _variables(inventory: InventoryData, host: Host, loader: DataLoader, sources: list[str]) -> dict[str, Any]:
    """A host's variables in Ansible's own order of precedence."""
    groups = sort_groups({inventory.groups["all"], *host.get_groups()})
    of_groups = combine_vars(get_group_vars(groups), get_vars_from_inventory_sources(loader, sources, groups, "all"))
    of_host = combine_vars(host.get_vars(), get_vars_from_inventory_sources(loader, sources, [host], "all"))
    of_command_line = {name: value for name, value in load_extra_vars(loader).items() if name in SECRET_VARIABLES}
    return combine_vars(combine_vars(of_groups, of_host), of_command_line)


def _plain_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that concern the topology and the roles."""
    return {
        name: plain(value)
        for name, value in variables.items()
        if name == "ansible_host" or (name.startswith("ha_")) or role_of(name)
    }  # fmt: skip


def plain(value: Any) -> Any:
    """Plain data, with OPAQUE in place of what is vaulted or templated."""
    if isinstance(value, EncryptedString):
        return OPAQUE
    if isinstance(value, str):
        if not (is_trusted_as_template(value) and is_templated(value)):
            return str(value)
        return OPAQUE if is_expression(value) else TEMPLATE_IN_TEXT
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value


def trusted(value: Any) -> Any:
    """A copy of plain data whose texts Ansible takes as the user's own, like those of hosts.yml.

    Untrusted ones would be shown as C(__ansible_unsafe) by C(ansible-inventory --list). C(trusted_by_default) is no
    help: what applies it is kept from the first plugin that set a variable in the inventory.
    """
    if isinstance(value, dict):
        return {key: trusted(part) for key, part in value.items()}
    if isinstance(value, list):
        return [trusted(part) for part in value]
    return trust_as_template(value) if isinstance(value, str) else value
