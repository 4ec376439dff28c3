# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledgers that real drills recorded follow the model; a ledger whose order no step of it allows is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Event, Ledger, Outcome, Presence

from scripts.model import __main__ as program
from scripts.model.commit import Mode
from scripts.model.replay import records, replay
from tests.unit.plugins.plugin_utils.drill.ledgers import (
    DATA,
    HEALED,
    INJECTED,
    RESUMED,
    ledger,
    presence,
    recorded,
    write,
)

RECORDED = {
    "primary_power_loss-1": Mode.QUORUM,
    "primary_isolated-1": Mode.QUORUM,
    "postmaster_killed-1": Mode.QUORUM,
    "switchover-1": Mode.QUORUM,
    "asynchronous_primary_cut_from_peers": Mode.OFF,
}
pytestmark = pytest.mark.xdist_group("model")


def refused(record: Ledger, mode: Mode = Mode.QUORUM) -> str:
    return str(replay(record, mode).refused or "")


def test_every_recorded_ledger_is_replayed():
    assert {path.name.removesuffix(".ledger.json.gz") for path in DATA.glob("*.gz")} == set(RECORDED)


@pytest.mark.parametrize(("name", "mode"), RECORDED.items())
def test_a_recorded_ledger_follows_the_model(name, mode):
    assert refused(recorded(name), mode) == ""


def test_what_a_ledger_shows_in_its_order():
    assert [(record.at, str(record)) for record in records(ledger(clock_uncertainty={}))] == [
        (5.0, "db1 acknowledged a new row"),
        (9.99, "db1 acknowledged a new row"),
        (12.0, "db1 loses power"),
        (13.0, "db2 is primary"),
        (14.0, "db2 acknowledged a new row"),
        (20.0, "db1 has power again"),
        (20.0, "db1 is a standby"),
        (29.8, "db2 acknowledged a new row"),
        (30.0, "db2 has every acknowledged row in the end"),
    ]


def test_a_faultless_ledger_follows_the_model_in_every_mode():
    assert [refused(ledger(), mode) for mode in Mode] == ["", "", ""]


def rogue(at: float, server: str = "db1") -> dict[str, object]:
    return {"local_writes": (write(1, at, server=server, writer="rogue"),)}


def test_the_old_primary_acknowledging_after_the_new_one_is_refused():
    assert refused(ledger(fault="primary_isolated", dark={}, **rogue(15.0)), Mode.ON) == "db1 acknowledged a new row"


def test_an_acknowledgement_that_may_have_been_earlier_is_not():
    late, calm = write(1, 14.5, server="db1", writer="late", begun=9.0), ledger()
    found = presence((*calm.writes, *calm.naive, late))
    assert refused(replace(calm, fault="primary_isolated", dark={}, local_writes=(late,), presence=found)) == ""


def test_an_acknowledgement_in_the_dark_is_refused():
    assert refused(ledger(**rogue(12.5)), Mode.ON) == "db1 acknowledged a new row"


def test_a_promotion_while_the_old_primary_goes_on_acknowledging_is_refused():
    events = (Event(INJECTED, "injected", "db1"), Event(6.0, "promoted", "db2"), Event(HEALED, "healed", "db1"))
    early = ledger(fault="primary_isolated", dark={}, events=events)
    assert refused(early, Mode.ON) == "db1 acknowledged a new row"


def test_writes_on_a_member_that_was_never_promoted_are_refused():
    events = tuple(event for event in ledger().events if event.kind != "promoted")
    assert refused(ledger(events=events), Mode.ON) == "db2 acknowledged a new row"


@pytest.mark.parametrize("mode", [Mode.ON, Mode.QUORUM])
def test_a_lost_row_is_refused_with_synchronous_replication(mode):
    calm = ledger()
    lost = next(row for row in calm.writes if row.outcome is Outcome.ACKNOWLEDGED and row.ended < RESUMED)
    found_rows = tuple(
        Presence(found.member, {key: 1 for key in found.counts if key != (lost.writer, lost.sequence)})
        for found in calm.presence
    )
    assert refused(replace(calm, presence=found_rows), mode) == "db2 lacks an acknowledged row in the end"


def test_the_program_prints_the_records_and_the_refused_one(capsys):
    path = str(DATA / "asynchronous_primary_cut_from_peers.ledger.json.gz")
    assert program.main([path, "off"]) == 0
    assert "ok      fo-db3 is primary" in capsys.readouterr().out
