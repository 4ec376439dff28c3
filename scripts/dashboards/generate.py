# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/dashboards/*.json from the descriptions here.

With --check no file is written; exit code 1 means that one is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import common, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from scripts.dashboards.model import TARGETS, Dashboard, Panel, Query, dashboards
from scripts.generated import write_or_check

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHTS = {"name": 4, "number": 4, "graph": 7, "states": 7, "table": 7}
STATES = (("0", "no", "text"), ("1", "yes", "green"))
"""The values of a panel of states: value, its name, its colour."""


def main(arguments: list[str]) -> int:
    """Write or check all files."""
    TARGETS.mkdir(exist_ok=True)
    return write_or_check({target(item): as_json(item) for item in dashboards()}, arguments, "dashboards")


def target(dashboard: Dashboard) -> Path:
    """Return the path of a dashboard's file."""
    return TARGETS / f"{dashboard.name}.json"


def as_json(dashboard: Dashboard) -> str:
    """Return the document for Grafana's import."""
    return JSONEncoder(sort_keys=True, indent=1).encode(build(dashboard)) + "\n"


def build(dashboard: Dashboard) -> models.Dashboard:
    """Return Grafana's model of a dashboard."""
    made = (
        builders.Dashboard(f"Holdfast: {dashboard.title}")
        .uid(f"holdfast-{dashboard.name}")
        .description(dashboard.about)
        .tags(["holdfast"])
        .refresh("30s")
        .time("now-6h", "now")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(others())
        .with_variable(builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(variable("cluster", "label_values(up, cluster)"))
    )
    if dashboard.host:
        hosts = f'label_values(up{{cluster="$cluster", job="{dashboard.host}"}}, host)'
        made.with_variable(variable("host", hosts).multi(True).include_all(True).all_value(".+"))
    number = 0
    for row in dashboard.rows:
        made.with_row(builders.Row(row.title))
        for panel in row.panels:
            number += 1
            made.with_panel(panel_of(panel, number))
    return made.build()


def others() -> builders.DashboardLink:
    """Return the menu of the other dashboards, which keeps the cluster and the time."""
    menu = builders.DashboardLink("Holdfast").type(models.DashboardLinkType.DASHBOARDS).tags(["holdfast"])
    return menu.as_dropdown(True).keep_time(True).include_vars(True)


def variable(name: str, query: str) -> builders.QueryVariable:
    """Return a variable whose values Prometheus knows."""
    return (
        builders.QueryVariable(name)
        .label(name)
        .datasource(SOURCE)
        .query(query)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )


def panel_of(panel: Panel, number: int) -> Any:
    """Return the builder of a panel."""
    made = BUILDERS[panel.kind](panel)
    made.id(number).title(panel.title).datasource(SOURCE).height(HEIGHTS[panel.kind]).span(panel.width)
    if panel.about:
        made.description(panel.about)
    if panel.steps:
        steps = [models.Threshold(value=limit, color=colour) for limit, colour in panel.steps]
        made.thresholds(builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    for position, query in enumerate(panel.queries):
        made.with_target(dataquery(query, chr(ord("A") + position), panel.kind))
    return made


def dataquery(query: Query, reference: str, kind: str) -> prometheus.Dataquery:
    """Return a query: of the present for numbers and tables, over time for the others."""
    made = prometheus.Dataquery().expr(query.expr).ref_id(reference).datasource(SOURCE)
    if kind in {"name", "number", "table"}:
        made.instant()
    else:
        made.range()
    if kind == "table":
        made.format(PromQueryFormat.TABLE)
    return made.legend_format(query.legend) if query.legend else made


def number_panel(panel: Panel) -> stat.Panel:
    """Return a number, or the name of a series."""
    made = stat.Panel().unit(panel.unit).graph_mode(options.BigValueGraphMode.NONE)
    named = panel.kind == "name"
    made.text_mode(options.BigValueTextMode.NAME if named else options.BigValueTextMode.VALUE)
    return made.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))


def graph_panel(panel: Panel) -> timeseries.Panel:
    """Return lines over time."""
    legend = common.VizLegendOptions().show_legend(True).display_mode(options.LegendDisplayMode.LIST)
    tooltip = common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI)
    made = timeseries.Panel().unit(panel.unit).fill_opacity(8).line_width(1).axis_soft_min(0)
    return made.legend(legend.placement(options.LegendPlacement.BOTTOM)).tooltip(tooltip)


def states_panel(panel: Panel) -> statetimeline.Panel:
    """Return yes and no over time."""
    results = {
        value: models.ValueMappingResult(text=text, color=colour, index=index)
        for index, (value, text, colour) in enumerate(STATES)
    }
    return statetimeline.Panel().unit(panel.unit).mappings([models.ValueMap(options=results)]).row_height(0.8)


def table_panel(_panel: Panel) -> table.Panel:
    """Return a table of labels."""
    return table.Panel()


BUILDERS: dict[str, Callable[[Panel], Any]] = {
    "name": number_panel,
    "number": number_panel,
    "graph": graph_panel,
    "states": states_panel,
    "table": table_panel,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
