#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: certificates_info
short_description: Report when a host's certificates expire
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Reads every C(*.crt) file of a directory. Private keys are not read.
requirements:
  - python3-cryptography 38 or later on the host
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: Changes nothing.
options:
  directory:
    description: The directory.
    type: path
    default: /etc/holdfast/tls
"""

EXAMPLES = r"""
- name: Read when the certificates expire
  holdfast.ha.certificates_info:
  register: certificates
"""

RETURN = r"""
certificates:
  description:
    - The files. C(not_after) is when the first of the file's certificates expires, in seconds since the epoch. Of
      C(ca.crt), it is when the authority expires that issued C(host.crt). C(remaining) is the seconds until then,
      negative afterwards. Both are null when the file can't be read; C(error) says why.
  returned: success
  type: list
  elements: dict
  sample: [{name: host.crt, not_after: 1861833600, remaining: 62985600, error: ""}]
"""

import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.holdfast.ha.plugins.module_utils import certificate_x509 as crypto
from ansible_collections.holdfast.ha.plugins.module_utils import safe_path


def describe(path: Path, now: float) -> dict[str, Any]:
    """Return one file's name, end and error."""
    try:
        end = crypto.end_of(path, safe_path.read)
    except (OSError, ValueError, safe_path.UnsafePathError) as error:
        return {"name": path.name, "not_after": None, "remaining": None, "error": str(error)}
    return {"name": path.name, "not_after": end, "remaining": int(end - now), "error": ""}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"directory": {"type": "path", "default": "/etc/holdfast/tls"}}, supports_check_mode=True
    )
    paths = sorted(Path(module.params["directory"]).glob("*.crt"))
    if paths and crypto.CRYPTOGRAPHY_ERROR:
        module.fail_json(msg=missing_required_lib("cryptography >= 38"), exception=crypto.CRYPTOGRAPHY_ERROR)
    module.exit_json(changed=False, certificates=[describe(path, time.time()) for path in paths])


if __name__ == "__main__":
    main()
