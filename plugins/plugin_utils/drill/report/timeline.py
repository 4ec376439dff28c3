# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The timeline of one injection as SVG, whose colours are the page's CSS variables."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.report.lanes import Lane, Mark, Segment, lanes
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import Budget, Ledger, Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.rows import acknowledgements

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BIN, WIDE_BIN = 0.1, 1.0
LONG_RECORD = 600.0
"""Seconds beyond which a record is counted in wide bins."""
WIDTH = 9.0
LEFT, RIGHT, BOTTOM, SPACE = 1.35, 0.1, 0.42, 0.1
WRITES, READS, LANE = 1.35, 0.5, 0.19
"""The sizes of the picture, its margins and its parts, in inches."""
ROWS = (0.93, 0.8, 0.67)
"""Heights of texts above the bars, as fractions of the axis."""
GROUP_GAP = 0.5
SIZE = 8.0
CHARACTER = 0.063 / (WIDTH - LEFT - RIGHT)
"""The approximate width of a text, as a fraction of the time axis."""
COLOURS = {
    name: f"#0101{number:02x}"
    for number, name in enumerate(
        ("ink", "muted", "grid", "write", "read", "gap", "gap-ink", "budget", "primary", "on-primary", "standby",
         "on-standby", "unlocked", "on-unlocked", "silent", "on-silent", "off", "on-off", "vip", "on-vip", "unreached",
         "on-unreached", "pool", "on-pool", "writing", "paper", "error", "step", "on-step",
         "alert", "on-alert"),
        1,
    )
}  # fmt: skip
"""A unique colour for each CSS variable; matplotlib draws with it, the page replaces it."""


LEGEND = (
    ("write", "writes acknowledged through the VIP"),
    ("read", "reads served"),
    ("error", "read that failed"),
    ("gap", "longest time without an acknowledged write"),
    ("primary", "primary: Patroni answers the balancers as the leader"),
    ("standby", "standby"),
    ("unlocked", "not a standby, and Patroni is silent or not the leader"),
    ("silent", "no answer"),
    ("off", "powered off or frozen"),
    ("writing", "line at the bottom: acknowledges writes"),
    ("vip", "holds the VIP"),
    ("unreached", "holds the VIP, cut off from all other hosts"),
    ("pool", "servers up in HAProxy's pool"),
)
ALERT = ("alert", "an alert fires")
"""The meaning of each colour, by its name; the last one in monitored clusters."""


def timeline(ledger: Ledger, verdict: Verdict, budget: Budget, name: str, origin: str = "the injection") -> str:
    """Return the <svg> element of one injection; name makes its ids unique on the page, origin says what 0 is."""
    import matplotlib as mpl  # noqa: PLC0415 - takes a second and much memory; only pages need it

    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.size": SIZE,
        "axes.edgecolor": COLOURS["grid"],
        "axes.labelcolor": COLOURS["muted"],
        "text.color": COLOURS["ink"],
        "xtick.color": COLOURS["grid"],
        "ytick.color": COLOURS["grid"],
        "xtick.labelcolor": COLOURS["muted"],
        "ytick.labelcolor": COLOURS["muted"],
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):
        figure = draw(ledger, verdict, budget, origin)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    which = f", repetition {ledger.repetition}" if ledger.repetition else ""
    label = f"{ledger.fault}{which}: {verdict.rto:.2f} s without an acknowledged write"
    return inline(stream.getvalue(), name, label)


