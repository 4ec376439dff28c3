#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: patroni_info
short_description: Report the state of a Patroni cluster
version_added: 1.0.0
description:
  - Asks all members in parallel and takes the view of a majority, so that one member's stale answer does not count.
  - A member that does not answer costs at most O(request_timeout) and is not a failure.
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.patroni
attributes:
  check_mode:
    support: full
    description: Nothing is changed in either mode.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  members:
    description: Names of the members that must run; RV(problems) has what is wrong with them.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Ask the cluster
  holdfast.ha.patroni_info:
    endpoints:
      - https://198.51.100.11:8008
      - https://198.51.100.12:8008
      - https://198.51.100.13:8008
    ca: /etc/holdfast/tls/ca.crt
    members: [db1, db2, db3]
  register: patroni

- name: Show the leader
  ansible.builtin.debug:
    msg: "{{ patroni.cluster.leader }}"
"""

RETURN = r"""
cluster:
  description: The cluster; empty where no member answers.
  returned: always
  type: dict
  contains:
    scope:
      description: Name of the cluster.
      type: str
    leader:
      description: Name of the leader, null without one.
      type: str
    paused:
      description: Whether Patroni is in maintenance mode.
      type: bool
    agreed:
      description: Whether a majority of the endpoints reports the same leader.
      type: bool
    members:
      description: >-
        Members by name, each with C(name), C(role) (V(leader), V(sync_standby), V(quorum_standby) or V(replica)),
        C(state) (V(running) for the leader and V(streaming) for a healthy standby), C(host), C(port), C(timeline),
        C(lag) (bytes, null where unknown), C(pending_restart), C(tags), C(version) (of Patroni),
        C(server_version) and C(answers).
      type: list
      elements: dict
config:
  description: >-
    The dynamic configuration; null where no member answers or none is stored. Values with the name of a secret are
    masked.
  returned: always
  type: dict
problems:
  description: Why the cluster is not healthy, one sentence each.
  returned: always
  type: list
  elements: str
silent:
  description: Endpoints without an answer and why.
  returned: always
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.module_utils.masking import mask
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import as_facts, merge_answers, problems, with_reasons
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import ARGUMENT_SPEC, PatroniApi
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import is_synchronous


def gather(api: PatroniApi, members: list[str]) -> dict[str, Any]:
    """Return the module's result."""
    answers = api.answers()
    cluster = merge_answers(answers)
    config = read_configuration(api) if cluster.members else None
    return {
        "cluster": as_facts(cluster),
        "config": mask(config),
        "problems": with_reasons(
            problems(cluster, members, is_synchronous(config) and len(members) > 1), members, answers
        ),
        "silent": {answer.endpoint: answer.error for answer in answers if answer.error},
    }


def read_configuration(api: PatroniApi) -> dict[str, Any] | None:
    """Return the dynamic configuration, None when it can't be read."""
    try:
        return api.read_configuration()
    except EndpointError:
        return None


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**ARGUMENT_SPEC, "members": {"type": "list", "elements": "str", "default": []}},
        supports_check_mode=True,
    )
    module.exit_json(changed=False, **gather(PatroniApi.from_params(module.params), module.params["members"]))


if __name__ == "__main__":
    main()
