# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the clients need, on hosts that answer from a script."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import clients, patience
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal

from tests.unit.plugins.plugin_utils.drill.scripted import Cluster, Parts


class Asked(Cluster):
    """A crew whose hosts tell of psycopg2, and whose client gets into the pools or not."""

    def __init__(self, without: str = "", errors: tuple[str, ...] = ("", "")) -> None:
        super().__init__()
        self.without, self.errors = without, errors

    def call(self, host: str, operation: str, *_patience: float, **arguments: Any) -> Any:
        assert operation == "reach"
        return {"psycopg2": host != self.without, "errors": list(self.errors) if arguments["servers"] else []}


LACKING = {
    "client": (
        Asked("client1"),
        "drill_client: 'client1': /usr/bin/python3 has no module psycopg2 there; install python3-",
    ),
    "database": (Asked("db2"), "db2: /usr/bin/python3 has no module psycopg2"),
    "password": (
        Asked(errors=("password authentication failed", "")),
        r"can't get in: pool primary \(192.0.2.100:5000\): pass",
    ),
    "route": (Asked(errors=("", "no answer within 4 s")), r"pool standby \(192.0.2.100:5001\): no answer within 4 s"),
}


@pytest.mark.parametrize(("crew", "message"), LACKING.values(), ids=LACKING)
def test_what_the_clients_lack_is_told_before_anything(monkeypatch, crew, message) -> None:
    monkeypatch.setattr(patience, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(clients, "REACH_SECONDS", 0.01)
    with pytest.raises(Refusal, match=message):
        Parts(crew).clients.require()


def test_clients_that_lack_nothing_may_begin() -> None:
    Parts(Asked()).clients.require()
