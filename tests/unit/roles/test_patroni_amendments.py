# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All of the amendments are applied to an installed Patroni, or none of them."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from patroni_start import AMENDMENTS, Amendment, AmendmentError, amend, look_up, owner_of


class Ha:
    def watch(self, timeout):
        return timeout

    def wakeup(self):
        return "woken"


@pytest.fixture(name="patroni")
def installed(monkeypatch):
    """A Patroni 4.0.7 that has a class Ha and little else."""
    modules = {name: ModuleType(name) for name in ("patroni", "patroni.api", "patroni.version", "patroni.ha")}
    modules["patroni.version"].__version__ = "4.0.7"
    modules["patroni.ha"].Ha = type("Ha", (), dict(vars(Ha)))
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return SimpleNamespace(ha=modules["patroni.ha"].Ha, api=modules["patroni.api"], version=modules["patroni.version"])


def twice(watch, *_used):
    return {"patroni.ha:Ha.watch": lambda ha, timeout: 2 * watch(ha, timeout)}


WATCH = Amendment("it waits twice", ("patroni.ha:Ha.watch(timeout)",), twice)
ADD = Amendment("it answers", ("patroni.ha:Ha.wakeup",), lambda _wakeup: {"patroni.ha:Ha.answer": lambda _ha: 42})


def test_all_are_applied_and_told_by_name(patroni, capsys):
    assert amend([WATCH, ADD])
    assert (patroni.ha().watch(3), patroni.ha().answer()) == (6, 42)
    assert capsys.readouterr().out.splitlines() == [
        "Patroni 4.0.7, amended: it waits twice",
        "Patroni 4.0.7, amended: it answers",
    ]


def fail(*_found):
    raise ValueError("not this one")


@pytest.mark.parametrize(
    ("amendment", "words"),
    [
        (Amendment("broken", ("patroni.ha:Ha.absent",), twice), "broken: patroni.ha:Ha.absent"),
        (Amendment("broken", ("patroni.ha:Absent.watch",), twice), "broken: patroni.ha:Absent.watch"),
        (Amendment("broken", ("patroni.absent:Ha.watch",), twice), "broken: patroni.absent:Ha.watch"),
        (Amendment("broken", ("patroni.ha:Ha.watch(timeout, leader)",), twice), "takes no leader"),
        (Amendment("broken", ("patroni.ha:Ha.watch",), fail), "not this one"),
        (
            Amendment("broken", ("patroni.ha:Ha.watch",), lambda _watch: {"patroni.ha:Absent.watch": None}),
            "Absent",
        ),
    ],
    ids=["no attribute", "no class", "no module", "other parameters", "it fails", "it sets what isn't there"],
)
def test_when_one_can_t_be_applied_none_is(patroni, caplog, amendment, words):
    for table in ([amendment, WATCH, ADD], [WATCH, ADD, amendment]):
        assert not amend(table)
        assert patroni.ha().watch(3) == 3
        assert not hasattr(patroni.ha, "answer")
        assert words in caplog.text


@pytest.mark.parametrize(
    ("version", "applied"), [("3.0.2", False), ("4.0.0", True), ("4.0.7", True), ("4.1.0rc1", True), ("4.2.0", False)]
)
def test_only_those_for_the_version_are_looked_up(patroni, version, applied):
    patroni.version.__version__ = version
    absent = Amendment("for others", ("patroni.ha:Ha.absent",), twice, before=(3,))
    assert amend([Amendment("of 4.0 and 4.1", WATCH.targets, twice, since=(4, 0), before=(4, 2)), absent])
    assert (patroni.ha().watch(3) == 6) is applied


def test_without_patroni_nothing_is_amended(patroni, monkeypatch):
    monkeypatch.setitem(sys.modules, "patroni.api", None)
    assert not amend([WATCH])


def test_a_target_is_found_by_its_words(patroni):
    assert owner_of("patroni.ha:Ha.watch(timeout)") == (patroni.ha, "watch")
    assert look_up("patroni.ha:Ha.watch(timeout)") is patroni.ha.watch
    with pytest.raises(AmendmentError):
        look_up("patroni.ha:Ha.watch(loop_wait)")


def test_the_table_names_each_once():
    names = [amendment.name for amendment in AMENDMENTS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("version", ["3.0.2", "3.0.3", "4.0.7", "4.1.5"])
def test_no_two_of_a_version_change_the_same(version):
    """The second would take the first one's change for Patroni's own."""
    changed = [
        target
        for amendment in AMENDMENTS
        if amendment.concerns(version)
        for target in amendment.replace(*(lambda *_args, **_options: None for _target in amendment.targets))
    ]
    assert len(changed) == len(set(changed))
