# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts are in maintenance, by the marks on all hosts, and what a run of maintenance.yml does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.maintenance import DIRECTORY, Mark
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import COMPONENTS, MONITORS

STAYS = frozenset({"etcd", "lease_watcher", "backup", *MONITORS})
"""The components that run on while their host is up. Their loss costs a quorum, the backups or the metrics."""
LAST = "haproxy"
"""The component that stops last: without its HAProxy, nobody can drain the host again after an interrupted run."""
LONGEST_REASON = 200
MAINTAINED = "holdfast_maintenance"
"""The group of the hosts that the plays of a run leave out, once one of them has found them."""
RUN = "playbooks/maintenance.yml -e maintenance_"
Marks = Sequence[Mapping[str, Any]]


class RefusedError(Exception):
    """The run is refused; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A host with a mark. told: the hosts that have it; silent: those that answer and lack it."""

    mark: Mark
    told: tuple[str, ...]
    silent: tuple[str, ...] = ()

    @property
    def host(self) -> str:
        """The host's name."""
        return self.mark.host

    @property
    def agreed(self) -> bool:
        """Whether the host is in maintenance: a majority of those that answer says so."""
        return len(self.told) > len(self.silent)

    @property
    def left_out(self) -> bool:
        """Whether nothing can be started there: its own mark forbids it, or it is in maintenance."""
        return self.agreed or self.host in self.told

    @property
    def text(self) -> str:
        """How long, by whom and why, in words."""
        since = f" since {self.mark.since}" if self.mark.since else ""
        by = f" by {self.mark.by}" if self.mark.by else ""
        return f"in maintenance{since}{by}{f': {self.mark.reason}' if self.mark.reason else ''}"

    @property
    def back(self) -> str:
        """How it comes back."""
        return f"back: {RUN}back={self.host}"

    @property
    def divided(self) -> str:
        """Who says that it is in maintenance, and who doesn't."""
        return f"is half in maintenance: {', '.join(self.told)} say so, {', '.join(self.silent)} don't"

    @property
    def end(self) -> str:
        """How a maintenance that only a minority tells of is begun or ended."""
        return f"run {RUN}out={self.host}, or {RUN}back={self.host}"

    @property
    def half(self) -> str:
        """Return both as one sentence."""
        return f"{self.host} {self.divided}. Fix: {self.end}"

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        mark = self.mark
        return {"host": mark.host, "since": mark.since, "reason": mark.reason, "by": mark.by, "agreed": self.agreed}


def observe(answers: Mapping[str, Marks | None], hosts: Collection[str]) -> tuple[Maintenance, ...]:
    """Return the marked hosts of a cluster, sorted by name.

    :arg answers: the marks on each of its hosts, None where it gave no answer.
    :arg hosts: the cluster's. The marks of others are of no meaning: they have left.
    """
    marks: dict[str, dict[str, Mark]] = {}
    for name, found in answers.items():
        for item in found or ():
            if item["host"] in hosts:
                marks.setdefault(item["host"], {})[name] = Mark(**item)
    heard = {name for name, found in answers.items() if found is not None}
    return tuple(
        Maintenance(commonest(list(told.values())), tuple(sorted(told)), tuple(sorted(heard - told.keys())))
        for _host, told in sorted(marks.items())
    )


def commonest(marks: Sequence[Mark]) -> Mark:
    """Return the mark that most hosts have; of equally common ones the oldest that tells since when."""
    counted = Counter(mark for mark in marks if mark.since) or Counter(marks)
    return min(counted, key=lambda mark: (-counted[mark], mark.since))


@dataclass(frozen=True, slots=True)
class Known:
    """A host of the inventory.

    marks: those on it, None when it gave no answer or failed to read them, see why.
    """

    ha: Mapping[str, Any]
    plays: bool = True
    marks: Marks | None = None
    why: str = ""
    failed: bool = False

    @property
    def cluster(self) -> str:
        """The name of its cluster."""
        return str(self.ha["cluster"])


