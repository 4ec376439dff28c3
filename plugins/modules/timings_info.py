#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: timings_info
short_description: Report the timings of a host's services
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Reads the intervals, timeouts and thresholds of HAProxy, keepalived, the lease watcher and etcd from their
    configuration files. Returns nothing else from these files.
  - Also returns whether Patroni runs with its amendments, and whether it needs a restart to apply its files.
  - Also returns the kernel's settings of the role connections.
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: Changes nothing.
"""

EXAMPLES = r"""
- name: Read the timings
  holdfast.ha.timings_info:
  register: timings
"""

RETURN = r"""
haproxy:
  description: The checks of each backend by its name, in seconds and counts; null on a host without HAProxy.
  returned: success
  type: dict
  sample:
    primary: {inter: 0.5, fastinter: 0.25, downinter: 0.5, fall: 2, rise: 1, timeout_check: 1.5, timeout_connect: 2.0}
keepalived:
  description: The VRRP instances and track scripts by name, in seconds and counts; null on a host without keepalived.
  returned: success
  type: dict
  sample:
    instances: {main: {advert_int: 0.2, priority: 150}}
    scripts: {haproxy: {interval: 0.5, timeout: 2.0, fall: 2}}
lease_watcher:
  description: The rules of the lease watcher, in seconds; null where none runs.
  returned: success
  type: dict
  sample: {seconds: 8, interval: 0.5, fencing_after: null}
etcd:
  description: The timings of the etcd member, in seconds; null on a host without one.
  returned: success
  type: dict
  sample: {heartbeat_interval: 0.1, election_timeout: 1.0}
patroni:
  description:
    - C(amended), whether Patroni runs with the amendments of the role patroni, or would if it ran.
    - C(unchanged), whether it runs without them although its unit asks for them.
    - C(restart_due), whether it started before its unit or start program last changed.
    - Null on a host without Patroni.
  returned: success
  type: dict
  sample: {amended: true, unchanged: false, restart_due: false}
connections:
  description:
    - The kernel's settings by name, C(kept) as in the file that is applied at boot, and C(live) as they are now.
    - Null on a host without the file.
  returned: success
  type: dict
  sample: {net.ipv4.tcp_retries2: {kept: "5", live: "5"}}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.component import UNIT_PROPERTIES, FoundUnit, parse_units
from ansible_collections.holdfast.ha.plugins.module_utils.timings import (
    LEASE_WATCHER_UNIT,
    PATRONI_UNIT,
    read,
    restart_due,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)

    names = (LEASE_WATCHER_UNIT, PATRONI_UNIT)
    asked = ["systemctl", "show", "--timestamp=us+utc", f"--property={','.join(UNIT_PROPERTIES)}", *names]
    known = parse_units(module.run_command(asked)[1])
    units = {name: known.get(name, FoundUnit()) for name in names}
    try:
        found = read(lambda name: units[name].active_state == "active")
        if found["patroni"]:
            patroni = units[PATRONI_UNIT]
            found["patroni"]["restart_due"] = patroni.running and restart_due(patroni.started_at)
        module.exit_json(changed=False, **found)
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
