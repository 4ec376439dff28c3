# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection's own metrics of a host: their names, and their text for Prometheus. Nothing here does I/O."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PREFIX = "holdfast_"
FAMILIES: Mapping[str, str] = {
    "certificate_end_timestamp_seconds": "When the certificate of this kind expires: host, client, or authority.",
    "vrrp_address": "Whether this host holds the virtual address.",
    "unit_active": "Whether the unit runs.",
    "unit_needs_restart": "Whether the unit runs with an older program, library or configuration than it has now.",
    "reboot_required": "Whether the host needs a reboot.",
    "packages_waiting": "Packages of the stack with an upgrade.",
    "packages_waiting_security": "Packages of the stack with an upgrade from a security suite.",
    "protection": "Whether upgrades by others leave the stack alone.",
    "maintenance": "Whether this host is in maintenance.",
    "rolling": "Whether a rolling verb works on the cluster.",
    "archive_queue_files": "WAL files that wait to be archived.",
    "archive_queue_age_seconds": "How long the oldest of them has waited, 0 without any.",
    "job_success_timestamp_seconds": "When the job succeeded last, 0 for never.",
    "job_failed": "Whether the last run of the job failed.",
    "job_due_timestamp_seconds": "By when the job must have succeeded again.",
    "restore_verified_timestamp_seconds": "When a backup was proven to restore last, 0 for never.",
    "restore_verify_failed": "Whether the last verification of a restore failed.",
    "canary_age_seconds": "Measured recovery point: age of the newest restored write in the last verification.",
    "profile_seconds": "What the timing profile assumes or predicts.",
    "drift_files": "Managed files whose content differs from what the last run wrote.",
    "converged_timestamp_seconds": "When site.yml was last completed on this host, 0 for never.",
    "metrics_failed": "Whether this reading failed, so that its metrics are missing.",
    "metrics_timestamp_seconds": "When these metrics were written.",
}
"""All metrics, gauges, without PREFIX, in the order of the file, with their HELP."""


@dataclass(frozen=True)
class Sample:
    """A value of one of FAMILIES; ``labels`` are pairs of name and value."""

    name: str
    value: float
    labels: tuple[tuple[str, str], ...] = ()


def labelled(name: str, label: str, values: Mapping[str, float]) -> list[Sample]:
    """Return the samples of a metric with one label, from the values by the label's value."""
    return [Sample(name, float(value), ((label, text),)) for text, value in values.items()]


def render(samples: Iterable[Sample]) -> str:
    """Return the samples in Prometheus' text format, grouped by metric; raises KeyError for an unknown name."""
    found: dict[str, list[Sample]] = {name: [] for name in FAMILIES}
    for sample in samples:
        found[sample.name].append(sample)
    return "".join(line for name, group in found.items() if group for line in _family(name, group))


def _family(name: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {PREFIX}{name} {_escaped(FAMILIES[name])}\n# TYPE {PREFIX}{name} gauge\n"
    for sample in samples:
        labels = ",".join(f'{label}="{_quoted(value)}"' for label, value in sample.labels)
        yield f"{PREFIX}{name}{'{' + labels + '}' if labels else ''} {sample.value:.15g}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', r"\"")


Readings = Mapping[str, Callable[[], Iterable[Sample]]]
"""Functions that read samples, by the name under which a failure is told."""


@dataclass(frozen=True)
class Taken:
    """The samples of some readings, and why the others failed."""

    samples: tuple[Sample, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)


def take(readings: Readings, errors: tuple[type[Exception], ...]) -> Taken:
    """Read everything; one of the errors fails a reading only."""
    samples: list[Sample] = []
    failed: dict[str, str] = {}
    for name, read in readings.items():
        try:
            samples += list(read())
        except errors as error:
            failed[name] = " ".join(str(error).split()) or type(error).__name__
    return Taken(tuple(samples), failed)


def dump(taken: Taken) -> str:
    """Return what was taken as JSON, for parse()."""
    samples = [[sample.name, sample.value, sample.labels] for sample in taken.samples]
    return json.dumps({"samples": samples, "failed": dict(taken.failed)})


def parse(text: str) -> Taken:
    """Return what dump() wrote; raises ValueError."""
    document: dict[str, Any] = json.loads(text)
    samples = (
        Sample(name, float(value), tuple((str(label), str(of)) for label, of in labels))
        for name, value, labels in document["samples"]
    )
    return Taken(tuple(samples), document["failed"])
