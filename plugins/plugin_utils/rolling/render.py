# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan, and what a run has done, as text for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.model import (
    ClusterPlan,
    Left,
    Plan,
    Step,
    Waits,
    Work,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.model import Prediction
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.render import GREEN, RED, YELLOW, Line, Row, sentence
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table

NOTHING = {
    "update": "Nothing to update{where}: no newer package is known, and no service runs outdated files.",
    "restart": "Nothing to restart{where}: no service runs outdated files.",
    "reboot": "Nothing to reboot{where}: no host requires it, or all have been up for less than reboot_recent.",
    "certificates": "Nothing to do{where}: all certificates are as they should be, and all services have read them.",
    "maintenance": "Nothing to lead away{where}: what stops in maintenance does not run.",
}
DONE = {
    "update": "updated",
    "restart": "restarted",
    "reboot": "rebooted",
    "maintenance": "taken out",
    "certificates": "done",
}
MOST_PACKAGES = 20
"""Packages of one host that the text names; the result names all."""


def plan_lines(plan: Plan) -> list[Line]:
    """Return the lines of a plan, each with its color or None."""
    if not plan.refused and not plan.steps:
        where = f" on {', '.join(plan.options.only)}" if plan.options.only else ""
        return [(NOTHING[plan.options.verb].format(where=where), GREEN), *left_lines(plan.left)]
    lines: list[Line] = []
    for cluster in plan.clusters:
        lines += [*([("", None)] if lines else []), *cluster_lines(plan, cluster)]
    return [*lines, *left_lines(plan.left), *refusal_lines(plan)]


def cluster_lines(plan: Plan, cluster: ClusterPlan) -> Iterator[Line]:
    """Yield the lines of one cluster: its steps in order, the predicted waits, the notes."""
    verb = plan.options.verb
    if not cluster.steps:
        yield f"Cluster {cluster.name}: nothing to {'do' if verb == 'certificates' else verb}", None
    else:
        scope = f" ({plan.options.scope})" if verb == "update" else ""
        yield (
            f"Cluster {cluster.name}: {verb}{scope}, {len(cluster.steps)} of {len(cluster.hosts)} hosts in this order",
            None,
        )
        rows = [row for number, step in enumerate(cluster.steps, 1) for row in step_rows(number, step)]
        yield from ((line, None) for line in table(rows).splitlines())
        yield from ((f"  {text}", None) for text in wait_texts(cluster.waits, cluster.steps))
    yield from ((f"  Note: {note}", YELLOW) for note in cluster.notes)


def step_rows(number: int, step: Step) -> Iterator[Row]:
    """Yield the rows of a step; the first one has its number and its host."""
    facts = [*first_facts(step), *work_facts(step)]
    for at, fact in enumerate(facts):
        yield [*(["", ""] if at else [f"{number}.", step.host]), *fact]


def first_facts(step: Step) -> Iterator[Row]:
    """Yield what precedes a step's work."""
    if step.out:
        yield ["is out", f"an interrupted run left it so: {'; '.join(step.out)}"]
    if step.backup_running:
        yield ["waits", "until the backup, or another job there, has ended"]
    if step.primary_to:
        yield ["primary", f"goes to {either(step.primary_to)} before"]
    elif step.primary and "postgresql" in step.work.touches:
        yield ["primary", "stops meanwhile, nobody can take over"]
    if step.etcd_leader_to:
        yield ["etcd leader", f"goes to {either(step.etcd_leader_to)} before"]
    for address, names in step.holds_to.items():
        goes = f"goes to {names[0]} before" if names else "is gone meanwhile"
        yield ["virtual IP", f"{address.split('/', maxsplit=1)[0]} {goes}"]


def work_facts(step: Step) -> Iterator[Row]:
    """Yield a step's work."""
    packages = step.work.packages
    for package in packages[:MOST_PACKAGES]:
        yield ["upgrades", f"{package.name} {package.installed or 'new'} → {package.candidate}"]
    if len(packages) > MOST_PACKAGES:
        yield ["", f"and {len(packages) - MOST_PACKAGES} more packages"]
    yield from certificate_facts(step.work)
    if step.work.restart:
        others = " and what else uses the new packages" if unsure(step) else ""
        yield ["restarts", ", ".join(unit.name for unit in step.work.restart) + others]
    elif packages:
        yield ["restarts", "what uses the new packages"]
    for reason in step.work.reasons:
        yield ["because", reason]
    if step.work.reboot:
        yield ["reboots", ""]
    if step.work.stop:
        yield ["stops", ", ".join(unit.name for unit in step.work.stop)]
    elif step.work.leaves:
        yield ["stops", "nothing; it may be switched off afterwards"]
    if not step.work:
        yield ["comes back", "nothing else is left to do there"]


def certificate_facts(work: Work) -> Iterator[Row]:
    """Yield the files that are replaced, and the units that read them without a stop."""
    if work.files:
        yield ["replaces", ", ".join(PurePosixPath(path).name for path in work.files)]
    if work.reload:
        yield ["reloads", ", ".join(unit.name for unit in work.reload)]


