# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Draw ladders of several profiles as a self-contained picture: scripts/ladder_picture.py PICTURE LADDER...

LADDER is the ladder.json of an exploration's directory, PICTURE the SVG to write.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "collections"))

from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.ladder import FORMAT, HARMS, PLACES
from ansible_collections.holdfast.ha.plugins.plugin_utils.pages.template import palette

PROFILES = ("conservative", "balanced", "fast")
COLOURS: Mapping[str, str] = {"conservative": "vip", "balanced": "write", "fast": "error"}
DASHES: Mapping[str, str] = {"conservative": "6 3", "balanced": "", "fast": "2 2"}
APART: Mapping[str, float] = {"conservative": -2.0, "balanced": 0.0, "fast": 2.0}
"""Pixels between lines, since equal ones would hide each other."""
LOSS = "primary_power_loss"
LEFT, TOP, PANEL, TALL, GAP = 138, 62, 176, 84, 26
LINE, MARGIN = 14, 10
TEXT = "font-family: var(--face); fill: var(--ink); font-size: 9.5px;"
MUTED = "fill: var(--muted)"
LONGEST = 5.0
Ladder = Mapping[str, Any]


def main(target: Path, sources: Sequence[Path]) -> None:
    """Draw the picture."""
    ladders = sorted(map(read, sources), key=order)
    if not ladders:
        sys.exit("no ladder given; run make ladder first")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(picture(ladders), encoding="utf-8")


def read(path: Path) -> Ladder:
    """Return a ladder; exits where the file is none."""
    found: Ladder = json.loads(path.read_text(encoding="utf-8"))
    if found.get("format") != FORMAT:
        sys.exit(f"{path}: its format is {found.get('format')!r}, not {FORMAT!r}")
    return found


def order(ladder: Ladder) -> tuple[int, str]:
    """Return the place of a profile in the legend."""
    name = str(ladder["profile"])
    return (PROFILES.index(name) if name in PROFILES else len(PROFILES)), name


def picture(ladders: Sequence[Ladder]) -> str:
    """Return the SVG document."""
    harms = list(HARMS.values())
    width = LEFT + len(harms) * (PANEL + GAP)
    bottom = TOP + len(PLACES) * (TALL + GAP) + MARGIN
    total = bottom + LINE * len(ladders) + 2 * MARGIN
    title = "How long a fault may last before the cluster fails over"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" role="img">',
        f"<title>{title}</title>",
        f"<style>{colours()} text {{ {TEXT} }}</style>",
        f'<rect width="{width}" height="{total}" style="fill: var(--paper)"/>',
        f'<text x="{MARGIN}" y="20" style="font-size: 13px; font-weight: 600">{title}</text>',
        f'<text x="{MARGIN}" y="36">The share of trials with a failover, by the length of the fault in seconds</text>',
        *(
            f'<text x="{LEFT + at * (PANEL + GAP)}" y="{TOP - 8}" style="font-weight: 600">{harm}</text>'
            for at, harm in enumerate(harms)
        ),
    ]
    for row, place in enumerate(PLACES):
        top = TOP + row * (TALL + GAP)
        lines.append(f'<text x="{MARGIN}" y="{top + TALL / 2:g}" style="font-weight: 600">{escape(place)}</text>')
        for column, harm in enumerate(harms):
            lines += panel(ladders, harm, place, LEFT + column * (PANEL + GAP), top)
    lines += [line for at, ladder in enumerate(ladders) for line in entry(ladder, bottom + MARGIN + LINE * at)]
    return "\n".join([*lines, "</svg>"]) + "\n"


def panel(ladders: Sequence[Ladder], harm: str, place: str, left: float, top: float) -> Iterator[str]:
    """Yield one panel: its axes, and a line per profile."""
    for share in (0, 50, 100):
        y = top + TALL * (1 - share / 100)
        yield f'<path d="M{left:g} {y:g}h{PANEL}" style="stroke: var(--grid)"/>'
        if left == LEFT:
            yield f'<text x="{left - 4:g}" y="{y + 3:g}" text-anchor="end" style="{MUTED}">{share} %</text>'
    for seconds in range(int(LONGEST) + 1):
        x = left + PANEL * seconds / LONGEST
        yield f'<text x="{x:g}" y="{top + TALL + 13:g}" text-anchor="middle" style="{MUTED}">{seconds}</text>'
    drawn = [line for ladder in ladders for line in curve(ladder, harm, place, left, top)]
    missing = f'<text x="{left + 8:g}" y="{top + TALL / 2 - 6:g}" style="fill: var(--muted)">not measured</text>'
    yield from drawn or [missing]


def curve(ladder: Ladder, harm: str, place: str, left: float, top: float) -> Iterator[str]:
    """Yield the line and the points of a profile, nothing where it has no trials."""
    rungs = [rung for rung in ladder["rungs"] if (rung["harm"], rung["place"]) == (harm, place)]
    if not rungs:
        return
    profile = str(ladder["profile"])
    points = [
        (
            left + PANEL * rung["seconds"] / LONGEST,
            top + TALL * (1 - rung["failovers"] / rung["trials"]) + APART.get(profile, 0.0),
        )
        for rung in rungs
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{path}" style="{stroke(profile)}"/>'
    for (x, y), rung in zip(points, rungs, strict=True):
        note = f"{profile}, {rung['seconds']:g} s: {rung['failovers']} of {rung['trials']} failed over"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" style="fill: {colour(profile)}"><title>{note}</title></circle>'


def entry(ladder: Ladder, y: float) -> Iterator[str]:
    """Yield an entry of the legend: the profile's line, and the time without writes that it buys."""
    profile = str(ladder["profile"])
    loss = ladder["prediction"]["faults"].get(LOSS)
    bought = f"{loss['median']:.1f} s ({loss['best']:.1f} to {loss['worst']:.1f} s)" if loss else "unknown"
    trials = sum(rung["trials"] for rung in ladder["rungs"])
    text = f"{profile}: {bought} without writes when the primary loses power, as predicted; {trials} trials"
    yield f'<path d="M{MARGIN} {y:g}h24" style="{stroke(profile)}"/>'
    yield f'<text x="{MARGIN + 30}" y="{y + 3:g}">{escape(text)}</text>'


def stroke(profile: str) -> str:
    """Return the style of a profile's line."""
    return (
        f"fill: none; stroke: {colour(profile)}; stroke-width: 1.6; stroke-dasharray: {DASHES.get(profile) or 'none'}"
    )


def colours() -> str:
    """Return the report's colours, light and dark."""
    return re.sub(r"\s+", " ", palette())


def colour(profile: str) -> str:
    """Return a profile's colour."""
    return f"var(--{COLOURS.get(profile, 'muted')})"


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(source) for source in sys.argv[2:]])
