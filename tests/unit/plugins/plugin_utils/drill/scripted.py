# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster that answers from a script, and the drill's parts around it."""

from __future__ import annotations

import threading
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.alerting import Alerting
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.clients import Clients
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.conduct import Conductor
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.etcd_admin import EtcdAdmin
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gatekeeper import SWITCH_WAL, Gatekeeper
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.provider import provider
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.recorder import Recorder
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import Patience

from tests.unit.plugins.plugin_utils.drill.cluster import DATABASES, EXPECTED, plan, probes

OLD, NEW = "00000004000000000000000A", "00000004000000000000000B"


class Cluster:
    """A crew whose nodes are well and archive at once; switched counts the segments that it was asked for."""

    def __init__(self) -> None:
        self.asked = 0
        self.switched = 0
        self.broken: dict[str, Any] = {}
        self.archiving = True
        self.archived = OLD
        self.journal = ""
        self.stored = dict.fromkeys(DATABASES, 3)

    def on(self, _host: str) -> bool:
        return True

    def offset(self, _host: str) -> Offset:
        return Offset(0.0, 0.0)

    def call(self, _host: str, _operation: str, **_arguments: Any) -> None:
        return None

    def call_all(self, hosts: Any, operation: str, *_patience: float, **_arguments: Any) -> dict[str, Any]:
        if operation == "run":
            return {host: {"out": self.journal} for host in hosts}
        if operation != "probe":
            return {}
        self.asked += 1
        return probes(**{"db1_postgresql": {"archived": self.archived}, **self.broken})

    def describe(self) -> dict[str, float]:
        return {"db1": 0.001}

    def sql(self, host: str, statement: str, **_bounds: Any) -> Any:
        if statement.startswith("SELECT writer"):
            return [["writer-1", number, 1] for number in range(1, self.stored[host] + 1)]
        if statement != SWITCH_WAL:
            return [[True]]
        self.switched += 1
        if self.archiving:
            self.archived = NEW
        return [[NEW]]


class Parts:
    """What the engine puts together, around such a crew."""

    def __init__(self, crew: Any, **changes: Any) -> None:
        planned = plan(**changes)
        self.recorder = Recorder({})
        self.patience = Patience(self.recorder, threading.Event(), lambda _text: None)
        self.gatekeeper = Gatekeeper(
            expected=EXPECTED, archiving=True, crew=crew, patience=self.patience, now=self.recorder.now
        )
        self.clients = Clients(
            plan=planned, expected=EXPECTED, crew=crew, patience=self.patience, gatekeeper=self.gatekeeper
        )
        self.tools = Tools(planned, EXPECTED, crew, provider(planned, crew), self.recorder.now)
        self.alerting = Alerting(planned, self.recorder, self.tools, self.patience)
        self.conductor = Conductor(
            plan=planned,
            expected=EXPECTED,
            crew=crew,
            recorder=self.recorder,
            tools=self.tools,
            patience=self.patience,
            gatekeeper=self.gatekeeper,
            etcd=EtcdAdmin(password="secret", crew=crew, gatekeeper=self.gatekeeper),
            clients=self.clients,
            alerting=self.alerting,
        )
