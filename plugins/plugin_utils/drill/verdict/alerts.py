# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The alerts that an injection raised, against those that it must and may raise. Pure: a ledger in, breaches out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Alert, Breach, Heard, Ledger
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.spans import uncovered

SCRAPES = 2
"""Scrapes that may pass until Prometheus sees a state for certain: one was just over, one times out."""
UNSEEN_SECONDS = 30.0
"""The longest permitted silence of Alertmanager."""
BOOT_SECONDS = 180.0
"""The same after its host was off or cut off."""
SETTLED_SECONDS = 150.0
PAGE, INFO = "page", "info"


@dataclass(frozen=True, slots=True)
class Due:
    """One of these alerts must fire, in so many seconds."""

    names: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return " or ".join(self.names)


@dataclass(frozen=True, slots=True)
class Alerts:
    """The alerts of a fault: those that must fire, those that may; no other one.

    lingering: those that may fire, too, and go on for some time after their cause; settled: seconds from the cluster's
    recovery until none of the others fires any more.
    """

    must: tuple[Due, ...] = ()
    may: frozenset[str] = frozenset()
    lingering: frozenset[str] = frozenset()
    settled: float = SETTLED_SECONDS

    @property
    def ending(self) -> frozenset[str]:
        """The names of those that end with the fault."""
        return self.may.union(*(due.names for due in self.must)) - self.lingering

    @property
    def names(self) -> frozenset[str]:
        """The names of all."""
        return self.ending | self.lingering

    @property
    def latest(self) -> float:
        """The seconds until the last one must have fired."""
        return max((due.seconds for due in self.must), default=0.0)

    def scraped(self, interval: float, extra: float) -> Alerts:
        """Return the same with scrapes every so many seconds, and a tolerance."""
        later = SCRAPES * interval + extra
        must = tuple(replace(due, seconds=due.seconds + later) for due in self.must)
        return replace(self, must=must, settled=self.settled + later)

    def permitted(self) -> Alerts:
        """Return the same where nothing must fire, since the fault does not last."""
        return replace(self, must=(), may=self.ending)

    def missing(self, firing: Collection[Alert]) -> list[Due]:
        """Return those that must fire and do not yet."""
        names = {alert.name for alert in firing}
        return [due for due in self.must if names.isdisjoint(due.names)]


# What fired


@dataclass(frozen=True, slots=True)
class Firing:
    """An alert from its first to its last sample; end is None while it fires."""

    alert: Alert
    begin: float
    end: float | None


def firings(ledger: Ledger, counts: Callable[[Alert], bool] = lambda _alert: True) -> list[Firing]:
    """Return the spans in which alerts fired that count, in order of their begin; a silence does not end one.

    An alert that was loud at any time of its span counts as loud.
    """
    under_way: dict[Alert, Firing] = {}
    found: list[Firing] = []
    for sample in ledger.alerts:
        if sample.alerts is None:
            continue
        now = {replace(alert, quiet=False): alert for alert in sample.alerts if counts(alert)}
        found += [replace(one, end=sample.at) for key, one in under_way.items() if key not in now]
        under_way = {key: told_again(under_way.get(key), alert, sample.at) for key, alert in now.items()}
    found += under_way.values()
    return sorted(found, key=lambda one: (one.begin, one.alert.name, one.alert.host))


def told_again(before: Firing | None, alert: Alert, at: float) -> Firing:
    """Return an alert's span with one more sample."""
    if before is None:
        return Firing(alert, at, None)
    return replace(before, alert=replace(alert, quiet=alert.quiet and before.alert.quiet))


def begun(ledger: Ledger, counts: Callable[[Alert], bool] = lambda _alert: True) -> list[Firing]:
    """Return those that began after the injection and after the first sample, of which nobody knows the begin."""
    first = next((sample.at for sample in ledger.alerts if sample.alerts is not None), ledger.injected)
    return [one for one in firings(ledger, counts) if one.begin > max(first, ledger.injected)]


def standing(ledger: Ledger) -> frozenset[str]:
    """Return the names of the alerts that fired already when the fault was injected."""
    at = ledger.injected
    return frozenset(one.alert.name for one in firings(ledger) if one.begin <= at and (one.end is None or one.end > at))


def excused(ledger: Ledger) -> list[tuple[float, float]]:
    """Return the spans in which the monitoring host was itself off or cut off, each with the time to come back."""
    host = ledger.monitor
    return [(begin, end + BOOT_SECONDS) for begin, end in (*ledger.dark.get(host, ()), *ledger.cut.get(host, ()))]


def recovered(healed: float, recovery: Mapping[str, Any]) -> float:
    """Return the time by which every part was healthy again after the healing."""
    return healed + max((seconds for seconds in recovery.values() if seconds), default=0.0)


