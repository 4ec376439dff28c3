#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_preflight
short_description: Check whether a host can run its part of a cluster
version_added: 1.0.0
description:
  - Checks operating system, init, memory, disk, addresses, interfaces of virtual addresses, ports, packages and clock.
  - Changes nothing and returns its findings instead of failing, so that the findings of all hosts can be shown
    together.
  - The action plugin of the same name measures the offset of the host's clock from the controller's.
author: Holdfast contributors (@holdfast)
attributes:
  check_mode:
    support: full
    description: Can run in check_mode and return changed status without changing the host.
  diff_mode:
    support: none
    description: Will return details on what has changed when in diff mode.
options:
  address:
    description: The host's own address, which an interface must carry.
    type: str
  ports:
    description: TCP ports that the host's components will own.
    type: list
    elements: dict
    default: []
    suboptions:
      port:
        description: The port.
        type: int
        required: true
      component:
        description: The component that will listen on it.
        type: str
        required: true
      units:
        description: Names of the systemd units that may listen on it already.
        type: list
        elements: str
        required: true
      addresses:
        description: Where it will listen, everywhere when empty.
        type: list
        elements: str
        default: []
  vrrp_instances:
    description: VRRP instances, dictionaries with C(addresses) in CIDR notation and optionally C(interface).
    type: list
    elements: dict
    default: []
  memory:
    description: The least memory in MiB.
    type: int
    default: 512
  disk:
    description: The least free space of C(/var/lib), and of the file systems of O(directories), in MiB.
    type: int
    default: 2048
  directories:
    description:
      - Data directories, by the variables that name them. None may itself be a mount point, because a restore renames
        it; it may be below one.
    type: dict
    default: {}
  packages:
    description: Packages that the host will need; C(%v) stands for the major version of PostgreSQL.
    type: list
    elements: str
    default: []
  postgresql:
    description:
      - Of the cluster's PostgreSQL, the declared C(version) or an empty text, and the C(data_directory).
      - C(distributions) are the versions by distribution, such as C(Debian 13). The action plugin adds them.
    type: dict
    default: {}
  repositories:
    description: The declared repositories, as those of M(holdfast.ha.package_repositories).
    type: list
    elements: dict
    default: []
  calendars:
    description: systemd calendar expressions of jobs, by the variables that hold them.
    type: dict
    default: {}
  spans:
    description: systemd time spans of jobs, by the variables that hold them; empty ones are ignored.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Look at a balancer
  holdfast.ha.host_preflight:
    address: 198.51.100.21
    ports:
      - {port: 5000, component: haproxy, units: [haproxy.service], addresses: [198.51.100.100]}
    vrrp_instances:
      - {addresses: [198.51.100.100/24], interface: eth0}
"""

RETURN = r"""
findings:
  description: What is wrong, empty when nothing is.
  returned: always
  type: list
  elements: dict
  contains:
    check:
      description: The name of the check.
      type: str
    value:
      description: What was found.
      type: str
    fix:
      description: How to fix it.
      type: str
    level:
      description: V(error) stops the work, V(warning) does not.
      type: str
  sample:
    - {check: port 5432, value: mysqld listens on 0.0.0.0, fix: stop it or give postgresql another port, level: error}
packages:
  description: What M(holdfast.ha.packages_info) would return for O(packages).
  returned: always
  type: dict
  sample: {missing: [haproxy], broken: [], versions: {keepalived: 2.3.3}, policy: absent, repositories: []}
postgresql_version:
  description: The version of PostgreSQL for which O(packages) were judged, by what this host alone knows.
  returned: always
  type: str
  sample: "17"
jobs:
  description: Units of backup jobs on the host, whether still declared or not.
  returned: always
  type: list
  elements: str
  sample: [holdfast-job-etc.timer]
interface_of:
  description: The interfaces by their addresses.
  returned: always
  type: dict
  sample: {198.51.100.21: eth0}
store:
  description:
    - The installed or installable versions of etcd and Patroni, none where the host neither has nor gets them.
      V(guarded) says that etcd requires a login for a lease's keepalive, V(authenticates) that Patroni logs in for it.
  returned: always
  type: dict
  sample:
    etcd: {version: 3.5.16, guarded: false, root_only: false}
    patroni: {version: 4.0.7, authenticates: false}
ansible_facts:
  description: The facts that the roles use; no play needs to gather them again.
  returned: always
  type: dict
  sample: {ansible_distribution: Debian, ansible_memtotal_mb: 3924, ansible_processor_nproc: 2}
clock:
  description: The least and the greatest number of seconds by which the host's clock can be ahead of the controller's.
  returned: when the clock could be measured
  type: list
  elements: float
  sample: [-0.013, 0.021]
"""

from dataclasses import asdict
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import host_preflight as preflight
from ansible_collections.holdfast.ha.plugins.module_utils.host_facts import (
    observe,
    package_findings,
    packages,
    postgresql_version,
    server_findings,
    store,
    time_findings,
)
from ansible_collections.holdfast.ha.plugins.module_utils.package_sources import present
from ansible_collections.holdfast.ha.plugins.module_utils.protection import policy

UNIT_DIRECTORY = Path("/etc/systemd/system")
PORT_OPTIONS = {
    "port": {"type": "int", "required": True},
    "component": {"type": "str", "required": True},
    "units": {"type": "list", "elements": "str", "required": True},
    "addresses": {"type": "list", "elements": "str", "default": []},
}


ARGUMENTS = {
    "address": {"type": "str"},
    "ports": {"type": "list", "elements": "dict", "default": [], "options": PORT_OPTIONS},
    "vrrp_instances": {"type": "list", "elements": "dict", "default": []},
    "memory": {"type": "int", "default": 512},
    "disk": {"type": "int", "default": 2048},
    "packages": {"type": "list", "elements": "str", "default": []},
    "postgresql": {"type": "dict", "default": {}},
    "repositories": {"type": "list", "elements": "dict", "default": []},
    "calendars": {"type": "dict", "default": {}},
    "spans": {"type": "dict", "default": {}},
    "directories": {"type": "dict", "default": {}},
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    virtual_addresses = [
        preflight.VirtualAddress(address, instance.get("interface"))
        for instance in module.params["vrrp_instances"]
        for address in instance["addresses"]
    ]
    expected = preflight.Expectation(
        address=module.params["address"],
        ports=[preflight.Port(**port) for port in module.params["ports"]],
        virtual_addresses=virtual_addresses,
        memory=module.params["memory"],
        disk=module.params["disk"],
        directories=module.params["directories"],
    )
    version = postgresql_version(module.params["postgresql"])
    known = packages(module, version)
    facts = observe(module, {port.port for port in expected.ports})
    findings = (
        *preflight.judge(facts, expected),
        *package_findings(module, facts, known),
        *server_findings(module, known, version),
        *time_findings(module),
    )
    module.exit_json(
        changed=False,
        findings=[asdict(finding) for finding in findings],
        packages={**asdict(known), "policy": policy(), "repositories": present()},
        postgresql_version=version,
        store=store(module, known),
        jobs=sorted(path.name for path in UNIT_DIRECTORY.glob("holdfast-job-*.*")),
        interface_of=preflight.interfaces_by_address(facts.interfaces),
        ansible_facts=preflight.ansible_facts(facts),
    )


if __name__ == "__main__":
    main()
