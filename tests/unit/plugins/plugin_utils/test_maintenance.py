# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is in maintenance by the marks, and what a run of maintenance.yml does."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.maintenance import Mark
from ansible_collections.holdfast.ha.plugins.plugin_utils.maintenance import (
    Known,
    RefusedError,
    Wish,
    known_host,
    left_out,
    observe,
    plan,
)

MARK = Mark("db2", "2030-01-01 10:00 UTC", "a new disk", "ann@admin1")
LATER = replace(MARK, since="2030-01-02 10:00 UTC", reason="other")
DOWN = "No route to host"
OUT = Wish("db2", "", "", "2031-01-01 00:00 UTC", "bob@admin2")
BACK = replace(OUT, out="", back="db2")
DATABASE = ("etcd", "postgresql", "lease_watcher", "pgbouncer")
NAMES = ("db1", "db2", "db3", "lb1")


def marks(*found):
    return [asdict(mark) for mark in found]


def cluster(marked=(), down=(), mark=MARK, without=()):
    """Return the hosts of a cluster; marked are those with the mark, down those that give no answer."""
    found = {}
    for name in NAMES:
        components = DATABASE if name.startswith("db") else ("haproxy", "keepalived")
        seen = None if name in down else marks(mark) if name in marked else []
        why = DOWN if name in down else ""
        found[name] = Known({"cluster": "a", "components": components}, name not in without, seen, why)
    return found


@pytest.mark.parametrize(
    ("marked", "down", "agreed", "left"),
    [
        (["db1", "db2", "db3", "lb1"], [], True, True),
        (["db1", "db3", "lb1"], ["db2"], True, True),
        (["db1", "db2", "db3"], [], True, True),
        (["db1", "db3"], [], False, False),
        (["db1", "db2"], [], False, True),
        (["db2"], [], False, True),
        (["db1"], ["db2", "db3", "lb1"], True, True),
    ],
)
def test_a_majority_of_those_that_answer_decides(marked, down, agreed, left):
    known = cluster(marked, down)
    (seen,) = observe({name: host.marks for name, host in known.items()}, NAMES)
    assert (seen.agreed, seen.told) == (agreed, tuple(marked))
    assert (seen.host in left_out(known)) is left


def test_without_marks_nobody_is_in_maintenance():
    assert observe({"db1": [], "db2": None}, ["db1", "db2"]) == ()


def test_the_marks_of_hosts_that_left_mean_nothing():
    assert observe({"db1": marks(Mark("gone"))}, ["db1", "db2"]) == ()


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ([MARK, LATER, LATER], LATER),
        ([LATER, MARK], MARK),
        ([Mark("db2"), Mark("db2"), MARK], MARK),
        ([Mark("db2")], Mark("db2")),
    ],
)
def test_what_most_say_is_told(found, told):
    answers = {f"db{number}": marks(mark) for number, mark in enumerate(found, 1)}
    (seen,) = observe(answers, [*answers, "db2"])
    assert seen.mark == told


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        (MARK, "in maintenance since 2030-01-01 10:00 UTC by ann@admin1: a new disk"),
        (Mark("db2"), "in maintenance"),
        (Mark("db2", "2030"), "in maintenance since 2030"),
    ],
)
def test_it_is_told_in_words(mark, text):
    (seen,) = observe({"db1": marks(mark)}, ["db1", "db2"])
    assert seen.text == text
    assert seen.back == "back: playbooks/maintenance.yml -e maintenance_back=db2"


REFUSED = [
    (replace(OUT, out=""), {}, "maintenance_out: is missing. Fix: add -e maintenance_out=HOST"),
    (replace(OUT, back="db3"), {}, "maintenance_out = 'db2' and maintenance_back = 'db3': a run does one of both"),
    (replace(OUT, out="bd2"), {}, "maintenance_out = 'bd2': is no host of a cluster. Fix: give one of db2"),
    (
        replace(BACK, back="x"),
        {},
        "maintenance_back = 'x': is no host of a cluster. Fix: give one of db1, db2, db3, lb1",
    ),
    (replace(BACK, reason="y"), {}, "maintenance_reason = 'y': belongs to maintenance_out"),
    (replace(OUT, reason="y" * 201), {}, "maintenance_reason: has 201 characters. Fix: use at most 200"),
    (replace(OUT, reason="a\x1bb"), {}, "maintenance_reason: has characters that can't be shown"),
    (OUT, {"without": NAMES}, "is a host of the cluster a, which takes no part in this run"),
    (OUT, {"without": ["lb1"]}, "--limit leaves out lb1 of the cluster a. Fix: run without --limit"),
    (BACK, {"down": ["db2"]}, f"maintenance_back = 'db2': it can't be reached: {DOWN}. Fix: start it first"),
    (OUT, {"down": NAMES}, "no host of the cluster a can be reached"),
    (OUT, {"down": ["db3"]}, f"db3: can't be reached: {DOWN}. Fix: start it, or take it out first with -e "),
    (
        replace(OUT, out="db3"),
        {"marked": ["db2"]},
        "db2 is half in maintenance: db2 say so, db1, db3, lb1 don't. Fix: run",
    ),
]


