# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The dashboards' descriptions, read from the YAML files here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent
TARGETS = ROOT / "docs" / "dashboards"
ORDER = ("cluster", "postgresql", "pools", "consensus", "backups", "hosts")


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression with Grafana's variables, and the legend of its series."""

    expr: str
    legend: str = ""

    def on(self, cluster: str, interval: str = "5m") -> str:
        """Return the expression for a cluster and all of its hosts, without variables."""
        values = {"$cluster": cluster, "$host": ".+", "$__rate_interval": interval}
        expr = self.expr
        for name, value in values.items():
            expr = expr.replace(name, value)
        return expr


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. kind: name (of a series), number, graph, states (0 or 1 over time) or table.

    unit: Grafana's name of it. width: in 24ths. steps: pairs of a lower limit and a colour, the first limit is None.
    empty: why it may have no data, "" where it must have some.
    """

    title: str
    queries: tuple[Query, ...]
    kind: str = "graph"
    unit: str = "short"
    width: int = 8
    about: str = ""
    steps: tuple[tuple[float | None, str], ...] = ()
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a title."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard. host: the Prometheus job whose hosts can be chosen, "" where all are shown."""

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]
    host: str = field(default="")

    @property
    def panels(self) -> Iterator[Panel]:
        """The panels of all rows."""
        for row in self.rows:
            yield from row.panels


def dashboards() -> list[Dashboard]:
    """Return all dashboards. Raises TypeError for keys that a description must not have."""
    return [parse(name, yaml.safe_load((SOURCES / f"{name}.yml").read_text(encoding="utf-8"))) for name in ORDER]


def parse(name: str, document: dict[str, Any]) -> Dashboard:
    """Return the dashboard of a file."""
    rows = tuple(Row(row["title"], tuple(map(parse_panel, row["panels"]))) for row in document["rows"])
    return Dashboard(name, **{**document, "rows": rows})


def parse_panel(document: dict[str, Any]) -> Panel:
    """Return a panel of a file."""
    queries = tuple(Query(**query) for query in document["queries"])
    steps = tuple((limit, colour) for limit, colour in document.get("steps", ()))
    return Panel(**{**document, "queries": queries, "steps": steps})
