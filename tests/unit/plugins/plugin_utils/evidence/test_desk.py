# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a desk keeps: marks in order, the state as a whole, the engine's last words."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.desk import BEGIN, END, RUNNING, Desk, State
from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence.life import Process


def test_marks_are_read_as_they_were_made(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.marks() == []
    desk.mark("db1", "restart »Patroni«", BEGIN)
    desk.mark("db1", "restart »Patroni«", END)
    with (tmp_path / "marks.jsonl").open("a") as stream:
        stream.write('{"at": 1.0, "ho')
    begin, end = desk.marks()
    assert (begin.host, begin.text, begin.edge, end.edge) == ("db1", "restart »Patroni«", BEGIN, END)
    assert begin.at <= end.at


def test_the_state(tmp_path: Path) -> None:
    desk, state = Desk(tmp_path), State(RUNNING, Process(4, "9"), "text", {"passed": True})
    assert desk.state() is None
    desk.tell(state)
    assert desk.state() == state


def test_a_new_engine_finds_a_clear_desk(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "new" / "report")
    desk.clear()
    desk.mark("db1", "x", BEGIN)
    desk.ask_to_finish()
    desk.tell(State(RUNNING, Process(4)))
    assert desk.asked_to_finish
    desk.clear()
    assert (desk.asked_to_finish, desk.marks(), desk.state()) == (False, [], None)


def test_the_last_words_are_messages_or_what_python_said(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.last_words() == ""
    desk.log.write_text('{"text":"connecting"}\n{"table":"x"}\nTraceback\n  ValueError: no\n[1]\n')
    assert desk.last_words() == "connecting; Traceback; ValueError: no; [1]"
