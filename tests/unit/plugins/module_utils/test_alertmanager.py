# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who was notified, from the metrics of Alertmanager 0.28, and of earlier ones, which don't name receivers."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.alertmanager import (
    Counts,
    Receiver,
    counts,
    failing,
    waiting,
)

ONE, TWO = Receiver("one", "webhook"), Receiver("a b", "webhook")
MAIL = Receiver("one", "email", 2)


def metrics(*samples: tuple[str, str, int, int], named: bool = True) -> Counts:
    lines = ["# HELP alertmanager_notification_requests_total x", 'alertmanager_alerts{state="active"} 3']
    for name, integration, sent, failed in samples:
        key = f'{{integration="{integration}"' + (f',receiver_name="{name}"}}' if named else "}")
        lines += [
            f"alertmanager_notification_requests_total{key} {sent}",
            f"alertmanager_notification_requests_failed_total{key} {failed}",
        ]
    return counts("\n".join(lines))


@pytest.mark.parametrize(
    ("receivers", "before", "now", "missing"),
    [
        ([ONE], metrics(), metrics(("one", "webhook", 1, 0)), []),
        ([ONE], metrics(("one", "webhook", 4, 0)), metrics(("one", "webhook", 4, 0)), [ONE]),
        ([ONE], metrics(("one", "webhook", 4, 0)), metrics(("one", "webhook", 5, 1)), [ONE]),
        ([ONE], metrics(("one", "webhook", 4, 1)), metrics(("one", "webhook", 6, 2)), []),
        ([ONE, TWO], metrics(), metrics(("one", "webhook", 9, 0)), [TWO]),
        ([MAIL], metrics(), metrics(("one", "email", 1, 0)), [MAIL]),
        ([MAIL], metrics(), metrics(("one", "email", 2, 0)), []),
        ([ONE, TWO], metrics(named=False), metrics(("", "webhook", 1, 0), named=False), [ONE, TWO]),
        ([ONE, TWO], metrics(named=False), metrics(("", "webhook", 2, 0), named=False), []),
    ],
)
def test_a_receiver_waits_until_its_request_succeeded(
    receivers: list[Receiver], before: Counts, now: Counts, missing: list[Receiver]
) -> None:
    assert waiting(receivers, before, now) == missing


def test_a_failed_request_is_told() -> None:
    before, now = metrics(("one", "webhook", 0, 0)), metrics(("one", "webhook", 1, 1), ("a b", "webhook", 1, 0))
    assert failing(ONE, before, now)
    assert not failing(TWO, before, now)
    assert failing(TWO, metrics(named=False), metrics(("", "webhook", 1, 1), named=False))
