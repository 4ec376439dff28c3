# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent: answers requests until its standard input closes, then undoes and removes everything that it made."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.http_json import HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import (
    ask,
    connect,
    is_refused_password,
    psycopg2,
    sentence,
)
from ansible_collections.holdfast.ha.plugins.module_utils.switchover import Switchover
from ansible_collections.holdfast.ha.plugins.module_utils.timings import read as read_timings
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.alerts import AlertSampler
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.harm import Harms, dropped_packets, run
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.load import Job, Load
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.probe import probe
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.sample import BalancerSampler, MemberSampler
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent.wire import Wire

SILENCE_SECONDS = 240.0  # a controller asks for the time every few seconds


class Agent:
    """One node's agent.

    configuration: name, and, where the node has them, etcd, patroni, alertmanager, tls, database, addresses.
    """

    def __init__(self, wire: Wire, configuration: Mapping[str, Any]) -> None:
        self._wire = wire
        self._name = configuration["name"]
        tls = configuration.get("tls") or {}
        self._etcd = self._client(configuration.get("etcd"), tls)
        self._patroni = self._client(configuration.get("patroni"), tls)
        cluster, alertmanager = configuration.get("alertmanager") or ("", None)
        self._cluster = cluster
        self._alertmanager = self._client(alertmanager, tls)
        self._database = configuration.get("database")
        self._addresses = configuration.get("addresses")
        self._heard = time.monotonic()
        self._harms = Harms()
        self._load: Load | None = None
        self._samplers: list[AlertSampler | BalancerSampler | MemberSampler] = []
        self._operations: dict[str, Callable[..., Any]] = {
            "now": time.monotonic,
            "probe": self._probe,
            "timings": lambda: read_timings(is_active),
            "run": run,
            "sql": self._sql,
            "ask": ask,
            "reach": reach,
            "request": self._request,
            "sample": self._sample,
            "local_writes": self._local_writes,
            "load": self._start_load,
            "stop_load": self._stop_load,
            "isolate": self._harms.isolate,
            "arm": self._harms.arm,
            "pulses": self._harms.pulses,
            "undo": self._harms.undo,
            "dropped": dropped_packets,
            "switchover": switch_over,
            "address": lambda: os.environ.get("SSH_CONNECTION", ""),
        }

    def serve(self) -> None:
        """Answer requests, several at once, until the connection ends."""
        with ThreadPoolExecutor(max_workers=8) as pool:
            threading.Thread(target=self._watch, daemon=True).start()
            try:
                for request in self._wire.requests():
                    self._heard = time.monotonic()
                    if request["operation"] == "now":  # measures the clock: must not queue behind others
                        self._answer(request)
                    else:
                        pool.submit(self._answer, request)
            finally:
                self._end()

    def _answer(self, request: Mapping[str, Any]) -> None:
        answer: dict[str, Any] = {"id": request["id"]}
        try:
            answer["result"] = self._operations[request["operation"]](**request["arguments"])
        except Exception as error:  # noqa: BLE001 - the controller must get every error
            answer["error"] = f"{type(error).__name__}: {' '.join(str(error).split())}"
        self._wire.send(answer)

    def _watch(self) -> None:
        while time.monotonic() - self._heard < SILENCE_SECONDS:
            time.sleep(5)
        self._harms.heal()
        os._exit(1)

    def _end(self) -> None:
        self._harms.heal()
        for sampler in self._samplers:
            sampler.stop()
        if self._load:
            self._load.stop()

    @staticmethod
    def _client(url: str | None, tls: Mapping[str, str]) -> HttpJsonClient | None:
        return (
            HttpJsonClient(url, ca=tls.get("ca"), cert=tls.get("cert"), key=tls.get("key"), timeout=2.0)
            if url
            else None
        )

    def _probe(self) -> dict[str, Any]:
        return probe(etcd=self._etcd, patroni=self._patroni, database=self._database, addresses=self._addresses)

    def _sql(self, statement: str, values: list[Any], seconds: float) -> list[Any]:
        if not self._database:
            raise ValueError("no database here")
        return ask(self._database, statement, values, seconds)

    def _request(
        self,
        *,
        service: str,
        method: str,
        path: str,
        body: Any = None,
        login: list[str] | None = None,
        token: str = "",
        seconds: float = 10.0,
    ) -> dict[str, Any]:
        client = self._etcd if service == "etcd" else self._patroni
        if not client:
            raise ValueError(f"no {service} here")
        username, password = login or (None, None)
        asked = HttpJsonClient(
            client.base_url,
            ca=client.ca,
            cert=client.cert,
            key=client.key,
            username=username,
            password=password,
            timeout=seconds,
        )
        response = asked.fetch(method, path, body, {"Authorization": token} if token else None)
        return {"status": response.status, "body": response.body}

    def _sample(self) -> None:
        if self._database and self._patroni:
            self._samplers.append(MemberSampler(self._wire, self._database, self._patroni, f"local-{self._name}"))
        if self._addresses is not None:
            self._samplers.append(BalancerSampler(self._wire, self._addresses))
        if self._alertmanager:
            self._samplers.append(AlertSampler(self._wire, self._alertmanager, self._cluster))

    def _local_writes(self, table: str) -> None:
        for sampler in self._samplers:
            if isinstance(sampler, MemberSampler):
                if table:
                    sampler.writes.begin(table)
                else:
                    sampler.writes.end()
        self._wire.flush()

    def _start_load(self, jobs: list[dict[str, Any]], seconds: float) -> None:
        if self._load:
            self._load.stop()
        self._load = Load([Job(**job) for job in jobs], self._wire, seconds)

    def _stop_load(self) -> None:
        if self._load:
            self._load.stop()
        self._load = None


def reach(servers: list[dict[str, Any]], seconds: float, other_password: str = "") -> dict[str, Any]:
    """Return whether this host has psycopg2, and for each server why a client can't connect, "" if it can.

    other_password: what else may be the password.
    """
    errors = []
    for settings in servers if psycopg2 else ():
        error = unreached(settings, seconds)
        if other_password and error is not None and is_refused_password(error):
            error = unreached({**settings, "password": other_password}, seconds)
        errors.append("" if error is None else sentence(error))
    return {"psycopg2": psycopg2 is not None, "errors": errors}


def unreached(settings: dict[str, Any], seconds: float) -> Exception | None:
    """Return why a client can't connect, None if it can."""
    try:
        connect(settings, seconds).close()
    except TimeoutError:
        return TimeoutError(f"no answer within {seconds:g} s")
    except psycopg2.Error as error:
        return error  # type: ignore[no-any-return]
    return None


def is_active(unit: str) -> bool:
    """Say whether systemd runs a unit."""
    return run(["systemctl", "is-active", "--quiet", unit])["code"] == 0


def switch_over(params: Mapping[str, Any]) -> dict[str, Any]:
    """Switch over to another member, as the module does; return its name, and the seconds by phase."""
    switchover = Switchover.from_params(params)
    cluster, seconds = switchover.run(switchover.plan(None))
    return {"leader": cluster.leader.name if cluster.leader else "", "seconds": seconds}


def main(configuration: Mapping[str, Any]) -> None:
    """Serve one controller."""
    wire = Wire()
    wire.send({"ready": json.dumps(configuration["name"])})
    Agent(wire, configuration).serve()
