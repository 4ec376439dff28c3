# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All amendments for an installed Patroni are applied, or none of them."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from patroni_start.amendment import KNOWN, Amendment, AmendmentError, Versions, apply, look_up, owner_of
from patroni_start.table import AMENDMENTS


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


def test_all_are_applied_and_logged_by_name(patroni, capsys):
    assert apply([WATCH, ADD])
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
        (Amendment("broken", ("patroni.ha:Ha.watch(timeout, leader)",), twice), "has no parameter leader"),
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
        assert not apply(table)
        assert patroni.ha().watch(3) == 3
        assert not hasattr(patroni.ha, "answer")
        assert words in caplog.text


@pytest.mark.parametrize(
    ("version", "applied"), [("3.0.2", False), ("3.3.8", False), ("4.0.0", True), ("4.0.7", True), ("4.1.0rc1", False)]
)
def test_only_those_for_the_version_are_looked_up(patroni, version, applied):
    patroni.version.__version__ = version
    absent = Amendment("for others", ("patroni.ha:Ha.absent",), twice, versions=Versions((3,), (3, 0, 2)))
    assert apply([Amendment("of 4.0", WATCH.targets, twice, versions=Versions((4, 0), (4, 1))), absent])
    assert (patroni.ha().watch(3) == 6) is applied


def test_without_patroni_nothing_is_amended(patroni, monkeypatch):
    monkeypatch.setitem(sys.modules, "patroni.api", None)
    assert not apply([WATCH])


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
        if version in amendment.versions
        for target in amendment.replace(*(lambda *_args, **_options: None for _target in amendment.targets))
    ]
    assert len(changed) == len(set(changed))


@pytest.mark.parametrize(
    ("version", "contained"), [("2.1.4", False), ("3.0.2", True), ("3.0.3", False), ("4.1.0rc1", False)]
)
def test_versions_are_from_one_on_and_before_another(version, contained):
    assert (version in Versions((3, 0, 2), (3, 0, 3))) is contained


@pytest.mark.parametrize("version", ["2.1.4", "3.0.1", "4.2.0", "4.2.0b1", "5.0.0"])
def test_an_unknown_version_is_logged_and_started_unchanged(patroni, caplog, version):
    patroni.version.__version__ = version
    assert not apply([WATCH, ADD])
    assert patroni.ha().watch(3) == 3
    assert caplog.messages == [f"Patroni {version} is started unchanged: the amendments are for {KNOWN}"]


def test_no_amendment_is_for_unknown_versions():
    for amendment in AMENDMENTS:
        assert KNOWN.since <= amendment.versions.since < amendment.versions.before <= KNOWN.before
