#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_settings
short_description: Set kernel settings now and at every boot
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Writes settings to a file of C(sysctl.d), which systemd applies at boot, and sets those in the kernel that differ.
  - Settings below C(net) are those of the host's own network namespace.
attributes:
  check_mode:
    support: full
    description: Returns the plan that a run would carry out.
  diff_mode:
    support: full
    description: Shows the file and the kernel's values.
options:
  settings:
    description: Values by the setting's name, such as V(net.ipv4.tcp_retries2).
    type: dict
    required: true
  state:
    description:
      - With V(present), the file and the kernel get O(settings).
      - With V(absent), the file is removed. The kernel gets O(settings) in place of the values that are still the
        file's.
    type: str
    choices: [present, absent]
    default: present
  path:
    description: Path of the file. It holds nothing else.
    type: path
    default: /etc/sysctl.d/60-holdfast.conf
"""

EXAMPLES = r"""
- name: End connections to a silent peer after 13 seconds
  holdfast.ha.kernel_settings:
    settings: {net.ipv4.tcp_retries2: 5}

- name: Return to the kernel's default
  holdfast.ha.kernel_settings:
    settings: {net.ipv4.tcp_retries2: 15}
    state: absent
"""

RETURN = r"""
applied:
  description: The values that were set in the kernel, by name.
  returned: success
  type: dict
  sample: {net.ipv4.tcp_retries2: "5"}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import kernel_settings, safe_path


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "path": {"type": "path", "default": kernel_settings.PATH},
        },
        supports_check_mode=True,
    )
    path, present = module.params["path"], module.params["state"] == "present"
    settings = {name: kernel_settings.normal(str(value)) for name, value in module.params["settings"].items()}
    try:
        found = kernel_settings.look(settings, path)
        missing = sorted(settings.keys() - found.live.keys())
        if missing and present:
            module.fail_json(msg=f"settings: this kernel has no {', '.join(missing)}; leave them out")
        made = kernel_settings.plan(found, settings, present=present)
        if made.needed and not module.check_mode:
            kernel_settings.apply(made, path)
    except (OSError, safe_path.UnsafePathError) as error:
        module.fail_json(msg=f"{error}; root of the host, or of a container with its own network, can set these")
    module.exit_json(changed=made.needed, diff=made.as_diff(path), applied=dict(made.values))


if __name__ == "__main__":
    main()
