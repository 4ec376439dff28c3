# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""python -m scripts.model: check the models; with LEDGER [off|on|quorum]: replay a drill's ledger."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import ledger_file

from scripts.model.cases import HOLD, LIMITS, MUTATIONS, Model, check
from scripts.model.commit import Mode
from scripts.model.lease import SECOND
from scripts.model.replay import replay


def shown(name: str, model: Model, *, holds: bool) -> Iterator[str]:
    """Yield what came of a model; raise SystemExit if it is not what is expected."""
    begun = time.monotonic()
    result = check(model)
    found = "holds" if result.holds else result.broken
    yield f"{name}: {found} ({result.states} states, depth {result.depth}, {time.monotonic() - begun:.1f} s)"
    yield from told([label for label, _state in result.trace])
    if result.holds != holds:
        raise SystemExit(f"{name}: expected to {'hold' if holds else 'fail'}")


def told(steps: Sequence[str]) -> Iterator[str]:
    """Yield the steps of a counterexample, with the seconds in which they happen where the model has time."""
    if SECOND not in steps:
        yield from (f"  {number:2} {step}" for number, step in enumerate(steps, start=1))
        return
    second, happened = 0, list[str]()
    for step in (*steps, SECOND):
        if step != SECOND:
            happened.append(step)
            continue
        yield f"  {second:2} s: {'; '.join(happened)}"
        second, happened = second + 1, []


def models() -> Iterator[str]:
    """Yield the results of all models."""
    yield "The models hold:"
    for name, model in HOLD.items():
        yield from shown(name, model, holds=True)
    yield "\nWithout one of the rules they fail:"
    for name, model in MUTATIONS.items():
        yield from shown(name, model, holds=False)
    yield "\nKnown limits:"
    for name, model in LIMITS.items():
        yield from shown(name, model, holds=False)


def replayed(path: str, mode: str = Mode.QUORUM) -> int:
    """Replay a ledger, print its records, and return 0 if the model allows them in their order."""
    result = replay(ledger_file.read(Path(path)), Mode(mode))
    for number, record in enumerate(result.records):
        sign = "refused" if number == result.followed else "ok" if number < result.followed else ""
        print(f"{record.at - result.records[0].at:9.3f} s  {sign:8}{record}")
    return 1 if result.refused else 0


def main(arguments: list[str]) -> int:
    """Check the models, or replay a ledger."""
    if arguments:
        return replayed(*arguments)
    for line in models():
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
