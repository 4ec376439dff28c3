# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drill's connection to a host, from the host's Ansible variables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Node, Refusal

SSH_ARGUMENTS = ("ansible_ssh_args", "ansible_ssh_common_args", "ansible_ssh_extra_args")
BECOME_METHODS = ("sudo", "ansible.builtin.sudo")


def node(name: str, variables: Mapping[str, Any], container_prefix: str) -> Node:
    """Return the connection to a host; raises Refusal for options that the drill does not support."""
    options = ssh_options(" ".join(str(variables.get(key) or "") for key in SSH_ARGUMENTS))
    if "proxyjump" in options:
        fix = "say it as -o ProxyCommand='ssh -W %h:%p jump' instead"
        raise Refusal(f"ansible_ssh_common_args of {name}: ProxyJump={options['proxyjump']}: the drill can't; {fix}")
    become = as_bool(variables.get("ansible_become"))
    method = variables.get("ansible_become_method") or "sudo"
    if become and method not in BECOME_METHODS:
        raise Refusal(
            f"ansible_become_method of {name}: {method!r}: the drill knows sudo only; connect as root, or set it"
        )
    address = str(variables.get("ansible_host") or name)
    port = int(variables.get("ansible_port") or options.get("port") or 22)
    user = str(variables.get("ansible_user") or options.get("user") or "root")
    key = str(variables.get("ansible_ssh_private_key_file") or options.get("identityfile") or "")
    proxy = options.get("proxycommand", "")
    for token, value in (("%h", address), ("%p", str(port)), ("%r", user)):
        proxy = proxy.replace(token, value)
    interpreter = str(variables.get("ansible_python_interpreter") or "")
    return Node(
        name=name,
        address=address,
        port=port,
        user=user,
        key_file=str(Path(key).expanduser()) if key else "",
        password=str(variables.get("ansible_password") or variables.get("ansible_ssh_pass") or ""),
        become=become and user != "root",
        become_password=str(variables.get("ansible_become_password") or variables.get("ansible_become_pass") or ""),
        known_hosts=options.get("userknownhostsfile", ""),
        accept_new_keys=options.get("stricthostkeychecking", "") in {"accept-new", "no"},
        proxy_command=proxy,
        interpreter=interpreter if interpreter.startswith("/") else "/usr/bin/python3",
        container=str(variables.get("drill_container") or f"{container_prefix}{name}"),
        ha=variables.get("ha"),
    )


def ssh_options(arguments: str) -> dict[str, str]:
    """Return the -o options (and -p, -l, -i, -J) by their names in lower case; the first of several counts."""
    short = {"-p": "port", "-l": "user", "-i": "identityfile", "-J": "proxyjump"}
    found: dict[str, str] = {}
    words = iter(shlex.split(arguments))
    for word in words:
        if word == "-o" or (word.startswith("-o") and "=" in word):
            name, _equals, value = (next(words, "") if word == "-o" else word[2:]).partition("=")
            found.setdefault(name.strip().lower(), value.strip())
        elif word in short:
            found.setdefault(short[word], next(words, ""))
    return found


def as_bool(value: Any) -> bool:
    """Return a variable as Ansible interprets it."""
    return value is True or str(value).lower() in {"yes", "on", "1", "true"}