def draw(ledger: Ledger, verdict: Verdict, budget: Budget, origin: str) -> Figure:
    """Return the figure: writes, then reads, then lanes, one under the other, on one time axis."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    groups = lanes(ledger)
    heights = (WRITES, READS, LANE * (sum(map(len, groups)) + GROUP_GAP * len(groups)))
    figure = Figure(figsize=(WIDTH, sum(heights) + SPACE * 3 + BOTTOM))
    write_axes, read_axes, lane_axes = panels(figure, heights)
    lane_axes.set_xlim(max(ledger.begun - ledger.injected, -10.0), ledger.ended - ledger.injected)
    draw_rate(write_axes, ledger, acknowledgements(ledger.writes), "write", "writes acknowledged", room=1.4)
    draw_rate(read_axes, ledger, [read.ended for read in ledger.reads if read.ok], "read", "reads", room=1.1)
    draw_read_errors(read_axes, ledger)
    draw_lanes(lane_axes, groups, origin)
    for axes in (write_axes, read_axes, lane_axes):
        begin, end = (at - ledger.injected for at in verdict.write_gap)
        axes.axvspan(begin, end, color=COLOURS["gap"], linewidth=0, alpha=0.28, zorder=0)
        axes.axvline(0, color=COLOURS["ink"], linewidth=0.9, zorder=1)
    draw_gap_text(write_axes, ledger, verdict, budget)
    return figure


def panels(figure: Figure, heights: Sequence[float]) -> list[Axes]:
    """Return axes of these heights in inches, one under the other, that share the time axis."""
    width, total = figure.get_size_inches()
    top = total - SPACE
    made: list[Axes] = []
    for height in heights:
        bounds = (LEFT / width, (top - height) / total, (width - LEFT - RIGHT) / width, height / total)
        made.append(figure.add_axes(bounds, sharex=made[0] if made else None))
        top -= height + SPACE
    return made


def draw_rate(axes: Axes, ledger: Ledger, times: list[float], colour: str, label: str, *, room: float) -> None:
    """Draw the number of events in each 100 ms, or in each second of a long record."""
    begin, end = ledger.begun - ledger.injected, ledger.ended - ledger.injected
    width = BIN if end - begin <= LONG_RECORD else WIDE_BIN
    first = int(begin / width) - 1
    counts = [0] * (int(end / width) - first + 2)
    for at in times:
        number = int((at - ledger.injected) // width) - first
        if 0 <= number < len(counts):
            counts[number] += 1
    edges = [(first + number) * width for number in range(len(counts) + 1)]
    axes.stairs(counts, edges, fill=True, color=COLOURS[colour], linewidth=0)
    axes.set_ylim(0, max(1, *counts) * room)
    axes.set_ylabel(f"{label}\nper {'100 ms' if width == BIN else 's'}")
    axes.yaxis.set_label_coords(-0.36 / (WIDTH - LEFT - RIGHT), 0.5)
    axes.locator_params(axis="y", integer=True, nbins=3)
    axes.tick_params(axis="x", length=0, labelbottom=False)
    axes.grid(axis="y", color=COLOURS["grid"], linewidth=0.6)
    axes.set_axisbelow(True)


def draw_read_errors(axes: Axes, ledger: Ledger) -> None:
    """Mark failed reads at the bottom of the readers' plot."""
    failed = [read.ended - ledger.injected for read in ledger.reads if not read.ok]
    if failed:
        axes.plot(failed, [0] * len(failed), "|", color=COLOURS["error"], markersize=7, clip_on=False)


def draw_gap_text(axes: Axes, ledger: Ledger, verdict: Verdict, budget: Budget) -> None:
    """Label the gap with its length, and mark the ends of the budget and the prediction."""
    begin, end = (at - ledger.injected for at in verdict.write_gap)
    left, right = axes.get_xlim()
    top = axes.get_ylim()[1]
    limits = [("budget", budget.writes), ("predicted", budget.predicted)]
    inside = sorted(begin + seconds for _name, seconds in limits if seconds is not None and begin + seconds < end)
    edges = [begin, *inside, end]
    first, last = max(pairwise(edges), key=lambda part: part[1] - part[0])
    wide = last - first > 22 * CHARACTER * (right - left)
    shift = CHARACTER * (right - left)
    place: dict[str, Any] = {"x": end + shift, "ha": "left"}
    if wide:
        place = {"x": (first + last) / 2, "ha": "center"}
    elif end > right - 40 * CHARACTER * (right - left):
        place = {"x": begin - shift, "ha": "right"}
    separator = "\n" if wide else " "
    text = f"{verdict.rto:.2f} s without an{separator}acknowledged write"
    box = None if wide else {"facecolor": COLOURS["paper"], "edgecolor": "none", "pad": 1.5, "alpha": 0.85}
    height = 0.5 if wide else ROWS[0]
    axes.text(y=top * height, s=text, va="center", color=COLOURS["gap-ink"], fontweight="bold", bbox=box, **place)
    for number, (name, seconds) in enumerate(limits):
        if seconds is not None and begin + seconds < right:
            axes.axvline(begin + seconds, color=COLOURS["budget"], linewidth=1, linestyle=(0, (4, 3)))
            draw_limit(axes, begin + seconds, f"{name} {seconds:.1f} s", top * ROWS[number if wide else number + 1])


def draw_limit(axes: Axes, at: float, text: str, height: float) -> None:
    """Label a vertical line, on the side with room."""
    left, right = axes.get_xlim()
    room = at < right - 24 * CHARACTER * (right - left)
    box = {"facecolor": COLOURS["paper"], "edgecolor": "none", "pad": 1, "alpha": 0.85}
    shift = 0.6 * CHARACTER * (right - left)
    axes.text(
        at + shift if room else at - shift, height, text, ha="left" if room else "right", va="center",
        color=COLOURS["budget"], bbox=box,
    )  # fmt: skip


