#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: prometheus_info
short_description: Ask Prometheus and Alertmanager
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Evaluates expressions in a Prometheus, now or over a span of time, and reads an Alertmanager's alerts.
  - A server that does not answer is a result, not a failure.
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: Changes nothing.
options:
  prometheus:
    description: The URL of Prometheus, such as V(https://198.51.100.31:9090).
    type: str
  alertmanager:
    description: The URL of Alertmanager.
    type: str
  ca_path:
    description: The authority of the servers' certificates; the system's without it.
    type: path
  certificate_path:
    description: A client certificate.
    type: path
  private_key_path:
    description: The private key of O(certificate_path).
    type: path
  queries:
    description: PromQL expressions by names of your choice.
    type: dict
    default: {}
  window:
    description: The seconds before now that the answer covers; 0 for the present value.
    type: int
    default: 0
  step:
    description: Seconds between two values, where O(window) is not 0.
    type: int
    default: 300
  timeout:
    description: Seconds to wait for an answer.
    type: float
    default: 10
"""

EXAMPLES = r"""
- name: Read how many targets are down
  holdfast.ha.prometheus_info:
    prometheus: https://198.51.100.31:9090
    ca_path: "{{ ha.tls.ca }}"
    certificate_path: "{{ ha.tls.client_cert }}"
    private_key_path: "{{ ha.tls.key }}"
    queries:
      down: count by (job) (up == 0)
  register: metrics
"""

RETURN = r"""
now:
  description: When it was asked, in seconds since 1970, by the host's clock.
  returned: always
  type: float
series:
  description:
    - The series of each query that was answered, by its name. Each has C(labels), and C(samples) as a list of pairs of
      time, in seconds since 1970, and value. Values that are no finite numbers are left out.
  returned: always
  type: dict
errors:
  description: Why a query was not answered, by its name.
  returned: always
  type: dict
alerts:
  description:
    - Alertmanager's alerts, each with C(labels), C(annotations), C(since) in ISO 8601, C(silenced) and C(inhibited).
    - Null if it did not answer, or O(alertmanager) is not set.
  returned: always
  type: list
  elements: dict
alerts_error:
  description: Why Alertmanager did not answer, otherwise empty.
  returned: always
  type: str
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.prometheus import Span, ask_alerts, evaluate


def client(params: dict[str, Any], url: str) -> HttpJsonClient:
    """Return the client of a server."""
    return HttpJsonClient(
        url,
        ca=params["ca_path"],
        cert=params["certificate_path"],
        key=params["private_key_path"],
        timeout=params["timeout"],
    )


def look(params: dict[str, Any], now: float) -> dict[str, Any]:
    """Return what the module returns."""
    found: dict[str, Any] = {"now": now, "series": {}, "errors": {}, "alerts": None, "alerts_error": ""}
    span = Span(now - params["window"], now, params["step"] if params["window"] else 0)
    if params["prometheus"]:
        found["series"], found["errors"] = evaluate(client(params, params["prometheus"]), params["queries"], span)
    if params["alertmanager"]:
        try:
            found["alerts"] = ask_alerts(client(params, params["alertmanager"]))
        except EndpointError as error:
            found["alerts_error"] = str(error)
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "prometheus": {"type": "str"},
            "alertmanager": {"type": "str"},
            "ca_path": {"type": "path"},
            "certificate_path": {"type": "path"},
            "private_key_path": {"type": "path"},
            "queries": {"type": "dict", "default": {}},
            "window": {"type": "int", "default": 0},
            "step": {"type": "int", "default": 300},
            "timeout": {"type": "float", "default": 10},
        },
        required_together=[("certificate_path", "private_key_path")],
        supports_check_mode=True,
    )
    if module.params["window"] < 0 or module.params["step"] < 1:
        module.fail_json(msg="window must be 0 or more, and step 1 or more")
    module.exit_json(changed=False, **look(module.params, time.time()))


if __name__ == "__main__":
    main()
