# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Inventory plugin: layers the clusters' model on an ordinary inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: topology
short_description: Derives high-availability clusters from groups, host variables and one file
version_added: 1.0.0
author:
  - Holdfast contributors (@holdfast)
description:
  - Reads a file whose name ends in C(topology.ha.yml) or C(topology.ha.yaml), which names clusters with their virtual
    IP addresses, pools, databases and roles, and combines it with the hosts, groups and variables of the inventory
    sources parsed before it.
  - Gives every member one variable, C(ha), a plain dictionary with all data of its cluster, and adds
    the groups C(holdfast), C(holdfast_etcd), C(holdfast_postgresql), C(holdfast_lease_watcher), C(holdfast_haproxy),
    C(holdfast_keepalived), C(holdfast_pgbouncer), C(holdfast_backup), C(holdfast_backup_jobs) and
    C(holdfast_cluster_<name>).
  - Refuses an inventory that cannot work, and reports all problems at once, each with the variable, its value and the
    fix. It also checks the variables of the collection's roles in the inventory.
  - Gives the group C(all) the variable C(certificates_ca_directory), the folder C(.pki) beside this file, unless the
    group has it. Thus an inventory has one authority, however its hosts are spread over files and folders, and at
    most one file for this plugin.
  - Secrets must exist (unless C(playbooks/secrets.yml) runs, which generates them), and have only characters that all
    files with them can hold; their values are never shown.
    Vaulted and templated ones are neither decrypted nor templated; C(playbooks/preflight.yml) judges these.
notes:
  - In an inventory directory files are read in alphabetical order, so C(hosts.yml) comes before C(topology.ha.yml).
    Among several C(-i) options the topology's has to be the last.
  - A refused topology ends the program. For other unreadable inventory sources Ansible only warns, unless
    C(any_unparsed_is_failed) in the section C([inventory]) of C(ansible.cfg) is true. Set it.
  - Files in C(group_vars) and C(host_vars) are seen where Ansible reads them, which is beside what C(-i) names and not
    in folders below it. Those beside a playbook are not.
  - "Variables of a host: C(ansible_host), its IP address (or C(ha_address) where that is a name or another network);
    C(ha_extra_addresses), a list of further ones, such as an IPv6 address; C(ha_zone); C(ha_failover_priority), with
    V(0) for a member that never becomes primary; C(ha_vrrp_priority), 1 to 254; C(ha_interface) for virtual
    addresses; C(ha_foreign_variables), names and patterns of variables that look like Holdfast's and are not."
