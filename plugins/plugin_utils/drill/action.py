# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the actions of the drill, the soak, the exploration and the evidence share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.child import Child
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.injections import wanted_faults
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.hosts import node
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.packages import require_packages
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Plan, Refusal, usable_database
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.budgets import BudgetError, parse_overrides
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import FORMER_SECRETS, ROLE_PASSWORDS

DEFAULTS = {name: spec.get("default") for name, spec in argument_spec("drill").items()}
"""The options of a drill, for the actions that lack some."""

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


class DrillAction(ActionBase):
    """An action with a drill's plan: the nodes, how to reach them, the clients' database and secrets."""

    _requires_connection = False
    _supports_check_mode = True

    def _drill_plan(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> Plan:
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


@dataclass(frozen=True, slots=True)
class Undertaking:
    """What an engine is for: its module, the action's options, and how its plan is judged and shown."""

    engine: str
    arguments: Mapping[str, Any]
    problems: Callable[[Any], Iterable[str]]
    check: Callable[[Any, Any], None]
    as_text: Callable[[Any], str]


class EngineAction(DrillAction):
    """Plan, refuse or run what an engine does while the task waits."""

    undertaking: ClassVar[Undertaking]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return passed, failure and directory."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        does = self.undertaking
        _validated, arguments = self.validate_argument_spec(argument_spec=does.arguments)
        try:
            plan = self._plan(arguments, task_vars or {})
            if arguments.get("plan_only") or self._task.check_mode:
                for problem in does.problems(plan):
                    raise Refusal(problem)
                Display().display(does.as_text(plan))
                return result | {"changed": False, **self._planned(plan)}
            require_packages()
            does.check(plan, arguments["confirm"])
        except (Refusal, BudgetError) as refusal:
            return result | {"failed": True, "msg": str(refusal)}
        if arguments["check_only"]:
            return result | {"changed": False}
        Display().display(does.as_text(plan))
        outcome = Child(plan, does.engine).follow()
        failed = {} if outcome["passed"] else {"failed": True, "msg": outcome["failure"]}
        return result | {"changed": True, **outcome, **failed}

    def _plan(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> Any:
        """Return the engine's plan; raises Refusal."""
        raise NotImplementedError

    def _planned(self, _plan: Any) -> dict[str, Any]:
        """Return what the task returns about a plan that is only shown."""
        return {}
