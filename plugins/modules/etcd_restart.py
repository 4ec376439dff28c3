#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_restart
short_description: Restart one etcd member without losing the quorum
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Waits until the other members have a quorum without this one, restarts it, and waits until it is healthy. Call it on
    one member at a time.
  - A cluster without a quorum has none to lose, so its members are restarted without waiting.
attributes:
  check_mode:
    support: full
    description: Predicts the restart.
  diff_mode:
    support: none
    description: There is nothing to compare.
extends_documentation_fragment:
  - holdfast.ha.etcd
  - holdfast.ha.etcd.member
options:
  others:
    description:
      - Those of O(endpoints) that may be down, such as those whose hosts are not in this run.
      - Where a restart is not safe without them, the module skips it (RV(left)) instead of waiting.
    type: list
    elements: str
    default: []
  unit:
    description: The systemd unit.
    type: str
    default: etcd.service
  timeout:
    description: Seconds to wait for a safe moment, and again for the member to be healthy.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Restart the members one at a time
  holdfast.ha.etcd_restart:
    endpoint: https://198.51.100.11:2379
    endpoints: [https://198.51.100.11:2379, https://198.51.100.12:2379, https://198.51.100.13:2379]
    ca_path: /etc/holdfast/tls/ca.crt
    certificate_path: /etc/holdfast/tls/client.crt
    private_key_path: /etc/holdfast/tls/host.key
  throttle: 1
"""

RETURN = r"""
left:
  description: What was skipped because members are down; one sentence, or none.
  returned: success
  type: list
  elements: str
judgement:
  description: Why the restart was allowed.
  returned: success, without check mode
  type: str
  choices: [safe, harmless]
"""

import time
from collections.abc import Collection
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import Restart, judge_restart
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import (
    CONNECTION_ARGUMENTS,
    POLL_SECONDS,
    EtcdClient,
    Tls,
    all_healthy,
    wait_for,
)

HTTP_TIMEOUT = 3.0

ARGUMENTS: dict[str, Any] = {
    "endpoint": {"type": "str", "required": True},
    "endpoints": {"type": "list", "elements": "str", "required": True},
    "others": {"type": "list", "elements": "str", "default": []},
    **CONNECTION_ARGUMENTS,
    "unit": {"type": "str", "default": "etcd.service"},
    "timeout": {"type": "float", "default": 60},
}


def judge(me: str, seen: dict[str, str | None]) -> Restart:
    """Judge a restart by the reasons for unhealthy endpoints."""
    return judge_restart(me, {url: reason is None for url, reason in seen.items()})


def is_hopeless(me: str, seen: dict[str, str | None], others: Collection[str]) -> bool:
    """Return whether a restart would lose the quorum while the unhealthy others are down."""
    return judge(me, {url: reason if url in others else None for url, reason in seen.items()}) is Restart.UNSAFE


def main_process(module: AnsibleModule) -> tuple[str, str]:
    """Return the unit's state and the id of its main process."""
    command = ["systemctl", "show", "--property=ActiveState,MainPID", module.params["unit"]]
    _rc, out, _err = module.run_command(command, check_rc=True)
    shown = dict(line.split("=", 1) for line in out.splitlines())
    return shown["ActiveState"], shown["MainPID"]


def restart(module: AnsibleModule) -> None:
    """Have systemd restart the unit, without waiting."""
    module.run_command(["systemctl", "restart", "--no-block", module.params["unit"]], check_rc=True)


def wait_for_new_process(module: AnsibleModule, old: str, seconds: float) -> bool:
    """Wait until the unit is active with another process."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        state, pid = main_process(module)
        if state == "active" and pid != old:
            return True
        time.sleep(POLL_SECONDS)
    return False


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    if module.check_mode and not module.params["others"]:
        module.exit_json(changed=True, left=[])
    me, seconds = module.params["endpoint"], module.params["timeout"]
    tls = Tls.from_params(module.params)
    clients = [EtcdClient(tls.client(url, HTTP_TIMEOUT)) for url in module.params["endpoints"]]
    seen = wait_for(clients, lambda found: judge(me, found) is Restart.SAFE, 0)
    if judge(me, seen) is Restart.UNSAFE and is_hopeless(me, seen, module.params["others"]):
        off = [url for url in module.params["others"] if seen[url]]
        module.exit_json(
            changed=False, left=[f"etcd's restart, without {', '.join(off)} it would take the quorum away"]
        )
    if module.check_mode:
        module.exit_json(changed=True, left=[])
    if judge(me, seen) is Restart.UNSAFE:
        seen = wait_for(clients, lambda found: judge(me, found) is not Restart.UNSAFE, seconds)
    judgement = judge(me, seen)
    if judgement is Restart.UNSAFE:
        unwell = {url: reason for url, reason in seen.items() if reason}
        module.fail_json(msg=f"Restarting {me} would take etcd's quorum away: {unwell}")
    _state, old = main_process(module)
    restart(module)
    if judgement is Restart.SAFE:
        own = [client for client in clients if client.http.base_url == me]
        renewed = wait_for_new_process(module, old, seconds)
        if not (renewed and all_healthy(wait_for(own, all_healthy, seconds))):
            module.fail_json(msg=f"{me} isn't healthy {seconds:g} s after its restart")
    module.exit_json(changed=True, judgement=judgement.value, left=[])


if __name__ == "__main__":
    main()
