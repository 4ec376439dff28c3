#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: rolling_lock
short_description: Keep a second rolling run away from a host's cluster
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Notes on the host which run works on its cluster. Another run is refused until that one ends, or until the note's
    time is over.
  - A run renews its own lock by holding it again. One whose controller was killed ends by itself after O(seconds).
  - A reboot of the host ends the lock there, too. Hold it on all hosts of the cluster, so that the others still have
    it.
  - Take it on one host of the cluster first, always the same one, then on the others. Of two runs that start at the
    same time, one is refused then; otherwise each may have a part and refuse the other.
  - It is no configuration, so nothing is reported as changed.
attributes:
  check_mode:
    support: full
    description: Refuses as without, but writes nothing and does not wait.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  state:
    description:
      - V(held) takes or renews the lock, and fails when another run has it.
      - V(released) gives it back. The lock of another run stays.
    type: str
    choices: [held, released]
    required: true
  run:
    description:
      - Id of the run; the same for all of its hosts.
      - The action plugin of the same name sets it to the process of C(ansible-playbook). It takes the lock of a run
        that was started on the same controller and has ended without releasing it.
    type: str
    default: ""
  verb:
    description: What the run does, for messages. Needed to hold the lock.
    type: str
  controller:
    description:
      - Where the run was started and by whom, for messages. Needed to hold the lock; the action plugin sets it.
    type: str
  seconds:
    description: Seconds from now until the lock ends by itself, unless it is renewed; at most a day.
    type: float
    default: 900
  patience:
    description: Seconds to wait until another run's lock ends.
    type: float
    default: 0
"""

EXAMPLES = r"""
- name: Keep other runs away for as long as the next host takes
  holdfast.ha.rolling_lock:
    state: held
    verb: update.yml
    seconds: 900

- name: Let others in
  holdfast.ha.rolling_lock:
    state: released
"""

RETURN = r"""
lock:
  description: The lock in force afterwards; with RV(lock.run) of another run where that one's stays. Null for none.
  returned: always
  type: dict
  contains:
    run: {description: Id of the run., type: str}
    verb: {description: What it does., type: str}
    controller: {description: Where it was started., type: str}
    begun: {description: When it took the lock., type: str, sample: "2030-01-01 10:00:00 UTC"}
    until: {description: When the lock ends by itself., type: str, sample: "2030-01-01 10:15:00 UTC"}
    boot: {description: Id of the boot it is valid in., type: str}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.rolling_lock import HeldError, Lock, LockFile
from ansible_collections.holdfast.ha.plugins.module_utils.safe_path import UnsafePathError

MOST_SECONDS = 86400.0

ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["held", "released"], "required": True},
    "run": {"type": "str", "default": ""},
    "verb": {"type": "str"},
    "controller": {"type": "str"},
    "seconds": {"type": "float", "default": 900},
    "patience": {"type": "float", "default": 0},
}


def problem(params: dict[str, Any]) -> str | None:
    """Return what is wrong with the arguments, None when nothing is."""
    if not params["run"].strip():
        return "run: is empty; give the id of the run"
    if not 0 < params["seconds"] <= MOST_SECONDS:
        return f"seconds: {params['seconds']:g} is not above 0 and at most {MOST_SECONDS:g}"
    return None


def converge(file: LockFile, params: dict[str, Any], check_mode: bool) -> Lock | None:
    """Hold or release the lock, and return the one in force. Raises HeldError, OSError, UnsafePathError."""
    if params["state"] == "released":
        return file.release(params["run"], check_mode)
    wanted = {name: params[name] for name in ("run", "verb", "controller")}
    return file.hold(wanted, params["seconds"], params["patience"], check_mode)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        required_if=[("state", "held", ("verb", "controller"))],
        supports_check_mode=True,
    )
    wrong = problem(module.params)
    if wrong:
        module.fail_json(msg=wrong, lock=None)
    try:
        lock = converge(LockFile(), module.params, module.check_mode)
        module.exit_json(changed=False, lock=lock.shown() if lock else None)
    except HeldError as error:
        module.fail_json(msg=str(error), lock=error.lock.shown())
    except (OSError, UnsafePathError) as error:
        module.fail_json(msg=str(error), lock=None)


if __name__ == "__main__":
    main()
