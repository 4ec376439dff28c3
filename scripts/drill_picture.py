# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw the timeline of one injection as a self-contained picture: scripts/drill_picture.py LEDGER PICTURE.

LEDGER is a .ledger.json.gz of a drill's report folder, PICTURE the SVG to write.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "collections"))

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import CATALOGUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.timeline import LEGEND, timeline
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict import ledger_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.analysis import judge
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Budget, Ledger, Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.words import counted
from ansible_collections.holdfast.ha.plugins.plugin_utils.pages.template import palette

BEFORE, AFTER = 3.0, 3.0
"""Seconds shown before the injection, and after the last event."""
TOP, LINE, SWATCH, COLUMNS, MARGIN = 56, 14, 16, 2, 10
STROKES = {"writing": 2, "error": 8}
"""Heights of the picture's parts other than bars."""


def main(source: Path, target: Path) -> None:
    """Draw the picture."""
    ledger = shortened(ledger_file.read(source))
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(picture(ledger, judge(ledger, Budget(writes=None))), encoding="utf-8")


def shortened(ledger: Ledger) -> Ledger:
    """Return a ledger without the records after the last event."""
    last = max(event.at for event in ledger.events)
    return replace(ledger, begun=max(ledger.begun, ledger.injected - BEFORE), ended=min(ledger.ended, last + AFTER))


def picture(ledger: Ledger, verdict: Verdict) -> str:
    """Return the SVG document."""
    drawn = timeline(ledger, verdict, Budget(writes=None), "drill")
    width, height = (float(number) for number in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)[0])
    legend = [(kind, text) for kind, text in LEGEND if f"var(--{kind})" in drawn]
    total = TOP + height + LINE * (-(-len(legend) // COLUMNS)) + 2 * MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {total:g}" role="img">',
        f"<title>{escape(headline(ledger))}</title>",
        f"<style>{colours()} text {{ font-family: var(--face); fill: var(--ink); }}</style>",
        f'<rect width="{width:g}" height="{total:g}" style="fill: var(--paper)"/>',
        f'<text x="{MARGIN}" y="20" style="font-size: 13px; font-weight: 600">{escape(headline(ledger))}</text>',
        *(
            f'<text x="{MARGIN}" y="{36 + 13 * at}" style="font-size: 9.5px">{escape(text)}</text>'
            for at, text in enumerate(outcome(ledger, verdict))
        ),
        drawn.replace("<svg ", f'<svg y="{TOP}" width="{width:g}" height="{height:g}" ', 1),
        *(entry(at, kind, text, width, TOP + height + MARGIN) for at, (kind, text) in enumerate(legend)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def headline(ledger: Ledger) -> str:
    """Return the title: the fault and its target."""
    title = CATALOGUE[ledger.fault].title
    hit = next(event.subject for event in ledger.events if event.kind == "injected")
    return f"A drill: {title} ({hit}, at 0 s)"


def outcome(ledger: Ledger, verdict: Verdict) -> tuple[str, str]:
    """Return the caption: the clients' work and the fault's cost."""
    members, balancers = len(ledger.expected_members), counted(len(ledger.expected_balancers), "balancer")
    lost = f"{len(verdict.lost)} of {verdict.acknowledged:,} acknowledged rows were lost"
    return (
        f"Clients write and read through the virtual IP (VIP) of {balancers} to {members} PostgreSQL members.",
        f"For {verdict.rto:.1f} s no write was acknowledged; {lost}.",
    )


def entry(at: int, kind: str, text: str, width: float, top: float) -> str:
    """Return an entry of the legend: a swatch and its meaning."""
    x = MARGIN + (at % COLUMNS) * (width - MARGIN) / COLUMNS
    y = top + LINE * (at // COLUMNS)
    tall = STROKES.get(kind, 8)
    opacity = "; opacity: 0.45" if kind == "gap" else ""
    return (
        f'<rect x="{x:.1f}" y="{y + 4 - tall / 2:.1f}" width="{2 if kind == "error" else SWATCH}" height="{tall}" '
        f'style="fill: var(--{kind}){opacity}"/>'
        f'<text x="{x + SWATCH + 5:.1f}" y="{y + 7:.1f}" style="font-size: 8px">{escape(text)}</text>'
    )


def colours() -> str:
    """Return the report's colours, light and dark."""
    return re.sub(r"\s+", " ", palette())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
