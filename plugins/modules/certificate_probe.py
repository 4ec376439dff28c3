#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: certificate_probe
short_description: Prove by handshakes which authority a host's services use
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Connects to each port and completes a TLS handshake. It proves that the service presents the host's certificate as
    it is on the disk, from an authority that hosts trust now, and that it accepts, or refuses, a client's certificate
    of another authority.
  - The action plugin of the same name issues that client's certificate on the controller, for the host's own key and
    for an hour. It is kept for the handshakes only. A host whose certificate is for servers only gets none.
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode.
  diff_mode:
    support: none
    description: Changes nothing.
options:
  ports:
    description: The ports.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What listens there, for messages.
        type: str
        required: true
      address:
        description: The address to connect to.
        type: str
        required: true
      port:
        description: The port.
        type: int
        required: true
      postgresql:
        description: Whether the port speaks PostgreSQL's protocol, which asks for TLS first.
        type: bool
        default: false
  trusted:
    description: The authorities that must have issued what the services present, as PEM.
    type: str
    required: true
  private_key_path:
    description: Path of the host's private key.
    type: path
    required: true
  certificate:
    description: As for M(holdfast.ha.certificate), the host's certificate. The client's gets the same content.
    type: dict
    required: true
  authority_directory:
    description: As for M(holdfast.ha.certificate).
    type: path
    required: true
  authority_passphrase:
    description: As for M(holdfast.ha.certificate).
    type: str
    default: ""
  phase:
    description:
      - With V(trust), services must accept clients of the next authority. With V(distrust), they must refuse those of
        the former one, if its key is still there. Otherwise only what they present is looked at.
    type: str
    choices: [settled, trust, issue, distrust]
    required: true
  signed:
    description: The client's certificate as PEM. The action plugin sets it.
    type: str
    default: ""
  timeout:
    description: Seconds within which all services must pass.
    type: float
    default: 60
"""

EXAMPLES = r"""
- name: Prove that etcd accepts clients of the next authority
  holdfast.ha.certificate_probe:
    ports:
      - {name: etcd, address: 198.51.100.11, port: 2379}
    trusted: "{{ lookup('ansible.builtin.file', '/etc/holdfast/tls/ca.crt') }}"
    private_key_path: /etc/holdfast/tls/host.key
    certificate: {path: /etc/holdfast/tls/host.crt, common_name: db1, dns: [db1]}
    authority_directory: pki
    phase: trust
"""

RETURN = r"""
csr:
  description: A signing request for the action plugin.
  returned: before the client's certificate is there
  type: str
proven:
  description: What was proven at each port.
  returned: success
  type: list
  elements: dict
  sample: [{name: etcd, port: 2379, presents: true, client: accepted}]
"""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.holdfast.ha.plugins.module_utils import certificate_files as files
from ansible_collections.holdfast.ha.plugins.module_utils import certificate_x509 as crypto
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_probe import Own, Port, Probe, judge, look
from ansible_collections.holdfast.ha.plugins.module_utils.unlogged import UnloggedModule

POLL_SECONDS = 0.5
PORT = {
    "name": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "postgresql": {"type": "bool", "default": False},
}
ARGUMENTS = {
    "ports": {"type": "list", "elements": "dict", "required": True, "options": PORT},
    "trusted": {"type": "str", "required": True},
    "private_key_path": {"type": "path", "required": True, "no_log": False},
    "certificate": {"type": "dict", "required": True},
    "authority_directory": {"type": "path", "required": True},
    "authority_passphrase": {"type": "str", "default": "", "no_log": True},
    "phase": {"type": "str", "choices": ["settled", "trust", "issue", "distrust"], "required": True},
    "signed": {"type": "str", "default": ""},
    "timeout": {"type": "float", "default": 60},
}


def request(module: UnloggedModule) -> str:
    """Return a signing request for the host's key."""
    if crypto.CRYPTOGRAPHY_ERROR:
        module.fail_json(msg=missing_required_lib("cryptography >= 38"), exception=crypto.CRYPTOGRAPHY_ERROR)
    key = crypto.load_key(files.read(module.params["private_key_path"]))
    if key is None:
        module.fail_json(msg=f"{module.params['private_key_path']} holds no private key: run playbooks/site.yml")
    return crypto.new_request(key)


def wait(ports: list[Port], probe: Probe, seconds: float) -> list[tuple[Port, str, str, str]]:
    """Look at all ports until they pass or the time is over; return each with its problem, "" for none."""
    deadline = time.monotonic() + seconds
    while True:
        with ThreadPoolExecutor(max_workers=max(1, len(ports))) as pool:
            seen = list(pool.map(partial(look, probe), ports))
        found = [(port, *one, judge(probe, *one)) for port, one in zip(ports, seen, strict=True)]
        if not any(problem for *_rest, problem in found) or time.monotonic() >= deadline:
            return found
        time.sleep(POLL_SECONDS)


def main() -> None:
    """Run the module."""
    module = UnloggedModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    signs = params["phase"] in ("trust", "distrust") and params["certificate"].get("client", True)
    if signs and not params["signed"]:
        module.exit_json(changed=False, csr=request(module))
    ports = [Port(**port) for port in params["ports"]]
    own = Own(params["certificate"]["path"], params["private_key_path"], params["certificate"].get("client", True))
    with Probe(params["trusted"], own, params["phase"]).with_client(params["signed"]) as probe:
        found = wait(ports, probe, params["timeout"])
    problems = [f"{port.name} ({port.address}:{port.port}) {problem}" for port, *_rest, problem in found if problem]
    if problems:
        module.fail_json(msg="; ".join(problems))
    module.exit_json(
        changed=False,
        proven=[
            {"name": port.name, "port": port.port, "presents": not presented, "client": client}
            for port, presented, client, _problem in found
        ],
    )


if __name__ == "__main__":
    main()
