# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When Patroni last saw etcd."""

from __future__ import annotations

from typing import Any

import pytest
from patroni_start import last_seen as sut


class Etcd3:
    """A stand-in for Patroni's class: what was read when, and whether the lease can be renewed."""

    def __init__(self, read: int) -> None:
        self.read, self.reachable = read, True

    def _do_refresh_lease(self, force: bool = False) -> bool:
        if not self.reachable:
            raise TimeoutError
        return force

    @property
    def last_seen(self) -> int:
        return self.read


@pytest.fixture
def amended(monkeypatch: pytest.MonkeyPatch) -> Any:
    replaced = sut.replacements(Etcd3._do_refresh_lease, Etcd3.last_seen)
    for target, value in replaced.items():
        monkeypatch.setattr(Etcd3, target.rpartition(".")[2], value)
    return Etcd3


def test_both_must_be_recent(amended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    etcd = amended(read=90)
    assert etcd.last_seen == 0
    monkeypatch.setattr(sut.time, "time", lambda: 100.7)
    assert etcd._do_refresh_lease(force=True) is True
    assert etcd.last_seen == 90
    etcd.read = 101
    assert etcd.last_seen == 100


def test_a_watch_that_stays_open_does_not_count(amended: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    etcd = amended(read=100)
    monkeypatch.setattr(sut.time, "time", lambda: 100.0)
    etcd._do_refresh_lease()
    etcd.reachable, etcd.read = False, 130
    monkeypatch.setattr(sut.time, "time", lambda: 130.0)
    with pytest.raises(TimeoutError):
        etcd._do_refresh_lease()
    assert etcd.last_seen == 100