def draw_lanes(axes: Axes, groups: list[list[Lane]], origin: str) -> None:
    """Draw the groups of lanes from top to bottom."""
    ticks, titles, y = [], [], 0.0
    for group in groups:
        y += GROUP_GAP
        for lane in group:
            ticks.append(y + 0.5)
            titles.append(lane.title)
            for segment in lane.segments:
                draw_segment(axes, segment, y)
            for begin, end in lane.writing:
                axes.plot([begin, end], [y + 0.9] * 2, color=COLOURS["writing"], linewidth=1.6, solid_capstyle="butt")
            draw_marks(axes, lane.marks, y + 0.5)
            y += 1
    axes.set_ylim(y + 0.2, 0.2)
    axes.set_yticks(ticks, titles)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"seconds since {origin}")
    axes.grid(axis="x", color=COLOURS["grid"], linewidth=0.6)
    axes.set_axisbelow(True)


def draw_segment(axes: Axes, segment: Segment, y: float) -> None:
    """Draw a state as a bar, with its name where it fits."""
    left, right = axes.get_xlim()
    begin, end = max(segment.begin, left), min(segment.end, right)
    if end <= begin:
        return
    axes.broken_barh([(begin, end - begin)], (y + 0.08, 0.84), color=COLOURS[segment.kind], linewidth=0)
    if (end - begin) / (right - left) > 1.25 * CHARACTER * (len(segment.text) + 1):
        axes.text(
            begin + 0.6 * CHARACTER * (right - left), y + 0.46, segment.text, va="center", ha="left",
            color=COLOURS[f"on-{segment.kind}"], fontsize=SIZE - 1, clip_on=True, parse_math=False,
        )  # fmt: skip


def draw_marks(axes: Axes, marks: tuple[Mark, ...], y: float) -> None:
    """Draw moments as points; those that are close together share a label."""
    left, right = axes.get_xlim()
    shown = sorted((mark for mark in marks if left <= mark.at <= right), key=lambda mark: mark.at)
    axes.plot([mark.at for mark in shown], [y] * len(shown), "o", color=COLOURS["ink"], markersize=4)
    shift = CHARACTER * (right - left)
    for group in neighbours(shown, right - left):
        text, width = ", ".join(map(name_of, group)), extent(group, right - left)
        if group[-1].at + shift + width <= right:
            axes.text(group[-1].at + shift, y, text, va="center", ha="left", fontsize=SIZE - 0.5)
        elif group[0].at - shift - width >= left:
            axes.text(group[0].at - shift, y, text, va="center", ha="right", fontsize=SIZE - 0.5)


def neighbours(marks: Sequence[Mark], span: float) -> list[list[Mark]]:
    """Return moments in groups whose labels would overlap."""
    groups: list[list[Mark]] = []
    for mark in marks:
        if groups and mark.at < groups[-1][-1].at + extent(groups[-1], span):
            groups[-1].append(mark)
        else:
            groups.append([mark])
    return groups


def extent(marks: Sequence[Mark], span: float) -> float:
    """Return the approximate width of the moments' labels in seconds, on an axis of so many seconds."""
    return CHARACTER * (len(", ".join(map(name_of, marks))) + 2) * span


def name_of(mark: Mark) -> str:
    """Return the label of moments: the event, its subject and its time."""
    return f"{mark.text} {mark.at:+.2f} s" if mark.at else mark.text


def inline(document: str, name: str, label: str) -> str:
    """Return an SVG document as an element for a page, with unique ids and the page's colours and typeface."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r' d="([^"]*)"', lambda found: f' d="{shortened(found[1])}"', svg)
    svg = re.sub(r">\s+<", "><", svg)
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    variables = {colour: f"var(--{variable})" for variable, colour in COLOURS.items()}
    svg = re.sub(r"#0101[0-9a-f]{2}", lambda found: variables[found.group()], svg)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--face)", svg)
    svg = re.sub(
        r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', rf'<svg viewBox="\1" role="img" aria-label="{label}">', svg, count=1
    )
    return svg.strip()


def shortened(path: str) -> str:
    """Return a path with two decimals, and its level and upright lines by one number."""
    found: list[str] = []
    x = y = ""
    for command, *numbers in (step.split() for step in re.findall(r"[A-Za-z][^A-Za-z]*", path)):
        short = [f"{float(number):.2f}".rstrip("0").rstrip(".") for number in numbers]
        if command == "L" and short[1] == y:
            found += [f"H{short[0]}"] if short[0] != x else []
        elif command == "L" and short[0] == x:
            found.append(f"V{short[1]}")
        else:
            found.append(f"{command}{' '.join(short)}")
        x, y = short[-2:] if short else ("", "")
    return "".join(found)
