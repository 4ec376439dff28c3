# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.followers import behind, why_behind

DONE: dict[str, Any] = {"changed_paths": [], "reasons": {}, "units": []}
ETCD = {"unit": "etcd.service", "reasons": ["/etc/holdfast/tls/ca.crt changed since its start"], "reloads": []}
HAPROXY = {"unit": "haproxy.service", "reasons": [], "reloads": ["/etc/holdfast/tls/ca.crt changed since its reload"]}
READ = {"unit": "patroni.service", "reasons": [], "reloads": []}


@pytest.mark.parametrize(
    ("result", "proof", "text"),
    [
        (DONE, None, ""),
        (DONE | {"units": [READ]}, {"proven": []}, ""),
        (None, None, "takes no part in this run"),
        ({"skipped": True}, None, "takes no part in this run"),
        ({"unreachable": True, "msg": "Failed to connect:\nno route"}, None, "unreachable: no route"),
        ({"failed": True, "msg": "no room"}, None, "nobody knows its state: no room"),
        (DONE | {"changed_paths": ["/etc/holdfast/tls/ca.crt"]}, None, "lacks the present ca.crt"),
        (
            DONE
            | {"changed_paths": ["/t/host.crt"], "reasons": {"/t/host.crt": ["it ends"], "/t/client.crt": ["it ends"]}},
            None,
            "lacks the present host.crt, client.crt",
        ),
        (DONE | {"units": [ETCD, READ, HAPROXY]}, None, "etcd.service, haproxy.service has not read it"),
        (DONE, {"failed": True, "msg": "patroni (x:8008) refuses clients"}, "patroni (x:8008) refuses clients"),
    ],
)
def test_what_a_host_lacks(result: Any, proof: Any, text: str) -> None:
    assert why_behind(result, proof) == text


def test_only_those_that_lack_something_are_named() -> None:
    assert behind({"db1": (DONE, None), "db2": (None, None)}) == {"db2": "takes no part in this run"}
