# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prometheus' and Alertmanager's answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient


@dataclass(frozen=True)
class Span:
    """The time of an answer: from begin to end in seconds since 1970, one value for each step; at end only if step is
    0.
    """

    begin: float
    end: float
    step: int

    def parameters(self) -> dict[str, float]:
        """Return it as Prometheus wants it."""
        if not self.step:
            return {"time": self.end}
        return {"start": self.begin, "end": self.end, "step": self.step}


def evaluate(
    client: HttpJsonClient, queries: Mapping[str, str], span: Span
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, str]]:
    """Return the series of expressions, and why others have none, both by name.

    A server that gives no answer at all is not asked again.
    """
    series: dict[str, list[dict[str, Any]]] = {}
    errors: dict[str, str] = {}
    for name, expression in queries.items():
        try:
            series[name] = ask(client, str(expression), span)
        except EndpointError as error:
            errors[name] = str(error)
            if error.status is None:
                return series, {name: errors.get(name, str(error)) for name in queries if name not in series}
    return series, errors


def ask(client: HttpJsonClient, expression: str, span: Span) -> list[dict[str, Any]]:
    """Return the series of an expression: {labels, samples: [[time, value], ...]}; raises EndpointError."""
    kind = "query_range" if span.step else "query"
    path = f"/api/v1/{kind}?{urlencode({'query': expression, **span.parameters()})}"
    return parse_series(expected(client, path, client.request("GET", path)))


def expected(client: HttpJsonClient, path: str, body: Any) -> Mapping[str, Any]:
    """Return the data of Prometheus' answer; raises EndpointError for that of another program."""
    data = body.get("data") if isinstance(body, dict) else None
    if not isinstance(data, dict) or "resultType" not in data:
        raise EndpointError(f"{client.base_url}{path.partition('?')[0]}", None, "this is no answer of Prometheus")
    return data


def parse_series(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the series of a matrix, a vector or a scalar, without the values that are no finite numbers."""
    if data["resultType"] in {"scalar", "string"}:
        return [{"labels": {}, "samples": finite([data["result"]])}]
    return [
        {"labels": item["metric"], "samples": finite(item["values"] if "values" in item else [item["value"]])}
        for item in data["result"]
    ]


def finite(samples: list[list[Any]]) -> list[list[float]]:
    """Return samples as numbers; NaN and infinite ones have no place in JSON."""
    read = ([float(at), float(value)] for at, value in samples)
    return [sample for sample in read if math.isfinite(sample[1])]


def ask_alerts(client: HttpJsonClient) -> list[dict[str, Any]]:
    """Return Alertmanager's alerts; raises EndpointError."""
    path = "/api/v2/alerts"
    body = client.request("GET", path)
    if not isinstance(body, list):
        raise EndpointError(f"{client.base_url}{path}", None, "this is no answer of Alertmanager")
    return [parse_alert(item) for item in body]


def parse_alert(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an alert of Alertmanager's API."""
    status = item.get("status") or {}
    return {
        "labels": item.get("labels") or {},
        "annotations": item.get("annotations") or {},
        "since": str(item.get("startsAt") or ""),
        "silenced": bool(status.get("silencedBy")),
        "inhibited": bool(status.get("inhibitedBy")),
    }
