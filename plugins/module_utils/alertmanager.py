# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether Alertmanager's receivers were notified, from its own metrics, which count each request to a receiver."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

SENT = "alertmanager_notification_requests_total"
FAILED = "alertmanager_notification_requests_failed_total"
SAMPLE = re.compile(r"^(\w+)\{([^}]*)\} (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Receiver:
    """What a test alert must reach: C(number) integrations of one kind, such as C(webhook), of a receiver."""

    name: str
    integration: str
    number: int = 1


@dataclass(frozen=True)
class Counts:
    """Requests that succeeded and failed, by receiver and integration; the receiver is "" before Alertmanager 0.28."""

    succeeded: Mapping[tuple[str, str], float]
    failed: Mapping[tuple[str, str], float]


def counts(text: str) -> Counts:
    """Return the counts in Alertmanager's metrics."""
    sent: Counter[tuple[str, str]] = Counter()
    failed: Counter[tuple[str, str]] = Counter()
    for line in text.splitlines():
        found = SAMPLE.match(line)
        if found and found[1] in (SENT, FAILED):
            labels = dict(LABEL.findall(found[2]))
            key = (labels.get("receiver_name", ""), labels.get("integration", ""))
            (sent if found[1] == SENT else failed)[key] += int(float(found[3]))
    return Counts({key: value - failed[key] for key, value in sent.items()}, failed)


def waiting(receivers: Iterable[Receiver], before: Counts, now: Counts) -> list[Receiver]:
    """Return the receivers that were not yet notified.

    Where Alertmanager counts without their names, all of an integration wait until it has notified all of them.
    """
    named = any(name for name, _integration in now.succeeded)
    wanted: Counter[tuple[str, str]] = Counter()
    listed = list(receivers)
    for receiver in listed:
        wanted[_key(receiver, named)] += receiver.number
    return [
        receiver
        for receiver in listed
        for key in [_key(receiver, named)]
        if now.succeeded.get(key, 0) - before.succeeded.get(key, 0) < wanted[key]
    ]


def failing(receiver: Receiver, before: Counts, now: Counts) -> bool:
    """Return whether requests to a receiver failed."""
    keys = (_key(receiver, True), _key(receiver, False))
    return any(now.failed.get(key, 0) > before.failed.get(key, 0) for key in keys)


def _key(receiver: Receiver, named: bool) -> tuple[str, str]:
    return (receiver.name if named else "", receiver.integration)
