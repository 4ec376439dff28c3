# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import ledger_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import (
    Alert,
    AlertSample,
    BalancerSample,
    Event,
    Ledger,
    MemberSample,
    Outcome,
    Presence,
    Read,
    Write,
)

LEDGER = Ledger(
    fault="switchover",
    repetition=2,
    begun=1.0,
    injected=2.5,
    healed=3.5,
    ended=9.25,
    proof="db2 leads",
    primary_before="db1",
    primary_after="db2",
    writes=(
        Write("w1", 1, 1.0, 1.001, Outcome.ACKNOWLEDGED, "db1"),
        Write("w1", 2, 2.0, 3.0, Outcome.UNKNOWN, "", "no answer in 1 s"),
    ),
    reads=(Read("r1", 1.0, 1.1, True, "db3"),),
    naive=(Write("naive", 1, 1.0, 1.5, Outcome.WARNED, "db1", "canceled"),),
    local_writes=(Write("local-db1", 1, 1.0, 1.5, Outcome.REFUSED, "db1", "read-only"),),
    members=(MemberSample(1.0, "db1", False, True, True, 4), MemberSample(1.1, "db2", None, None, False)),
    balancers=(BalancerSample(1.0, "lb1", ("192.0.2.1",), {"primary": ("db1",)}), BalancerSample(1.1, "lb2", (), None)),
    events=(Event(2.5, "injected", "db1", "switchover"),),
    presence=(Presence("db1", {("w1", 1): 1, ("w1", 2): 1, ("w1", 3): 2, ("w1", 7): 1, ("w2", 8): 1}),),
    recovery={"seconds": 1.5},
    clock_uncertainty={"db1": 0.0001},
    expected_members=("db1", "db2"),
    dark={"db1": ((2.5, 3.5), (4.0, 4.5))},
    cut={"lb1": ((2.5, 3.4),)},
    phases={"gate before": 1.25, "fault": 1.0},
    pooled=(Write("pooled-1", 1, 1.0, 1.5, Outcome.ACKNOWLEDGED),),
    pooled_pool="pooled",
)


def test_a_ledger_comes_back(tmp_path) -> None:
    path = tmp_path / "ledger.json.gz"
    ledger_file.write(LEDGER, path)
    assert ledger_file.read(path) == LEDGER


def test_the_alerts_of_a_monitored_cluster_come_back(tmp_path) -> None:
    alerts = (
        AlertSample(1.0, ()),
        AlertSample(2.0, (Alert("HostDown", "page", "db1"), Alert("NoSpare", "page", quiet=True))),
        AlertSample(3.0, None),
    )
    monitored = replace(LEDGER, monitor="backup1", alerts=alerts)
    ledger_file.write(monitored, tmp_path / "ledger.json.gz")
    assert ledger_file.read(tmp_path / "ledger.json.gz") == monitored
    assert ledger_file.as_data(monitored).keys() - ledger_file.as_data(LEDGER).keys() == {"monitor", "alerts"}


def test_an_older_ledger_has_no_cuts_no_phases_and_no_poolers() -> None:
    document = ledger_file.as_data(LEDGER)
    del document["cut"], document["phases"], document["pooled"], document["pooled_pool"]
    older = ledger_file.parse(document)
    assert (older.cut, older.phases, older.pooled, older.pooled_pool) == ({}, {}, (), "")


def test_the_same_ledger_gives_the_same_bytes(tmp_path) -> None:
    for name in ("one", "two"):
        ledger_file.write(LEDGER, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_presence_is_kept_as_runs() -> None:
    assert ledger_file.presence_rows(LEDGER.presence[0]) == [
        ["w1", 1, 2, 1],
        ["w1", 3, 3, 2],
        ["w1", 7, 7, 1],
        ["w2", 8, 8, 1],
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"plain", "not a gzipped JSON document"),
        (gzip.compress(b"{"), "not a gzipped JSON document"),
        (gzip.compress(b"[]"), "its format is 'list'"),
        (gzip.compress(b'{"format": "other"}'), "its format is 'other'"),
        (gzip.compress(json.dumps({"format": ledger_file.FORMAT}).encode()), "not a complete ledger"),
    ],
    ids=["plain", "cut off", "a list", "another format", "incomplete"],
)
def test_another_file_is_refused(tmp_path, content, message) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(content)
    with pytest.raises(ledger_file.LedgerFileError, match=message):
        ledger_file.read(path)
