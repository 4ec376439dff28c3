#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: haproxy_server
short_description: Drain a server of a running HAProxy, or have it serve again
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - A drained server keeps its sessions and gets no new ones. HAProxy goes on checking it. Its weight is 0 meanwhile,
    which rules with C(use-server) can ask for by C(srv_weight).
  - A pool that nobody else could serve keeps its server (RV(left)). The primary is such a server of the pool for it, so
    a switchover must precede.
  - A pool that does not lead clients to the server at the moment is left as it is. Otherwise a standby that becomes the
    primary meanwhile could not be reached.
  - HAProxy keeps the state when it reloads. After a restart every server serves again.
attributes:
  check_mode:
    support: full
    description: Predicts the pools that change, and does not wait.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  server:
    description: Name of the server in the pools.
    type: str
    required: true
  pools:
    description: Names of pools. Without it, all that have such a server.
    type: list
    elements: str
  state:
    description:
      - V(drained) sends new sessions to others.
      - V(ready) ends that, but neither a drain nor a maintenance that somebody else began. A drain is this module's if
        the server also lacks its weight. Its health checks decide whether it serves.
    type: str
    choices: [ready, drained]
    required: true
  fallbacks:
    description:
      - By name of a pool, the pool that serves its clients while it has no server; the balancers' C(haproxy_fallbacks).
    type: dict
    default: {}
  timeout:
    description: Seconds to wait until a drained server has no sessions; V(0) does not wait.
    type: float
    default: 0
  socket:
    description: Path of the runtime socket.
    type: path
    default: /run/haproxy/admin.sock
notes:
  - Sessions that a worker from before a reload still serves are not counted; the socket does not know them.
seealso:
  - module: holdfast.ha.haproxy_info
  - module: community.general.haproxy
"""

EXAMPLES = r"""
- name: Send new sessions elsewhere, and wait for a minute until those on db2 have ended
  holdfast.ha.haproxy_server:
    server: db2
    state: drained
    fallbacks: "{{ haproxy_fallbacks | default({}) }}"
    timeout: 60

- name: Have db2 serve again
  holdfast.ha.haproxy_server:
    server: db2
    state: ready
"""

RETURN = r"""
pools:
  description: The pools whose state changed.
  returned: success
  type: list
  elements: str
  sample: [standby]
drained:
  description: The pools in which the server is drained.
  returned: success
  type: list
  elements: str
  sample: [standby]
left:
  description: The pools that keep the server, because nobody else could serve them.
  returned: success
  type: list
  elements: str
  sample: [primary]
sessions_left:
  description: By name of each pool in RV(drained), the server's sessions at the end.
  returned: success
  type: dict
  sample: {standby: 0}
waited:
  description: Seconds waited for the sessions to end.
  returned: success
  type: float
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.haproxy import Pool, ask, parse_stat
from ansible_collections.holdfast.ha.plugins.module_utils.haproxy_drain import (
    RefusedError,
    Wish,
    parse_servers_state,
    plan,
    sessions_left,
)

ANSWER_SECONDS = 5.0
POLL_SECONDS = 0.2
# HAProxy's rules use-server ignore the state drain, but may ask for the weight. Both together tell this module's drain
# from an administrator's.
SETTINGS = {True: ("state drain", "weight 0%"), False: ("weight 100%", "state ready")}

ARGUMENTS: dict[str, Any] = {
    "server": {"type": "str", "required": True},
    "pools": {"type": "list", "elements": "str"},
    "state": {"type": "str", "choices": ["ready", "drained"], "required": True},
    "fallbacks": {"type": "dict", "default": {}},
    "timeout": {"type": "float", "default": 0},
    "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
}


@dataclass(frozen=True)
class Runtime:
    """HAProxy's runtime socket. Every method raises OSError, ValueError or RefusedError."""

    path: str

    def pools(self) -> tuple[Pool, ...]:
        """Return the pools as they are now."""
        return parse_stat(ask(self.path, "show stat", ANSWER_SECONDS))

    def converge(self, wish: Wish, check_mode: bool, seconds: float) -> dict[str, Any]:
        """Fulfil a wish, wait for the sessions to end, and return the module's result."""
        pools = self.pools()
        made = plan(pools, parse_servers_state(ask(self.path, "show servers state", ANSWER_SECONDS)), wish)
        for pool in () if check_mode else made.change:
            self.set(f"{pool}/{wish.server}", SETTINGS[wish.drained])
        started = time.monotonic()
        left = sessions_left(pools if check_mode else self.pools(), wish.server, made.drained)
        while not check_mode and any(left.values()) and time.monotonic() - started < seconds:
            time.sleep(POLL_SECONDS)
            left = sessions_left(self.pools(), wish.server, made.drained)
        return {
            "changed": bool(made.change),
            "pools": list(made.change),
            "drained": list(made.drained),
            "left": list(made.left),
            "sessions_left": left,
            "waited": round(time.monotonic() - started, 3),
        }

    def set(self, server: str, settings: Sequence[str]) -> None:
        """Set the state and the weight of a server, given as POOL/NAME, at once; one alone would be nobody's."""
        answer = ask(self.path, "; ".join(f"set server {server} {setting}" for setting in settings), ANSWER_SECONDS)
        if told := " ".join(answer.split()):
            raise RefusedError(f"HAProxy did not set {server} to {' and '.join(settings)}: {told}")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    pools = None if params["pools"] is None else tuple(params["pools"])
    wish = Wish(params["server"], params["state"] == "drained", pools, params["fallbacks"])
    try:
        module.exit_json(**Runtime(params["socket"]).converge(wish, module.check_mode, params["timeout"]))
    except OSError as error:
        module.fail_json(msg=f"{params['socket']}: {error}; is HAProxy running?")
    except (ValueError, RefusedError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