def known_host(variables: Mapping[str, Any], register: str, *, plays: bool = True) -> Known:
    """Return a host from its variables; register is the one of the result that has its marks."""
    seen = variables.get(register) or {}
    why = str(seen.get("msg") or "no answer").strip().splitlines()[-1].removeprefix("Task failed: ")
    failed = bool(seen.get("failed")) and not seen.get("unreachable")
    return Known(variables["ha"], plays, seen.get("marks"), why, failed)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the run was asked for; now: the time in words, by: who asks."""

    out: str
    back: str
    reason: str
    now: str
    by: str

    @property
    def host(self) -> str:
        """The host it is about."""
        return self.out or self.back

    @property
    def option(self) -> str:
        """The option that names it."""
        return "maintenance_out" if self.out else "maintenance_back"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    reachable: whether the host itself answers. marked: whether any host has its mark. agreed: whether it is in
    maintenance already. mark: its mark, as it should be on all hosts. others: further hosts in maintenance; silent:
    hosts that give no answer. units: those that stop, in this order; they start in the reverse one.
    """

    wish: Wish
    cluster: str
    reachable: bool
    marked: bool
    agreed: bool
    mark: Mark
    others: tuple[str, ...]
    silent: tuple[str, ...]
    units: tuple[str, ...]

    @property
    def shown(self) -> Maintenance:
        """The host as it is in maintenance."""
        return Maintenance(self.mark, ())

    def as_data(self) -> dict[str, Any]:
        """Return it as plain data."""
        out = bool(self.wish.out)
        stops = [{"name": unit, "state": "stopped"} for unit in self.units]
        starts = [{"name": unit, "state": "started"} for unit in reversed(self.units)]
        drop_ins = [self.mark.drop_in(unit) for unit in sorted(self.units)]
        return {
            "host": self.wish.host,
            "cluster": self.cluster,
            "direction": "out" if out else "back",
            "reachable": self.reachable,
            "marked": self.marked,
            "in_maintenance": self.agreed,
            "others": list(self.others),
            "silent": list(self.silent),
            "text": f"{self.shown.text}; {self.shown.back}" if out else "in service again",
            "directories": [{"path": DIRECTORY}] if out else [],
            "purge": [{"pattern": f"{DIRECTORY}/*", "keep": [f"{DIRECTORY}/{name}" for name in self.others]}],
            "marks": [{"path": self.mark.path, "content": self.mark.content}] if out else [],
            "no_marks": [] if out else [self.mark.path],
            "drop_ins": drop_ins if out else [],
            "no_drop_ins": [] if out else [item["path"] for item in drop_ins],
            "units": stops if out else starts,
        }


def plan(wish: Wish, known: Mapping[str, Known]) -> Plan:
    """Return what to do.

    :arg known: all hosts of the inventory's clusters.
    :raises RefusedError: with every reason against it.
    """
    seen = maintained(known)
    problems = [*judge_wish(wish), *judge_host(wish, known)] if wish.host else [NOTHING_ASKED]
    problems = problems or list(judge_others(wish, known, seen))
    if problems:
        raise RefusedError("; ".join(problems))
    cluster = known[wish.host].cluster
    own = next((item for item in seen if item.host == wish.host), None)
    mark = replace(own.mark if own and own.mark.since else Mark(wish.host, wish.now, "", wish.by))
    return Plan(
        wish=wish,
        cluster=cluster,
        reachable=known[wish.host].marks is not None,
        marked=own is not None,
        agreed=own is not None and own.agreed,
        mark=replace(mark, reason=" ".join(wish.reason.split()) or mark.reason),
        others=tuple(item.host for item in seen if item.left_out and item.host != wish.host),
        silent=tuple(sorted(name for name, host in known.items() if host.marks is None)),
        units=tuple(units_of(known[wish.host].ha["components"])),
    )


