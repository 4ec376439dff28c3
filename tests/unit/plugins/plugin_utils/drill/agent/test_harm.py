# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an agent does to its node, with every command recorded instead of run."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.agent import harm

MUTING = """table netdev holdfast_drill {
  chain egress {
    type filter hook egress devices = { eth0, eth1 } priority -400; policy accept;
    ether type arp arp saddr ip { 192.0.2.100 } counter drop
  }
}
"""


@pytest.fixture
def ran(monkeypatch, tmp_path) -> list[tuple[str, str]]:
    """The commands that were run, each with its input; a rule in the family netdev fails when refuse is there."""
    commands: list[tuple[str, str]] = []

    def run(argv: list[str], seconds: float = 30.0, text: str = "") -> dict[str, Any]:
        commands.append((" ".join(argv), text))
        refused = (tmp_path / "refuse").exists() and "netdev" in text
        return {"code": int(refused), "out": "", "err": ""}

    for device in ("lo", "eth0", "eth1"):
        (tmp_path / "net" / device).mkdir(parents=True)
    monkeypatch.setattr(harm, "run", run)
    monkeypatch.setattr(harm, "DEVICES", tmp_path / "net")
    return commands


def test_muting() -> None:
    assert harm.muting(["192.0.2.100"], ["eth0", "eth1"]) == MUTING


@pytest.mark.parametrize(
    ("mute", "refused", "unheard"),
    [
        (["192.0.2.100"], False, True),
        (["192.0.2.100"], True, False),
        ([], True, True),
        (["2001:db8::1"], True, True),
    ],
)
def test_an_isolation(ran, tmp_path, mute: list[str], refused: bool, unheard: bool) -> None:
    if refused:
        (tmp_path / "refuse").touch()
    assert harm.Harms().isolate("rules", 60, mute) is unheard
    texts = [text for _command, text in ran if text]
    assert texts[0] == "rules"
    assert len(texts) == (2 if "192.0.2.100" in mute else 1)


def test_the_timer_is_armed_before_the_harm_and_undoes_all_of_it(ran) -> None:
    harm.Harms().isolate("rules", 60, ["192.0.2.100"])
    commands = [command for command, _text in ran]
    armed = next(at for at, command in enumerate(commands) if command.startswith("systemd-run"))
    assert armed < commands.index("nft -f -")
    for family in ("inet", "netdev"):
        assert f"nft delete table {family} holdfast_drill" in commands[armed]


def test_healing_undoes_all_of_it(ran) -> None:
    harms = harm.Harms()
    harms.isolate("rules", 60, ["192.0.2.100"])
    ran.clear()
    harms.heal()
    assert ran[0][0] == " ".join(harm.UNCUT)
    assert ran[1][0] == "systemctl stop holdfast-drill-isolation.timer"
    harms.heal()
    assert len(ran) == 2


def pulses(harms: harm.Harms, times: int = 1, off: float = 0.0, on: float = 0.05) -> list[list[Any]]:
    commands = {"harm": ["freeze"], "undo": ["thaw"], "look": ["show"]}
    return harms.pulses(name="pause", seconds=60, rhythm=(on, off, times), **commands)


def test_pulses_are_armed_looked_at_and_undone_each_time(ran) -> None:
    found = pulses(harm.Harms(), times=2, off=0.05)
    commands = [command for command, _text in ran]
    armed = next(at for at, command in enumerate(commands) if command.startswith("systemd-run"))
    assert commands[armed].endswith("thaw")
    once = ["freeze", "show", "thaw"]
    assert commands[armed + 1 :] == [*once, *once, "thaw", "systemctl stop holdfast-drill-pause.timer"]
    assert [round(end - begin, 1) for begin, end, _code, _out in found] == [0.1, 0.1]
    assert found[1][0] - found[0][1] >= 0.05


def test_healing_ends_pulses_early(ran) -> None:
    harms = harm.Harms()
    threading.Timer(0.1, harms.heal).start()
    begun = time.monotonic()
    assert len(pulses(harms, times=50, off=5.0, on=5.0)) == 1
    assert time.monotonic() - begun < 2.0
    assert [command for command, _text in ran].count("freeze") == 1


def test_a_harm_that_fails_is_undone(ran, monkeypatch) -> None:
    run = harm.run
    monkeypatch.setattr(
        harm, "run", lambda argv, *more, **text: run(argv, *more, **text) | {"code": int(argv == ["freeze"])}
    )
    with pytest.raises(harm.HarmError, match="freeze"):
        pulses(harm.Harms())
    assert ran[-2][0] == "thaw"
