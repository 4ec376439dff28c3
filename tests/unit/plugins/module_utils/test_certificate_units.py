# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_units import Reader, plan
from ansible_collections.holdfast.ha.plugins.module_utils.component import Changes, FoundUnit

CA, CRT = "/tls/ca.crt", "/tls/host.crt"
PATRONI = Reader("postgresql", "patroni.service", reload_on=(CA, CRT), amended=(CA,))
ETCD = Reader("etcd", "etcd.service", restart_on=(CA,), managed=True)
EXPORTER = Reader("node_exporter", "exporter.service", restart_on=(CA, CRT))
START, RELOAD = 100.0, 200.0


def found(state: str = "active") -> FoundUnit:
    return FoundUnit("loaded", state, "enabled", False, START, RELOAD)


@pytest.mark.parametrize(
    ("reader", "modified", "amended", "expected"),
    [
        (PATRONI, {CA: 150, CRT: 150}, True, ((), 0, 0)),
        (PATRONI, {CA: 250, CRT: 150}, True, (("reload",), 0, 1)),
        (PATRONI, {CA: 250, CRT: 250}, True, (("reload",), 0, 2)),
        (PATRONI, {CA: 250, CRT: 150}, False, (("restart",), 1, 0)),
        (PATRONI, {CA: 50, CRT: 250}, False, (("reload",), 0, 1)),
        (ETCD, {CA: 150}, True, ((), 1, 0)),
        (ETCD, {CA: 50}, True, ((), 0, 0)),
        (EXPORTER, {CA: 50, CRT: 150}, True, (("restart",), 1, 0)),
        (EXPORTER, {}, True, ((), 0, 0)),
    ],
)
def test_what_a_service_needs(reader, modified, amended, expected):
    """Expected: the verbs, and the number of reasons to restart and to reload."""
    (due,) = plan([reader], {reader.unit: found()}, Changes(modified=modified), lambda _started: amended)
    assert (due.verbs, len(due.reasons), len(due.reloads)) == expected


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_one_that_does_not_run_reads_the_files_when_it_starts(state):
    (due,) = plan([EXPORTER], {EXPORTER.unit: found(state)}, Changes(modified={CA: 999}), lambda _started: True)
    assert due.as_data() == {
        "component": "node_exporter",
        "unit": "exporter.service",
        "active": False,
        "reasons": [],
        "reloads": [],
    }


def test_a_prediction_counts_what_would_change():
    (due,) = plan([ETCD], {ETCD.unit: found()}, Changes(changing=frozenset({CA})), lambda _started: True)
    assert due.reasons == (f"{CA} changed since its start",)