# The verdict


def heard(ledger: Ledger, wanted: Alerts) -> tuple[Heard, ...]:
    """Return the alerts that fired since the injection, and those that should have."""
    found = begun(ledger)
    told = [as_heard(ledger, one, due_of(one, wanted)) for one in found]
    fired = {one.alert.name for one in found} | (standing(ledger) & wanted.lingering)
    judged = ledger.monitor and not excused(ledger)
    absent = [due for due in wanted.must if fired.isdisjoint(due.names)] if judged else []
    return (*told, *(Heard(str(due), "", due=due.seconds) for due in absent))


def due_of(one: Firing, wanted: Alerts) -> float | None:
    """Return the seconds by which an alert had to fire, None if it did not have to."""
    return next((due.seconds for due in wanted.must if one.alert.name in due.names), None)


def as_heard(ledger: Ledger, one: Firing, due: float | None) -> Heard:
    """Return an alert's times as seconds after the injection and after the recovery."""
    alert = one.alert
    fired = one.begin - ledger.injected
    settled = None if one.end is None else one.end - recovered(ledger.healed, ledger.recovery)
    return Heard(alert.name, alert.severity, alert.host, quiet=alert.quiet, fired=fired, settled=settled, due=due)


def breaches(ledger: Ledger, wanted: Alerts) -> Iterator[Breach]:
    """Yield the alerts that did not fire or resolve in time, and those that should not have fired."""
    if not ledger.monitor:
        return
    yield from unseen(ledger)
    found = heard(ledger, wanted)
    if not excused(ledger):
        yield from missed(ledger, wanted, found)
    for one in found:
        if one.fired is not None and tells(one):
            yield from unexpected(ledger, wanted, one)
            yield from lasted(ledger, wanted, one) if one.name not in wanted.lingering else ()


def missed(ledger: Ledger, wanted: Alerts, found: tuple[Heard, ...]) -> Iterator[Breach]:
    """Yield the alerts that fired too late, or not at all."""
    for due in wanted.must:
        fired = min((one.fired for one in found if one.name in due.names and one.fired is not None), default=None)
        before = standing(ledger).intersection(due.names)
        if before & wanted.lingering:
            continue
        if fired is None and before:
            yield Breach("alert_missing", f"{due} fired already before the injection")
        elif fired is None:
            yield Breach("alert_missing", f"{due} did not fire in {due.seconds:.0f} s after the injection")
        elif fired > due.seconds:
            text = f"{due} fired {fired:.1f} s after the injection, the limit is {due.seconds:.0f} s"
            yield Breach("alert_missing", text)


def unexpected(ledger: Ledger, wanted: Alerts, one: Heard) -> Iterator[Breach]:
    """Yield an alert that the fault must not raise."""
    at = ledger.injected + (one.fired or 0.0)
    known = wanted.names | standing(ledger)
    if one.name not in known and not any(begin <= at <= end for begin, end in excused(ledger)):
        yield Breach("alert_unexpected", f"{one} fired {one.fired:.1f} s after the injection")


def lasted(ledger: Ledger, wanted: Alerts, one: Heard) -> Iterator[Breach]:
    """Yield an alert that fired on for too long after the recovery."""
    if one.settled is not None and one.settled > wanted.settled:
        text = f"{one} ended {one.settled:.1f} s after the recovery, the limit is {wanted.settled:.0f} s"
        yield Breach("alert_unresolved", text)
    elif one.settled is None:
        seconds = ledger.ended - recovered(ledger.healed, ledger.recovery)
        text = f"{one} still fires {seconds:.1f} s after the recovery"
        yield Breach("alert_unresolved", text)


def unseen(ledger: Ledger) -> Iterator[Breach]:
    """Yield a silence of Alertmanager that the fault does not explain."""
    answered = [sample.at for sample in ledger.alerts if sample.alerts is not None]
    spans = [(begin, end) for begin, end in pairwise(answered) if end - begin <= UNSEEN_SECONDS]
    for begin, end in uncovered([*spans, *excused(ledger)], ledger.begun, ledger.ended):
        if end - begin > UNSEEN_SECONDS:
            text = f"Alertmanager on {ledger.monitor} did not answer for {end - begin:.1f} s"
            yield Breach("alerts_unseen", text)


def tells(alert: Alert) -> bool:
    """Return whether an alert tells anybody: those of severity info are for other rules and tell nobody."""
    return alert.severity != INFO and not alert.quiet


def calls(alert: Alert) -> bool:
    """Return whether an alert calls somebody: it pages, and is neither silenced nor inhibited."""
    return alert.severity == PAGE and not alert.quiet


def pages(ledger: Ledger) -> list[Firing]:
    """Return the alerts that began to call somebody."""
    return begun(ledger, calls)
