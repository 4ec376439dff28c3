# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ledger as a file: gzipped JSON, one object whose record lists are tables of {"columns", "rows"}."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.consistency.model import (
    Fate,
    Route,
    Transaction,
    operation,
    plain,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.verdict.model import (
    Alert,
    AlertSample,
    BalancerSample,
    Event,
    Ledger,
    MemberSample,
    Outcome,
    Presence,
    Read,
    Write,
)

FORMAT = "holdfast-drill-ledger/1"
TABLES: Mapping[str, type] = {
    "writes": Write,
    "reads": Read,
    "naive": Write,
    "local_writes": Write,
    "members": MemberSample,
    "balancers": BalancerSample,
    "events": Event,
    "pooled": Write,
    "alerts": AlertSample,
    "transactions": Transaction,
}
LATER = ("pooled", "alerts", "transactions")
"""Tables that files of older versions lack."""
MONITORED = ("monitor", "alerts")
"""What only the ledgers of monitored clusters have."""
CONSISTENCY = ("consistency", "transactions")
"""What only the ledgers with transactions on lists have."""
DECIMALS = 6  # microseconds


class LedgerFileError(ValueError):
    """A file that is not a ledger, or whose format this version does not know."""


def write(ledger: Ledger, path: Path) -> None:
    """Write a ledger; the same ledger always gives the same bytes."""
    text = json.dumps(as_data(ledger), ensure_ascii=False, separators=(",", ":"))
    with path.open("wb") as raw, gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as stream:
        stream.write(text.encode())


def read(path: Path) -> Ledger:
    """Return the ledger in a file; raises LedgerFileError if the file has none."""
    try:
        document = json.loads(gzip.decompress(path.read_bytes()))
    except (gzip.BadGzipFile, EOFError, ValueError) as error:
        raise LedgerFileError(f"{path}: not a gzipped JSON document: {error}") from error
    return parse(document, str(path))


def as_data(ledger: Ledger) -> dict[str, Any]:
    """Return a ledger as plain data."""
    left_out = {*(() if ledger.monitor else MONITORED), *(() if ledger.consistency else CONSISTENCY)}
    names = [item.name for item in fields(Ledger) if item.name not in {*TABLES, *left_out, "presence"}]
    return {
        "format": FORMAT,
        **{name: rounded(getattr(ledger, name)) for name in names},
        "presence": {item.member: presence_rows(item) for item in ledger.presence},
        **{name: table(record, getattr(ledger, name)) for name, record in TABLES.items() if name not in left_out},
    }


def parse(document: Any, source: str = "ledger") -> Ledger:
    """Return the ledger of as_data()'s result; raises LedgerFileError for anything else."""
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, dict) else type(document).__name__
        raise LedgerFileError(f"{source}: its format is {found!r}, this version reads {FORMAT!r}")
    try:
        names = [item.name for item in fields(Ledger) if item.name not in TABLES and item.name in document]
        plain = {name: parse_plain(name, document[name]) for name in names}
        tables: dict[str, Any] = {
            name: records(record, document[name])
            for name, record in TABLES.items()
            if name not in LATER or name in document
        }
        return Ledger(**plain, **tables)
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerFileError(f"{source}: not a complete ledger: {error!r}") from error


def parse_plain(name: str, value: Any) -> Any:
    """Return a field other than a table in its type; a field that an older file lacks has its default."""
    if name == "presence":
        return tuple(parse_presence(member, rows) for member, rows in value.items())
    if name in {"dark", "cut"}:
        return {host: tuple((begin, end) for begin, end in spans) for host, spans in value.items()}
    return tuple(value) if isinstance(value, list) else value


def table(record: type, items: Iterable[Any]) -> dict[str, Any]:
    """Return records as a table."""
    columns = [item.name for item in fields(record)]
    return {"columns": columns, "rows": [[flat(name, getattr(item, name)) for name in columns] for item in items]}


def flat(name: str, value: Any) -> Any:
    """Return a record's field; the alerts of a sample and the operations of a transaction as lists."""
    if name == "operations":
        return [plain(one) for one in value]
    if isinstance(value, tuple) and value and isinstance(value[0], Alert):
        return [astuple(alert) for alert in value]
    return rounded(value)


def records(record: type, data: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the records of a table."""
    columns = data["columns"]
    return tuple(record(**parsed(dict(zip(columns, row, strict=True)))) for row in data["rows"])


def parsed(row: dict[str, Any]) -> dict[str, Any]:
    """Return a record's fields with their types, which JSON does not keep."""
    if "outcome" in row:
        row["outcome"] = Outcome(row["outcome"])
    if "holds" in row:
        row["holds"] = tuple(row["holds"])
        row["up"] = None if row["up"] is None else {pool: tuple(names) for pool, names in row["up"].items()}
    if "operations" in row:
        row["fate"], row["route"] = Fate(row["fate"]), Route(row["route"])
        row["operations"] = tuple(map(operation, row["operations"]))
    if row.get("alerts") is not None:
        row["alerts"] = tuple(Alert(*alert) for alert in row["alerts"])
    return row


def presence_rows(presence: Presence) -> list[list[Any]]:
    """Return the rows found on a member as runs [writer, first, last, count] of successive sequences."""
    runs: list[list[Any]] = []
    for (writer, sequence), count in sorted(presence.counts.items()):
        last = runs[-1] if runs else None
        if last and last[0] == writer and last[2] + 1 == sequence and last[3] == count:
            last[2] = sequence
        else:
            runs.append([writer, sequence, sequence, count])
    return runs


def parse_presence(member: str, runs: Iterable[Iterable[Any]]) -> Presence:
    """Return the rows found on a member."""
    return Presence(
        member,
        {
            (writer, sequence): count
            for writer, first, last, count in runs
            for sequence in range(int(first), int(last) + 1)
        },
    )


def rounded(value: Any) -> Any:
    """Return a value with its times truncated to microseconds."""
    return round(value, DECIMALS) if isinstance(value, float) else value
