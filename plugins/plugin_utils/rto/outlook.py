# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All predictions for a cluster and the reasons of missing ones, as plain data and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.model import (
    Course,
    Courses,
    Prediction,
    predict,
    unpredicted,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.read import (
    Reports,
    UnknownSettingsError,
    read_settings,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.rto.settings import Settings
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table

ENDS = ("best", "median", "worst")
HEAD = ("fault", *ENDS, "largest stage")
DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Outlook:
    """The cost of each fault, and why the others have no prediction; settings is None when unknown.

    endless are those of the others that the complete cluster would survive.
    """

    settings: Settings | None = None
    predictions: Mapping[str, Prediction] = field(default_factory=dict)
    unpredicted: Mapping[str, str] = field(default_factory=dict)
    unknown: str = ""
    endless: Mapping[str, str] = field(default_factory=dict)


def outlook(
    ha: Mapping[str, Any],
    reports: Reports,
    configuration: Mapping[str, Any] | None,
    courses: Courses,
    *,
    endless: Mapping[str, str] | None = None,
    standbys: int | None = None,
) -> Outlook:
    """Return the predictions for a cluster; see read_settings() for the arguments.

    :arg courses: those of all faults.
    :arg endless: faults that end only by repair in the cluster's present state: {fault: reason}.
    :arg standbys: how many may take over, all but one member if None.
    """
    try:
        settings = read_settings(ha, reports, configuration)
    except UnknownSettingsError as error:
        predicted = [fault for fault, course in courses.items() if isinstance(course, Course)]
        return Outlook(unpredicted=dict.fromkeys(predicted, str(error)), unknown=str(error))
    if standbys is not None:
        settings = replace(settings, standbys=standbys)
    never, borne = unpredicted(courses, settings), predict(courses, settings)
    endless = {fault: reason for fault, reason in (endless or {}).items() if fault in borne}
    return Outlook(
        settings,
        {fault: prediction for fault, prediction in borne.items() if fault not in endless},
        {**never, **endless},
        endless=endless,
    )


def as_data(seen: Outlook) -> dict[str, Any]:
    """Return an outlook as plain data: settings, faults, unpredicted."""
    return {
        "settings": asdict(seen.settings) if seen.settings else None,
        "faults": {fault: prediction_data(prediction) for fault, prediction in seen.predictions.items()},
        "unpredicted": dict(seen.unpredicted),
    }


def prediction_data(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as plain data: best, median, worst, and the stages with the same."""
    ends = {name: round(getattr(prediction, name), DECIMALS) for name in ENDS}
    stages = [
        {name: round(value, DECIMALS) if isinstance(value, float) else value for name, value in asdict(stage).items()}
        for stage in prediction.stages
    ]
    return {**ends, "stages": stages}


def as_text(seen: Outlook, faults: Sequence[str]) -> str:
    """Return some faults as an aligned table, or the reason why it would be empty."""
    if seen.unknown:
        return f"Predicted time without writes: unknown, {seen.unknown}"
    shown = [row(seen.predictions[fault]) for fault in faults if fault in seen.predictions]
    text = f"Predicted time without writes\n{table([HEAD, *shown])}"
    reasons = sorted({seen.endless[fault] for fault in faults if fault in seen.endless})
    for reason in reasons:
        named = ", ".join(fault for fault in faults if seen.endless.get(fault) == reason)
        text += f"\n  WITHOUT END  {named}: {reason}"
    return text


def row(prediction: Prediction) -> list[str]:
    """Return the row of one fault."""
    ends = [f"{getattr(prediction, name):.1f} s" for name in ENDS]
    return [prediction.fault, *ends, f"{prediction.largest.name} {prediction.largest.median:.1f} s"]


def sentence(prediction: Prediction) -> str:
    """Return a prediction with the medians of its stages: 7.3 to 14.0 s, median 8.6 s: lease 7.6 s, ..."""
    stages = ", ".join(f"{stage.name} {stage.median:.1f} s" for stage in prediction.stages if abs(stage.median) >= 0.05)
    return f"{prediction.best:.1f} to {prediction.worst:.1f} s, median {prediction.median:.1f} s: {stages}"