def unsure(step: Step) -> bool:
    """Say whether more than the named units may use a step's packages."""
    return bool(step.work.touches - {unit.component for unit in step.work.restart})


def either(names: Sequence[str]) -> str:
    """Return names as alternatives."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def wait_texts(waits: Waits, steps: Sequence[Step]) -> Iterator[str]:
    """Yield the predicted waits of the moves that the steps have."""
    moves = [step for step in steps if step.primary_to], [step for step in steps if any(step.holds_to.values())]
    if moves[0] and waits.switchover:
        held = "; PgBouncer holds its clients meanwhile" if waits.held else ""
        yield f"Predicted without writes for the switchover: {range_of(waits.switchover)}{held}"
    if moves[1] and waits.address:
        yield f"Predicted for each move of a virtual IP: {range_of(waits.address)}; new connections wait"
    if waits.unknown and ((moves[0] and not waits.switchover) or (moves[1] and not waits.address)):
        yield f"Predicted waits: unknown, {waits.unknown}"


def range_of(prediction: Prediction) -> str:
    """Return a prediction in short."""
    return f"{prediction.best:.1f} to {prediction.worst:.1f} s, median {prediction.median:.1f} s"


def left_lines(left: Sequence[Left]) -> Iterator[Line]:
    """Yield what a run leaves to do; hosts that share a text share a line."""
    texts: dict[str, list[str]] = {}
    for item in left:
        texts.setdefault(item.text, []).append(item.host)
    for number, (text, hosts) in enumerate(texts.items()):
        yield from [] if number else [("", None), ("Left to do:", YELLOW)]
        yield f"  - {', '.join(hosts)}: {text}", YELLOW


def refusal_lines(plan: Plan) -> Iterator[Line]:
    """Yield the refusals."""
    for number, problem in enumerate(plan.refused, 1):
        yield from [] if number > 1 else [("", None), ("Refused before anything was touched:", RED)]
        yield f"  {number}. {sentence(problem)}", RED


def summary_lines(
    verb: str,
    steps: Sequence[Mapping[str, Any]],
    done: Sequence[Mapping[str, Any]],
    left: Sequence[Left],
    waits: Sequence[Mapping[str, Any]] = (),
) -> Iterator[Line]:
    """Yield what a run has done, where it stopped, what it left, and how long clients waited.

    :arg steps: {host} of each step of the plan; the run stopped at the first that is not done.
    :arg done: {host, upgraded: [{name, from, to}], restarted: [unit], rebooted, seconds} of each host, in order.
    :arg waits: {clients, seconds, failed} of each kind of clients; failed transactions.
    """
    failed = next(iter(undone(steps, done)), None)
    yield (
        f"{DONE[verb].capitalize()}: {count_hosts(done)}" if done else f"No host was {DONE[verb]}",
        RED if failed else GREEN,
    )
    rows = [[str(number), item["host"], *done_cells(item)] for number, item in enumerate(done, 1)]
    yield from ((line, None) for line in table(rows).splitlines() if rows)
    for item in waits:
        seconds, lost = float(item["seconds"]), int(item.get("failed") or 0)
        text = f"  {item['clients']} clients: longest wait {seconds:.2f} s, {lost} failed transactions"
        yield text, RED if lost else None
    if failed:
        yield f"  Stopped at {failed}: its work failed, see above. The others serve.", RED
        yield "  The rest was not touched. playbooks/status.yml shows the state. Mend it and run the same again.", RED
    yield from left_lines(left)


def count_hosts(done: Sequence[Mapping[str, Any]]) -> str:
    """Return how many hosts were worked on, and the time that took."""
    seconds = sum(float(item.get("seconds") or 0) for item in done)
    return f"{len(done)} host{'' if len(done) == 1 else 's'}{f' in {seconds:.0f} s' if seconds else ''}"


def done_cells(item: Mapping[str, Any]) -> Row:
    """Return the cells of a host that was worked on."""
    packages, units = item.get("upgraded") or (), item.get("restarted") or ()
    reloaded = item.get("reloaded") or ()
    parts = [
        f"{len(packages)} package{'' if len(packages) == 1 else 's'} upgraded" if packages else "",
        f"reloaded {', '.join(reloaded)}" if reloaded else "",
        f"restarted {', '.join(units)}" if units else "",
        "rebooted" if item.get("rebooted") else "",
    ]
    seconds = item.get("seconds")
    return ["; ".join(filter(None, parts)) or "nothing", f"{float(seconds):.1f} s" if seconds is not None else ""]


def not_done(steps: Sequence[Mapping[str, Any]], done: Sequence[Mapping[str, Any]]) -> list[Left]:
    """Return the hosts whose turn did not come, or did not end, as what is left to do."""
    return [Left(host, "its turn did not come, or was not over") for host in undone(steps, done)]


def undone(steps: Sequence[Mapping[str, Any]], done: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the hosts of steps that are not done."""
    hosts = {item["host"] for item in done}
    return [step["host"] for step in steps if step["host"] not in hosts]
