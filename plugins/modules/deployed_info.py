#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: deployed_info
short_description: Report what is deployed on a host of a cluster
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Reads from the host's own files and services which cluster the host belongs to, under which name and with which
    data, and whether the desired secrets are in use. Returns no secret. A host without a deployment is a valid result.
  - The action plugin of the same name passes the desired state; M(holdfast.ha.preflight_report) compares the two.
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status without changing anything.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  prove:
    description:
      - Whether to try the desired and the former secrets also where only this host asks for them. These are Patroni's
        REST interface, PgBouncer's console and HAProxy's statistics page.
      - The action plugin reads it.
    type: bool
    default: false
  wished:
    description:
      - The desired state as a JSON document; it is one string, so that Ansible hides all of it.
      - >-
        C(secrets) by the names of C(ha_secrets), and C(former) values; C(data_directory), C(port) and C(superuser) of
        PostgreSQL; C(stanza); C(repositories) that the host stores or reads directly, each with C(variable), C(place),
        C(type), C(path), C(cipher_type) and C(cipher_pass); C(directories) of the host's components, each with
        C(variable), C(path) and C(owner); C(units), by component its unit and the collection's file that the unit
        reads; C(etcd_users) and C(sql_roles), by secret the user or role whose password it is; C(stored), by secret the
        file that holds it; C(tls), the paths C(ca), C(cert) and C(key) with which etcd and Patroni are asked;
        C(rest_user) and C(console), the users of Patroni's REST interface and PgBouncer's console; C(prove), as the
        option.
      - The action plugin sets it.
    type: str
    default: "{}"
"""

EXAMPLES = r"""
- name: Read what is deployed
  holdfast.ha.deployed_info:
  register: deployed_host
"""

RETURN = r"""
deployed:
  description: >-
    The observed state. C(patroni), C(postgresql), C(etcd) and C(pgbackrest) are null where not deployed. C(components)
    are those whose unit is enabled, C(patroni_members) the members' names. C(vrrp_peers) are the addresses of
    keepalived's peers on this host and of other senders of VRRP adverts. C(taken) has, by variable, the present user of
    a desired directory, C(kept), by backup job, how many snapshots it keeps. C(emptied) are the paths of repositories
    that had backups of the stanza and no longer know it. C(trusted) are the authorities that services trust. C(keeps)
    says whether the host's certificate is from an authority that they are to trust. C(secrets) says by name whether the
    desired secret is C(stored) and C(accepted), whether another login stands in for its own (C(standin)) with another
    password (C(foreign)), and whether the C(former) value is accepted.
  returned: always
  type: dict
  sample:
    patroni:
      {scope: lab, namespace: /service/, name: db1, address: 198.51.100.11, port: 5432, rest_port: 8008,
       data_directory: /var/lib/postgresql/lab, users: {superuser: postgres, replication: replicator, rewind: rewinder},
       stores: [198.51.100.11, 198.51.100.12, 198.51.100.13]}
    postgresql:
      {data_directory: /var/lib/postgresql/lab, version: "17", archive_command: /bin/true, archive_library: "",
       archive_mode: "on", encoding: UTF8, locale: C.UTF-8, idle: false}
    etcd:
      {name: db1, data_directory: /var/lib/etcd/holdfast-lab, wal_directory: /var/lib/etcd/holdfast-lab/member/wal,
       client_url: "https://198.51.100.11:2379", peer_url: "https://198.51.100.11:2380",
       members: {"https://198.51.100.11:2380": db1}}
    pgbackrest: {stanza: lab, hosts: [198.51.100.31], places: [], retention: {}}
    components: [etcd, postgresql]
    patroni_members: [db1, db2, db3]
    secrets: {postgresql_replication: {stored: true, accepted: true, standin: false, foreign: null, former: null}}
    system: Debian 13
    vrrp_peers: []
    taken: {}
    kept: {etcd: 14, etc: {daily: 30}}
    emptied: []
    trusted: "-----BEGIN CERTIFICATE-----..."
    keeps: true
unsettled:
  description: Names of secrets of which this host lacks the desired value, or a service does, or has the former one.
  returned: with O(prove)
  type: list
  elements: str
marks:
  description: The hosts in maintenance, as this host knows them; see M(holdfast.ha.maintenance_info).
  returned: unless they can't be read
  type: list
  elements: dict
"""

import json
import os
from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import maintenance, safe_path
from ansible_collections.holdfast.ha.plugins.module_utils.deployed_look import BlindError, look


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "prove": {"type": "bool", "default": False},
            "wished": {"type": "str", "default": "{}", "no_log": True},
        },
        supports_check_mode=True,
    )
    if os.geteuid() != 0:
        module.fail_json(msg="root's rights are missing: most files can be read by root only")
    try:
        marks = [asdict(mark) for mark in maintenance.read()]
    except (OSError, safe_path.UnsafePathError) as error:
        module.fail_json(msg=f"{maintenance.DIRECTORY}: {error}")
    try:
        deployed = asdict(look(module, json.loads(module.params["wished"])))
    except BlindError as error:
        module.fail_json(msg=str(error), marks=marks)
    module.exit_json(changed=False, deployed=deployed, marks=marks)


if __name__ == "__main__":
    main()