@pytest.mark.parametrize(("wish", "state", "expected"), REFUSED)
def test_what_makes_no_sense_is_refused(wish, state, expected):
    with pytest.raises(RefusedError) as refused:
        plan(wish, cluster(**state))
    assert expected in str(refused.value)


def test_marks_that_can_not_be_read_are_refused():
    known = cluster()
    known["db1"] = known_host({"ha": known["db1"].ha, "seen": {"failed": True, "msg": "planted"}}, "seen")
    for wish in (OUT, BACK):
        with pytest.raises(RefusedError, match="db1: its marks can't be read: planted"):
            plan(wish, known)


def test_a_host_goes_out():
    told = plan(replace(OUT, reason=" a \n disk "), cluster()).as_data()
    assert (told["direction"], told["reachable"], told["marked"], told["in_maintenance"]) == ("out", True, False, False)
    assert [item["path"] for item in told["marks"]] == ["/etc/holdfast/maintenance/db2"]
    assert '"since": "2031-01-01 00:00 UTC", "reason": "a disk", "by": "bob@admin2"' in told["marks"][0]["content"]
    assert told["units"] == [
        {"name": "patroni.service", "state": "stopped"},
        {"name": "holdfast-pgbouncer.service", "state": "stopped"},
    ]
    assert len(told["drop_ins"]) == 2
    assert (told["no_marks"], told["no_drop_ins"]) == ([], [])
    assert told["text"].endswith("back: playbooks/maintenance.yml -e maintenance_back=db2")


def test_it_comes_back_in_the_reverse_order():
    out, back = (plan(wish, cluster(["db1", "db2", "db3"])).as_data() for wish in (OUT, BACK))
    assert back["units"] == [{**unit, "state": "started"} for unit in reversed(out["units"])]
    assert back["no_drop_ins"] == [item["path"] for item in out["drop_ins"]]
    assert (back["marks"], back["drop_ins"], back["directories"]) == ([], [], [])
    assert back["no_marks"] == ["/etc/holdfast/maintenance/db2"]


def test_haproxy_stops_last():
    told = plan(replace(OUT, out="lb1"), cluster()).as_data()
    assert [unit["name"] for unit in told["units"]] == ["keepalived.service", "haproxy.service"]


def test_a_second_run_writes_the_same_mark_with_a_new_reason_if_there_is_one():
    known = cluster(NAMES)
    assert plan(OUT, known).mark == MARK
    assert plan(replace(OUT, reason="b"), known).mark == replace(MARK, reason="b")
    assert plan(OUT, cluster(NAMES, mark=Mark("db2"))).mark == Mark("db2", OUT.now, "", OUT.by)


def test_a_host_that_is_off_gets_its_marks_on_the_others():
    made = plan(OUT, cluster(down=["db2", "db3"]))
    assert (made.reachable, made.silent, made.others) == (False, ("db2", "db3"), ())


def test_another_host_in_maintenance_keeps_its_mark_even_when_it_is_off():
    made = plan(replace(OUT, out="db3"), cluster(["db1", "db3", "lb1"], down=["db2"])).as_data()
    assert (made["others"], made["silent"]) == (["db2"], ["db2"])
    assert made["purge"] == [{"pattern": "/etc/holdfast/maintenance/*", "keep": ["/etc/holdfast/maintenance/db2"]}]


def test_clusters_are_kept_apart():
    other = {f"web-{name}": replace(host, ha={**host.ha, "cluster": "b"}) for name, host in cluster().items()}
    other["web-db1"] = replace(other["web-db1"], marks=None, why=DOWN)
    made = plan(OUT, cluster() | other)
    assert (made.cluster, made.silent, made.others) == ("a", ("web-db1",), ())


def test_a_result_without_marks_tells_why():
    seen = {"unreachable": True, "msg": f"Task failed: {DOWN}"}
    known = known_host({"ha": {}, "seen": seen}, "seen")
    assert (known.marks, known.why, known.failed) == (None, DOWN, False)