def maintained(known: Mapping[str, Known]) -> tuple[Maintenance, ...]:
    """Return the marked hosts of all clusters."""
    clusters: dict[str, dict[str, Known]] = {}
    for name, host in known.items():
        clusters.setdefault(host.cluster, {})[name] = host
    return tuple(
        item
        for _cluster, hosts in sorted(clusters.items())
        for item in observe({name: host.marks for name, host in hosts.items()}, hosts.keys())
    )


def left_out(known: Mapping[str, Known]) -> dict[str, Maintenance]:
    """Return the hosts on which nothing can be started, by name."""
    return {item.host: item for item in maintained(known) if item.left_out}


START_IT = "Fix: start it, or take it out first with -e maintenance_out="
NOTHING_ASKED = (
    "maintenance_out: is missing. Fix: add -e maintenance_out=HOST to take a host out, or -e maintenance_back=HOST"
)


def judge_wish(wish: Wish) -> Iterator[str]:
    """Yield what is wrong with the options themselves."""
    if wish.out and wish.back:
        text = f"maintenance_out = '{wish.out}' and maintenance_back = '{wish.back}': a run does one of both"
        yield f"{text}. Fix: leave one out"
    if wish.back and wish.reason:
        yield f"maintenance_reason = '{wish.reason}': belongs to maintenance_out. Fix: leave it out"
    if len(wish.reason) > LONGEST_REASON:
        yield f"maintenance_reason: has {len(wish.reason)} characters. Fix: use at most {LONGEST_REASON}"
    if any(not (letter.isprintable() or letter.isspace()) for letter in wish.reason):
        yield "maintenance_reason: has characters that can't be shown. Fix: leave them out"


def judge_host(wish: Wish, known: Mapping[str, Known]) -> Iterator[str]:
    """Yield why the host can't be the one."""
    head = f"{wish.option} = '{wish.host}'"
    host = known.get(wish.host)
    playing = sorted(name for name, one in known.items() if one.plays)
    if host is None:
        near = get_close_matches(wish.host, playing, 1) or playing
        yield f"{head}: is no host of a cluster. Fix: give one of {', '.join(near)}"
    elif not any(one.plays for one in known.values() if one.cluster == host.cluster):
        text = f"{head}: is a host of the cluster {host.cluster}, which takes no part in this run"
        yield f"{text}. Fix: give --limit all hosts of that cluster, or leave it out"
    elif missing := sorted(name for name, one in known.items() if one.cluster == host.cluster and not one.plays):
        yield f"--limit leaves out {', '.join(missing)} of the cluster {host.cluster}. Fix: run without --limit"
    elif wish.back and host.marks is None:
        yield f"{head}: it can't be reached: {host.why}. Fix: start it first, or mend its network or SSH"
    elif (others := [name for name, one in known.items() if one.cluster == host.cluster]) and not any(
        known[name].marks is not None for name in others
    ):
        yield f"{head}: no host of the cluster {host.cluster} can be reached. Fix: mend the network or SSH"


def judge_others(wish: Wish, known: Mapping[str, Known], seen: Sequence[Maintenance]) -> Iterator[str]:
    """Yield why a host can't leave its cluster, by what the others are; who is off already, has left."""
    host = known[wish.host]
    fellows = {name: one for name, one in known.items() if one.cluster == host.cluster}
    yield from (
        f"{name}: its marks can't be read: {one.why}. Fix: mend this" for name, one in fellows.items() if one.failed
    )
    if not wish.out or host.marks is None:
        return
    yield from (item.half for item in seen if item.host in fellows and item.host != wish.host and not item.agreed)
    excused = {item.host for item in seen}
    for name, one in sorted(fellows.items()):
        if one.marks is None and not one.failed and name not in excused:
            yield f"{name}: can't be reached: {one.why}. {START_IT}{name}"


def units_of(components: Collection[str]) -> Iterator[str]:
    """Yield the units that stop on a host, in the order in which they do."""
    for component in sorted(COMPONENTS, key=lambda one: one.name == LAST):
        if component.name in components and component.name not in STAYS:
            yield component.units[0]
