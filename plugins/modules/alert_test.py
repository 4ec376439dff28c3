#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: alert_test
short_description: Send a test alert through Alertmanager to every receiver
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Gives Alertmanager an alert C(TestAlert), which its configuration routes to every receiver, and waits until
    Alertmanager's metrics say that each one accepted it.
  - Accepted means that the webhook answered with success, or that the mail server took the message. Nothing says what
    becomes of it afterwards.
  - Before version 0.28 Alertmanager counts notifications by integration only. Another alert that is sent at the same
    time may then pass for the test.
attributes:
  check_mode:
    support: full
    description: Sends nothing, and only checks that Alertmanager answers.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  url:
    description: URL of Alertmanager.
    type: str
    required: true
  receivers:
    description: What the alert must reach.
    type: list
    elements: dict
    required: true
    suboptions:
      name: {description: Name of the receiver., type: str, required: true}
      integration:
        description: How it is notified, as Alertmanager names it, such as V(webhook) or V(email).
        type: str
        required: true
      number: {description: How many of this integration it has., type: int, default: 1}
  ca_path: {description: Path of the authority that verifies Alertmanager., type: path, required: true}
  certificate_path: {description: Path of the client certificate., type: path, required: true}
  private_key_path: {description: Path of its key., type: path, required: true}
  timeout:
    description: Seconds within which every receiver must have accepted the alert.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Send a test alert
  holdfast.ha.alert_test:
    url: https://127.0.0.1:9093
    receivers:
      - {name: oncall, integration: webhook}
    ca_path: /etc/holdfast/tls/ca.crt
    certificate_path: /etc/holdfast/tls/host.crt
    private_key_path: /etc/holdfast/tls/host.key
"""

RETURN = r"""
notified:
  description: The receivers that accepted the alert, with the integration.
  returned: always
  type: list
  elements: str
  sample: [oncall (webhook)]
missing:
  description: Those that did not.
  returned: always
  type: list
  elements: str
seconds:
  description: Seconds from the alert to the last notification.
  returned: always
  type: float
"""

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.alertmanager import (
    Counts,
    Receiver,
    counts,
    failing,
    waiting,
)
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient

POLL_SECONDS = 0.5
LASTS = timedelta(minutes=2)

ARGUMENTS: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "receivers": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "integration": {"type": "str", "required": True},
            "number": {"type": "int", "default": 1},
        },
    },
    "ca_path": {"type": "path", "required": True},
    "certificate_path": {"type": "path", "required": True},
    "private_key_path": {"type": "path", "required": True},
    "timeout": {"type": "float", "default": 60},
}


def alert(now: datetime) -> dict[str, Any]:
    """Return the alert, which ends by itself; each is a new one, so that Alertmanager sends it."""
    return {
        "labels": {"alertname": "TestAlert", "severity": "info", "group": "test", "test": uuid.uuid4().hex[:12]},
        "annotations": {
            "summary": "This is a test",
            "description": "Somebody ran alert_test.yml to see that alerts arrive here. There is nothing to do.",
        },
        "startsAt": now.isoformat(),
        "endsAt": (now + LASTS).isoformat(),
    }


def read(client: HttpJsonClient) -> Counts:
    """Return what Alertmanager has sent so far. Raises EndpointError."""
    return counts(str(client.request("GET", "/metrics")))


def shown(receiver: Receiver) -> str:
    """Return a receiver for people."""
    return f"{receiver.name} ({receiver.integration})"


def send(client: HttpJsonClient, receivers: list[Receiver], timeout: float) -> dict[str, Any]:
    """Send the alert and wait; return the module's result. Raises EndpointError."""
    before, begun = read(client), time.monotonic()
    client.request("POST", "/api/v2/alerts", [alert(datetime.now(UTC))])
    while True:
        now = read(client)
        missing = waiting(receivers, before, now)
        if not missing or time.monotonic() - begun > timeout:
            break
        time.sleep(POLL_SECONDS)
    refused = [shown(receiver) for receiver in missing if failing(receiver, before, now)]
    result: dict[str, Any] = {
        "notified": [shown(receiver) for receiver in receivers if receiver not in missing],
        "missing": [shown(receiver) for receiver in missing],
        "seconds": round(time.monotonic() - begun, 1),
    }
    if missing:
        refusal = f"; requests failed: {', '.join(refused)}" if refused else ""
        result["msg"] = (
            f"not notified within {timeout:g} s: {', '.join(result['missing'])}{refusal}. "
            "See journalctl -u prometheus-alertmanager"
        )
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    receivers = [Receiver(**given) for given in params["receivers"]]
    if not receivers:
        module.fail_json(msg="receivers: is empty, so nobody would hear of an alert; set alertmanager_receivers")
    client = HttpJsonClient(
        params["url"], ca=params["ca_path"], cert=params["certificate_path"], key=params["private_key_path"]
    )
    try:
        if module.check_mode:
            read(client)
            module.exit_json(changed=False, notified=[], missing=[], seconds=0.0)
        result = send(client, receivers, params["timeout"])
    except EndpointError as error:
        module.fail_json(msg=f"{error}. See journalctl -u prometheus-alertmanager")
    if result["missing"]:
        module.fail_json(**result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