options:
  # generated: options
  plugin:
    description:
      - Marks the file as one for this plugin.
    type: str
    choices:
      - holdfast.ha.topology
    required: true
  clusters:
    description:
      - The clusters by name. A name has lower-case letters, digits and C(_), a letter first, at most 31.
        It is also Patroni's scope and pgBackRest's stanza.
    type: dict
    required: true
    suboptions:
      <name>:
        description:
          - A name of your choice.
        type: dict
        suboptions:
          groups:
            description:
              - Groups of the inventory by component. The cluster has only the components named here. By
                default it has the groups with these names, as far as the inventory has them.
              - 'For example V({etcd: shop_db, postgresql: shop_db, haproxy: shop_lb}).'
            type: dict
            suboptions:
              etcd:
                description:
                  - Group of the etcd members, an odd number of hosts.
                  - For example V(etcd).
                type: str
              postgresql:
                description:
                  - Group of the PostgreSQL members, which Patroni manages. It needs etcd, and may be the
                    same group.
                  - For example V(postgresql).
                type: str
              haproxy:
                description:
                  - Group of the balancers. With C(vips) keepalived runs there as well.
                  - For example V(haproxy).
                type: str
              backup:
                description:
                  - Group of the one host with the pgBackRest repository.
                  - For example V(backup).
                type: str
              monitoring:
                description:
                  - Group of the one host with Prometheus and Alertmanager, which may have other components.
                  - For example V(monitoring).
                type: str
          network:
            description:
              - Networks in which hosts and virtual addresses must lie. Without it balancers must lie in
                the networks of their virtual addresses, and other hosts may lie anywhere.
              - Network in CIDR notation, or a list of them, for example V(192.0.2.0/24).
            type: raw
          clients:
            description:
              - Networks that may log in to PostgreSQL. By default C(network), or the networks of the virtual
                addresses. PostgreSQL, PgBouncer and the pools that lead to them refuse all others. PostgreSQL
                sees only the balancer's address of connections through a balancer.
              - Network in CIDR notation, or a list of them, for example V([192.0.2.0/24, 198.51.100.0/24]).
            type: raw
          vips:
            description:
              - Virtual IP addresses by name. keepalived moves them between the balancers.
            type: dict
            suboptions:
              <name>:
                description:
                  - A name of your choice.
                type: dict
                suboptions:
                  address:
                    description:
                      - A free address with the prefix length of its network. Every balancer has an address
                        in this network.
                      - IP address with a prefix length, for example V(192.0.2.100/24).
                    type: str
                    required: true
                  interface:
                    description:
                      - Network interface of the balancers. By default C(ha_interface) of the host, or the
                        interface that has the host's address in this network.
                      - For example V(eth0).
                    type: str
                  virtual_router_id:
                    description:
                      - VRRP's virtual router ID, which must be free in the network. By default it is derived
                        from the names of the cluster and the address.
                      - Integer from 1 to 255, for example V(51).
                    type: int
                  priorities:
                    description:
                      - VRRP priority by balancer; the highest one holds the address. By default C(ha_vrrp_priority)
                        of the host, or derived from the names.
                      - 'Mapping by host: integer from 1 to 254, for example V({lb1: 150, lb2: 100}).'
                    type: dict
          vrrp_sync_groups:
            description:
              - Virtual IP addresses that move together, by name of the sync group.
              - 'Mapping by name: list of texts, for example V({both: [main, main6]}).'
            type: dict
          pools:
            description:
              - HAProxy's pools by name. PostgreSQL has the pools V(primary) on port 5000 and V(standby)
                on port 5001 unless pools of these names are declared here. V(false) leaves one out.
            type: dict
            suboptions:
              <name>:
                description:
                  - A name of your choice.
                  - Mapping, or V(false).
                type: raw
                suboptions:
                  port:
                    description:
                      - Port of the balancers on which the pool listens.
                      - Integer from 1 to 65535, for example V(5000).
                    type: int
                    required: true
                  service:
                    description:
                      - What the pool serves. V(postgresql) leads to the cluster's PostgreSQL, V(pgbouncer)
                        to its poolers (C(pooler)), any other name to C(servers).
                      - For example V(web).
                    type: str
                    default: postgresql
                  vip:
                    description:
                      - Names of the virtual IP addresses on which the pool listens. By default V(main)
                        or the only one. Without any virtual address the pool listens on every address of
                        the balancers.
                      - Text, or a list of them, for example V([main, main6]).
                    type: raw
                  clients:
                    description:
                      - Networks that the balancers let in. A pool that leads to PostgreSQL lets in the
                        cluster's C(clients) by default, and its own networks must be parts of these. Any
                        other pool lets in everyone by default. A pool leads to PostgreSQL, whatever its
                        service is called, where one of its servers, or an address in C(backend_options),
                        is a PostgreSQL, a pooler or such a pool of any cluster in the file. The address
                        of the connection itself counts, not that of a PROXY header.
                      - Network in CIDR notation, or a list of them, for example V([192.0.2.0/24]).
                    type: raw
                  balance:
                    description:
                      - Balancing algorithm with its arguments, for example V(leastconn); V(roundrobin)
                        unless given.
                    type: str
                  server_options:
                    description:
                      - Further options of all servers, in HAProxy's words.
                      - For example V(maxconn 100).
                    type: str
                  bind_options:
                    description:
                      - Further options of the bind lines, in HAProxy's words, for example V(ssl crt /etc/ssl/site.pem).
                    type: str
                  frontend_options:
                    description:
                      - Further lines of the frontend, in HAProxy's words.
                      - For example V([option httplog]).
                    type: list
                    elements: str
                  backend_options:
                    description:
                      - Further lines of the backend, in HAProxy's words.
                      - For example V([retries 1]).
                    type: list
                    elements: str
                  shutdown_sessions:
                    description:
                      - Whether a server's sessions are closed when it is marked down; V(true) by default.
                      - For example V(false).
                    type: bool
                  maxconn:
                    description:
                      - Maximum number of concurrent connections of the frontend.
                      - For example V(500).
                    type: int
                  timeouts:
                    description:
                      - Timeouts that differ from the role's.
                      - 'For example V({client: 1h, server: 1h}).'
                    type: dict
                    suboptions:
                      client:
                        description:
                          - Longest silence of the client.
                        type: str
                      connect:
                        description:
                          - Longest time to connect to a server. It is also the pause, at most one second,
                            before a server that refused a client's connection is retried. If set here,
                            it does not limit the checks, unlike C(haproxy_timeout_connect). The checks
                            move to a separate backend.
                        type: str
                      server:
                        description:
                          - Longest silence of the server.
                        type: str
                  role:
                    description:
                      - Required with C(service) V(postgresql). Members that serve, by their role in Patroni.
                      - For example V(primary).
                    type: str
                    choices:
                      - primary
                      - standby
                      - any
                  mode:
                    description:
                      - With a C(service) other than V(postgresql) and V(pgbouncer). What HAProxy understands
                        of the traffic.
                    type: str
                    choices:
                      - tcp
                      - http
                    default: tcp
                  servers:
                    description:
                      - Required with a C(service) other than V(postgresql) and V(pgbouncer). Servers of
                        the pool. A mapping takes the hosts of a group; a list names each server.
                      - 'Mapping or list of mappings, for example V({group: webservers, port: 8080}).'
                    type: raw
                    suboptions:
                      port:
                        description:
                          - Port of the service.
                          - Integer from 1 to 65535, for example V(8080).
                        type: int
                        required: true
                      check_port:
                        description:
                          - Port of the check, by default that of the service.
                          - Integer from 1 to 65535, for example V(8081).
                        type: int
                      group:
                        description:
                          - Required in a mapping. Group of the inventory.
                          - For example V(webservers).
                        type: str
                      name:
                        description:
                          - Required in a list. Name of the server, which a check over TLS expects in its
                            certificate.
                          - For example V(web1).
                        type: str
                      address:
                        description:
                          - Required in a list. IP address of the server.
                          - IP address, for example V(192.0.2.21).
                        type: str
                  check:
                    description:
                      - With a C(service) other than V(postgresql) and V(pgbouncer). How HAProxy judges
                        whether a server can serve. By default it opens a connection.
                      - 'For example V({type: http, path: /healthz}).'
                    type: dict
                    suboptions:
                      type:
                        description:
                          - V(tcp) opens a connection, V(http) sends a request, V(none) trusts the server
                            blindly. The other keys but C(tls) go with V(http) only.
                          - For example V(http).
                        type: str
                        choices:
                          - tcp
                          - http
                          - none
                        required: true
                      path:
                        description:
                          - Path of the request, by default V(/).
                          - For example V(/healthz).
                        type: str
                      tls:
                        description:
                          - Whether the check speaks TLS. The server's certificate must come from the cluster's
                            authority.
                        type: bool
                        default: false
                      method:
                        description:
                          - Method of the request; V(HEAD) unless given.
                          - For example V(GET).
                        type: str
                      host:
                        description:
                          - Value of the request's Host header; none is sent unless given.
                          - For example V(www.example.com).
                        type: str
                      status:
                        description:
                          - Expected status, a code or a range such as V(200-399); V(200) unless given.
                        type: str
                      body:
                        description:
                          - Text that the response must also contain. Requires a C(check.method) with a
                            response body, such as V(GET).
                          - 'For example V(''"state": "running"'').'
                        type: str
                      body_pattern:
                        description:
                          - Regular expression that the response must also match. Requires such a method
                            as well.
                          - For example V(ready|live).
                        type: str
                      drains:
                        description:
                          - Text by which a server announces its shutdown. From the first such response
                            on it gets no new sessions. Any other failed response must occur C(haproxy_check_fall)
                            times; the server's sessions are then closed.
                          - 'For example V(''"state": "stopping"'').'
                        type: str
          databases:
            description:
              - Databases. The owner is by default the role with the database's name.
              - 'For example V([{name: app, owner: app}]).'
            type: list
            elements: dict
            suboptions:
              name:
                description:
                  - Name of the database.
                type: str
                required: true
              owner:
                description:
                  - Role that owns it.
                type: str
              encoding:
                description:
                  - Its encoding, for a new database.
                type: str
              locale:
                description:
                  - Its collation and character type, for a new database.
                type: str
              template:
                description:
                  - Database to copy, for a new database. V(template0) if an encoding or a locale is given.
                type: str
              state:
                description:
                  - Whether it exists; V(present) unless given.
                type: str
                choices:
                  - present
                  - absent
          roles:
            description:
              - SQL roles. Their passwords stand in C(ha_role_passwords), vaulted.
              - 'For example V([{name: app}]).'
            type: list
            elements: dict
            suboptions:
              name:
                description:
                  - Name of the role.
                type: str
                required: true
              flags:
                description:
                  - Attributes such as V(CREATEDB,NOSUPERUSER), separated by commas only; the role may log
                    in without V(NOLOGIN).
                type: str
              connection_limit:
                description:
                  - Maximum number of concurrent connections; V(-1) is unlimited.
                type: int
              state:
                description:
                  - Whether it exists; V(present) unless given.
                type: str
                choices:
                  - present
                  - absent
          ports:
            description:
              - TCP ports of the services on the members.
            type: dict
            suboptions:
              postgresql:
                description:
                  - PostgreSQL.
                  - Integer from 1 to 65535.
                type: int
                default: 5432
              patroni:
                description:
                  - Patroni's REST API.
                  - Integer from 1 to 65535.
                type: int
                default: 8008
              etcd_client:
                description:
                  - etcd, for its clients.
                  - Integer from 1 to 65535.
                type: int
                default: 2379
              etcd_peer:
                description:
                  - etcd, between its members.
                  - Integer from 1 to 65535.
                type: int
                default: 2380
              pgbouncer:
                description:
                  - PgBouncer.
                  - Integer from 1 to 65535.
                type: int
                default: 6432
              node_exporter:
                description:
                  - Metrics of the host.
                  - Integer from 1 to 65535.
                type: int
                default: 9100
              postgres_exporter:
                description:
                  - Metrics of PostgreSQL.
                  - Integer from 1 to 65535.
                type: int
                default: 9187
              pgbouncer_exporter:
                description:
                  - Metrics of PgBouncer.
                  - Integer from 1 to 65535.
                type: int
                default: 9127
              pgbackrest_exporter:
                description:
                  - Metrics of the backups.
                  - Integer from 1 to 65535.
                type: int
                default: 9854
              blackbox_exporter:
                description:
                  - Metrics of the probes through the virtual addresses.
                  - Integer from 1 to 65535.
                type: int
                default: 9115
              haproxy_metrics:
                description:
                  - Metrics of HAProxy.
                  - Integer from 1 to 65535.
                type: int
                default: 8406
              prometheus:
                description:
                  - Prometheus.
                  - Integer from 1 to 65535.
                type: int
                default: 9090
              alertmanager:
                description:
                  - Alertmanager.
                  - Integer from 1 to 65535.
                type: int
                default: 9093
          allow_single_etcd:
            description:
              - Whether a single etcd member is allowed, which survives no failure.
            type: bool
            default: false
          profile:
            description:
              - How soon silence counts as a failure. It sets the defaults of the timing variables of etcd,
                Patroni, HAProxy, keepalived and the lease watcher together. Variables that you set take
                precedence.
            type: str
            choices:
              - conservative
              - balanced
              - fast
            default: balanced
          lease_watch:
            description:
              - Seconds without a renewal after which a watcher beside every etcd member revokes the leader's
                lease. By default those of the profile. V(false) runs no watcher; then only the end of C(patroni_ttl)
                ends the lease. It must be at least C(patroni_loop_wait) + 1 with synchronous replication.
                Without, it must be at least 4 * C(patroni_retry_timeout) + 2, and C(patroni_loop_wait)
                + 2 * C(patroni_retry_timeout) + 1 (C(docs/lease-watcher.md) says why).
              - Integer from 2 to 3600, or V(false), for example V(8).
            type: raw
          pooler:
            description:
              - PgBouncer beside every PostgreSQL. Each one reaches the primary through the first pool with
                the role V(primary). V(true) takes all defaults. A pool with C(service) V(pgbouncer) replaces
                the pool V(pooled).
              - Boolean or mapping.
            type: raw
            suboptions:
              port:
                description:
                  - Port of the pool V(pooled), through which clients reach the poolers.
                  - Integer from 1 to 65535.
                type: int
                default: 6432
              mode:
                description:
                  - When a server connection returns to PgBouncer's pool.
                type: str
                choices:
                  - session
                  - transaction
                  - statement
                default: transaction
              vip:
                description:
                  - Names of the virtual IP addresses of the pool V(pooled), with the default of any pool.
                  - Text, or a list of them.
                type: raw
              spare_primary:
                description:
                  - Whether clients get a pooler of another host than the primary's, as long as one is up.
                type: bool
                default: true
          monitoring:
            description:
              - Metrics of every host, over TLS with client certificates. V(true) takes all defaults, and
                is the default where the group C(monitoring) exists. V(false) has neither exporters nor
                Prometheus.
              - Boolean or mapping.
            type: raw
            suboptions:
              external:
                description:
                  - Whether a Prometheus of your own reads the metrics. Then there are exporters only.
                type: bool
                default: false
              interval:
                description:
                  - Seconds between two readings.
                  - Integer from 5 to 300.
                type: int
                default: 15
              without:
                description:
                  - Exporters that don't run. Debian 12 has no package of V(pgbackrest). The one of the
                    host always runs.
                  - V(postgres), V(pgbouncer), V(pgbackrest) or V(blackbox), or a list of them, for example
                    V([pgbackrest]).
                type: raw
          tuning:
            description:
              - Settings of PostgreSQL from the hosts' memory and processors and the workload, beyond sizes
                of memory (C(docs/tuning.md)). V(true) takes all defaults. By default there are none. Parameters
                that you set take precedence.
              - Boolean or mapping.
            type: raw
            suboptions:
              workload:
                description:
                  - V(oltp) for many short transactions, V(analytics) for few long queries.
                type: str
                choices:
                  - oltp
                  - analytics
                default: oltp
              storage:
                description:
                  - What the data is stored on. V(ssd) for everything without moving parts, also behind
                    a network.
                type: str
                choices:
                  - ssd
                  - hdd
                default: ssd
              host:
                description:
                  - Whether the database hosts' kernels are tuned as well. This affects all that runs on
                    them, so it is refused in a container.
                type: bool
                default: false
          firewall:
            description:
              - A firewall on every host, which opens each port to those who need it. V(true) takes all
                defaults. By default there is none.
              - Boolean or mapping.
            type: raw
            suboptions:
              ssh:
                description:
                  - Networks that may use SSH, the controller's among them. By default all.
                  - Network in CIDR notation, or a list of them.
                type: raw
              allow:
                description:
                  - Ports that are open besides those of the cluster's own services, on all of its hosts.
                  - 'For example V([{port: [9090, 9093], sources: [192.0.2.0/24]}]).'
                type: list
                elements: dict
                suboptions:
                  port:
                    description:
                      - TCP ports.
                      - Integer from 1 to 65535, or a list of them, for example V([9100, 9187]).
                    type: raw
                    required: true
                  sources:
                    description:
                      - Networks from which they are open. By default all.
                      - Network in CIDR notation, or a list of them, for example V(192.0.2.0/24).
                    type: raw
              others:
                description:
                  - What happens to connections to all other ports.
                type: str
                choices:
                  - drop
                  - accept
                default: drop
  # end
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
from ansible_collections.holdfast.ha.plugins.plugin_utils.playbooks import (
    FOREIGN_IN_INVENTORY,
    MODEL,
    interface,
    inventory_problems,
    running,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import (
    HIDDEN,
    OPAQUE,
    TEMPLATE_IN_TEXT,
    Problem,
    Problems,
    TopologyError,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.secret_text import is_expression, is_templated
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.build import build
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    FORMER_SECRETS,
    ROLES,
    SECRET_VARIABLES,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.document import read_document
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.hosts import FOREIGN, foreign
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Inventory
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import load_roles
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.variables import role_of

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
            FOREIGN_IN_INVENTORY.update(*(foreign(given) for given in variables.values()))
            refuse_options(variables[host] for host in topology.hosts)
        except TopologyError as error:
            refuse(f"{path}: {error}; nothing was changed on any host.\n{error.describe(lines)}")
        except AnsibleError as error:  # such as variables that can't be read or decrypted
            fix = " Fix: give --vault-password-file or --vault-id." if "decrypt" in str(error).lower() else ""
            refuse(f"{path}: the topology can't read the inventory's variables: {error}{fix}")
        for host, variables in topology.hosts.items():
            inventory.set_variable(host, MODEL, trusted(variables))
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
        except AnsibleError:  # Ansible reports it later
            continue
        grouped = {host.name for name, group in own.groups.items() if name not in NO_GROUPS for host in group.hosts}
        if grouped or own.hosts.keys() & inventory.hosts.keys():
            what = "is read after the topology, which does not see its hosts"
            fix = f"name it so that it sorts before {Path(path).name}, as hosts.yml does, or give -i {path} last"
            raise TopologyError([Problem(later, HIDDEN, what, fix)])


def makes_secrets() -> bool:
    """Whether the running playbook is the one that generates the secrets."""
    return running(context.CLIARGS.get("args") or (), COLLECTION, "holdfast.ha") == ["secrets"]


def refuse_options(hosts: Iterable[Mapping[str, Any]]) -> None:
    """Raise TopologyError if hosts' variables misspell options of playbooks, or have invalid values for them."""
    options, found = interface().options, Problems()
    for variables in hosts:
        given = {name: plain(value) if name in options else OPAQUE for name, value in variables.items()}
        for problem in inventory_problems(given, foreign(variables)):
            found.add(*astuple(problem))
    if found.found:
        raise TopologyError(found.found)


def read_variables(inventory: InventoryData, loader: DataLoader, path: str) -> dict[str, dict[str, Any]]:
    """The variables from earlier sources, group_vars and host_vars, by host."""
    # Ansible reads group_vars beside the sources of -i, not in the folders below them.
    sources = list(context.CLIARGS.get("inventory") or [*inventory.processed_sources, path])
    found = {name: _variables(inventory, host, loader, sources) for name, host in inventory.hosts.items()}
    if path in inventory.processed_sources:  # given twice, so this plugin has set it
        return {name: {key: value for key, value in own.items() if key != MODEL} for name, own in found.items()}
    return found


def read_inventory(inventory: InventoryData, variables: Mapping[str, Mapping[str, Any]]) -> Inventory:
    """The groups, and the variables of the topology and the roles as plain data."""
    names = {name: tuple(sorted(host.name for host in group.get_hosts())) for name, group in inventory.groups.items()}
    return Inventory({host: _plain_variables(given) for host, given in variables.items()}, names)


def _variables(inventory: InventoryData, host: Host, loader: DataLoader, sources: list[str]) -> dict[str, Any]:
    """A host's variables in Ansible's own order of precedence."""
    groups = sort_groups({inventory.groups["all"], *host.get_groups()})
    of_groups = combine_vars(get_group_vars(groups), get_vars_from_inventory_sources(loader, sources, groups, "all"))
    of_host = combine_vars(host.get_vars(), get_vars_from_inventory_sources(loader, sources, [host], "all"))
    extra = load_extra_vars(loader)
    of_command_line = {
        name: value for name, value in extra.items() if name in (*SECRET_VARIABLES, *FORMER_SECRETS.values())
    }
    found = combine_vars(combine_vars(of_groups, of_host), of_command_line)
    listed = [*foreign(found), *foreign(extra)]
    return {**found, FOREIGN: listed} if listed else found


def _plain_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that concern the topology and the roles."""
    return {
        name: plain(value)
        for name, value in variables.items()
        if name == "ansible_host" or (name.startswith("ha_")) or role_of(name)
    }  # fmt: skip


def plain(value: Any) -> Any:
    """Plain data, with OPAQUE in place of vaulted or templated values."""
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
    """A copy of plain data whose texts Ansible trusts as the user's own, like those of hosts.yml.

    Untrusted ones would be shown as C(__ansible_unsafe) by C(ansible-inventory --list). C(trusted_by_default) is no
    help: what applies it is kept from the first plugin that set a variable in the inventory.
    """
    if isinstance(value, dict):
        return {key: trusted(part) for key, part in value.items()}
    if isinstance(value, list):
        return [trusted(part) for part in value]
    return trust_as_template(value) if isinstance(value, str) else value
