# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.drill: starts the engine, shows its output, and ends it when Ansible ends."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.injections import as_text, wanted_faults
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.hosts import node
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.packages import require_packages
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import (
    Plan,
    Refusal,
    check,
    problems,
    usable_database,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import BudgetError, parse_overrides
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import FORMER_SECRETS, ROLE_PASSWORDS

ENGINE = "ansible_collections.holdfast.ha.plugins.plugin_utils.drill.engine"
ARGUMENTS = argument_spec("drill")
PARENT_SECONDS = 0.5
HEAL_SECONDS = 900.0
# Connection variables may be templates: only these are resolved.
CONNECTION = (
    "ansible_host",
    "ansible_port",
    "ansible_user",
    "ansible_password",
    "ansible_ssh_pass",
    "ansible_ssh_private_key_file",
    "ansible_ssh_args",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "ansible_python_interpreter",
    "ansible_become",
    "ansible_become_method",
    "ansible_become_password",
    "ansible_become_pass",
    "drill_container",
    "ha",
)


class ActionModule(ActionBase):
    """Plan, refuse or run one drill."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return passed, failure and directory."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        try:
            plan = self._plan(arguments, task_vars or {})
            if arguments["plan_only"] or self._task.check_mode:
                for problem in problems(plan):
                    raise Refusal(problem)
                Display().display(as_text(plan))
                return result | {"changed": False, "planned": list(plan.faults)}
            require_packages()
            check(plan, arguments["confirm"])
            if arguments["check_only"]:
                return result | {"changed": False}
        except (Refusal, BudgetError) as refusal:
            return result | {"failed": True, "msg": str(refusal)}
        Display().display(as_text(plan))
        outcome = Child(plan).follow()
        result |= {"changed": True, **outcome}
        if not outcome["passed"]:
            result |= {"failed": True, "msg": outcome["failure"]}
        return result

    def _plan(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> Plan:
        cluster, hostvars = arguments["cluster"], variables["hostvars"]
        hosts = list(variables["groups"].get(f"holdfast_cluster_{cluster}", []))
        if not hosts:
            raise Refusal(f"cluster {cluster!r}: the inventory has none of this name")
        client = arguments["client"] or next(iter(variables["groups"].get("client", [])), "")
        names = [*hosts, *([client] if client and client in hostvars and client not in hosts else [])]
        parse_overrides(arguments["budgets"], CATALOGUE)
        first = hostvars[hosts[0]]
        passwords, secrets = first.get("ha_role_passwords") or {}, first.get("ha_secrets") or {}
        database, role = usable_database((first["ha"]["postgresql"] or {}).get("databases") or [], passwords)
        kept = {
            name: str(secrets[name])
            for name in ("patroni_rest", "etcd_root", "postgresql_superuser", "pgbouncer")
            if name in secrets
        }
        former = first.get(FORMER_SECRETS[ROLE_PASSWORDS]) or {}
        for name, known in (("role_password", passwords), ("former_role_password", former)):
            kept |= {name: str(known[role])} if role in known else {}
        stamp = datetime.now(UTC).astimezone().strftime("%Y-%m-%dT%H%M%S")
        return Plan(
            cluster=cluster,
            nodes=tuple(
                node(name, {key: hostvars[name].get(key) for key in CONNECTION}, arguments["container_prefix"])
                for name in names
            ),
            client=client,
            faults=wanted_faults(arguments["faults"]),
            repeat=arguments["repeat"],
            provider=arguments["provider"],
            engine=arguments["engine"],
            dead_man=arguments["dead_man"],
            directory=arguments["directory"] or str(Path.cwd() / "reports" / stamp),
            budgets=dict(arguments["budgets"]),
            **{name: arguments[name] for name in ("slack", "alerts", "consistency", "without_backup")},
            role=role,
            database=database,
            secrets=kept,
        )


def collections_folder(plugin: Path) -> Path:
    """Return the folder of the ansible_collections that has this plugin."""
    return next(folder.parent for folder in plugin.parents if folder.name == "ansible_collections")


class Child:
    """The engine: a child process that ends when its standard input closes."""

    def __init__(self, plan: Any, engine: str = ENGINE) -> None:
        self._parent = os.getppid()
        environment = {**os.environ, "PYTHONPATH": str(collections_folder(Path(__file__)))}
        # A session of its own: a signal to Ansible must not end the engine before it has healed.
        self._process = subprocess.Popen(
            [sys.executable, "-m", engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        self._write(json.dumps(asdict(plan), default=str).encode() + b"\n")
        self._outcome: dict[str, Any] = {"passed": False, "failure": "the engine ended without a result"}

    def follow(self) -> dict[str, Any]:
        """Show the engine's output until it ends; return its result."""
        begun, pending = time.monotonic(), b""
        try:
            while chunk := self._read():
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    self._hear(line, time.monotonic() - begun)
        finally:
            with contextlib.suppress(OSError):
                if self._process.stdin:
                    self._process.stdin.close()  # the engine heals and ends now
            self._process.wait(HEAL_SECONDS)
        return self._outcome

    def _read(self) -> bytes:
        """Return the engine's output; b"" when the engine or Ansible itself has ended."""
        output = self._process.stdout
        if output is None:
            return b""
        while not select.select([output], [], [], PARENT_SECONDS)[0]:
            if os.getppid() != self._parent:
                return b""
        return os.read(output.fileno(), 65536)

    def _hear(self, line: bytes, seconds: float) -> None:
        if line.startswith(b"{"):
            self._take(json.loads(line), seconds)
        else:  # Python's own error output
            Display().display(line.decode(errors="replace"), color="red")

    def _take(self, message: Mapping[str, Any], seconds: float) -> None:
        if "text" in message:
            Display().display(f"[{seconds:6.1f}s] {message['text']}")
        elif "table" in message:
            Display().display(message["table"])
        elif "result" in message:
            self._outcome = dict(message["result"])

    def _write(self, data: bytes) -> None:
        if self._process.stdin:
            self._process.stdin.write(data)
            self._process.stdin.flush()
