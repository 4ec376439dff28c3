#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_config
short_description: Manage the dynamic configuration of a Patroni cluster
version_added: 1.0.0
description:
  - Compares the configuration in etcd with the declared one, and patches the differences.
  - Run it on one host per cluster.
  - Where there is no cluster yet, the module waits for one. Patroni, as the role C(patroni) starts it, creates a
    cluster only with a permit, a key in etcd that expires after 30 seconds. The module writes it when every endpoint
    reports that its member has no data and etcd knows no cluster.
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.patroni
attributes:
  check_mode:
    support: full
    description: Computes the same plan without applying it. Without a cluster it predicts a change.
  diff_mode:
    support: full
    description: Shows the stored configuration before and after. Values with the name of a secret are masked.
options:
  config:
    description:
      - The declared configuration, with Patroni's own keys. A key that is null is removed.
      - Values that differ only in their type, such as V(8) and V("8"), are equal.
    type: dict
    required: true
  exact:
    description: Whether to remove keys, at any depth, that O(config) does not have.
    type: bool
    default: false
  keep:
    description: Top-level keys that O(exact) does not remove.
    type: list
    elements: str
    default:
      - pause
  etcd:
    description:
      - How to reach Patroni's keys in etcd, to permit a new cluster and to release an abandoned bootstrap. A bootstrap
        is abandoned when its member died, no member has a database, none is creating one, and all wait for one.
      - Without it the module can do neither, and such clusters wait forever.
    type: dict
    suboptions:
      endpoints: {description: Base URLs of etcd's members., type: list, elements: str, required: true}
      prefix: {description: "Prefix of the cluster's keys, such as V(/service/lab/).", type: str, required: true}
      ca: {description: Certificate authority to verify etcd with., type: path}
      cert: {description: Client certificate., type: path}
      key: {description: Key of the client certificate., type: path}
      username: {description: "User of etcd, empty where it asks for none.", type: str}
  others:
    description: >-
      Base URLs of members that may be down. They are asked when none of O(endpoints) answers, and for their data before
      a new cluster is permitted. The module does not wait until they have applied the configuration.
    type: list
    elements: str
    default: []
  etcd_password:
    description: Password of that user of etcd.
    type: str
  timeout:
    description:
      - Seconds to wait for a cluster that has a configuration, and again for the members to apply a new one.
    type: int
    default: 120
notes:
  - The module's parameters appear neither in the host's log nor in the result.
  - Refuses timings that Patroni would not honour, such as a C(ttl) below C(loop_wait + 2 * retry_timeout).
"""

EXAMPLES = r"""
- name: Declare the whole configuration
  holdfast.ha.patroni_config:
    endpoints: [https://198.51.100.11:8008, https://198.51.100.12:8008]
    ca: /etc/holdfast/tls/ca.crt
    username: holdfast
    password: "{{ ha_secrets.patroni_rest }}"
    exact: true
    config:
      ttl: 30
      loop_wait: 10
      retry_timeout: 10
      synchronous_mode: true
      postgresql:
        use_pg_rewind: true
        parameters:
          max_connections: 200

- name: Return one parameter to its default
  holdfast.ha.patroni_config:
    endpoints: [https://198.51.100.11:8008]
    config:
      postgresql:
        parameters:
          work_mem: null
"""

RETURN = r"""
config:
  description: The configuration after the run, or the predicted one. Values with the name of a secret are masked.
  returned: success
  type: dict
patch:
  description: The changes; removed keys are null. Values with the name of a secret are masked.
  returned: success
  type: dict
pending_restart:
  description: Names of the members that must be restarted before the whole configuration takes effect.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import ARGUMENT_SPEC, ClusterError, PatroniApi
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import timing_problem, without_nulls
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_configuration import converge_despite_others
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_etcd import ARGUMENT_SPEC as ETCD_ARGUMENT_SPEC
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_etcd import (
    PASSWORD_SPEC,
    LostError,
    WrongPasswordError,
)
from ansible_collections.holdfast.ha.plugins.module_utils.unlogged import UnloggedModule


def main() -> None:
    """Run the module."""
    module = UnloggedModule(
        argument_spec={
            **ARGUMENT_SPEC,
            "config": {"type": "dict", "required": True},
            "others": {"type": "list", "elements": "str", "default": []},
            "exact": {"type": "bool", "default": False},
            "keep": {"type": "list", "elements": "str", "default": ["pause"]},
            "etcd": {"type": "dict", "options": ETCD_ARGUMENT_SPEC},
            **PASSWORD_SPEC,
            "timeout": {"type": "int", "default": 120},
        },
        supports_check_mode=True,
    )
    problem = timing_problem(without_nulls(module.params["config"]))
    if problem:
        module.fail_json(msg=f"config: {problem}")
    try:
        params = {**module.params, "endpoints": [*module.params["endpoints"], *module.params["others"]]}
        result = converge_despite_others(PatroniApi.from_params(params), params, module.check_mode)
    except (EndpointError, ClusterError, LostError, WrongPasswordError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
