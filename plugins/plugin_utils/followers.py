# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts have the certificates that they should have, and whose services have read them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Any


def why_behind(result: Mapping[str, Any] | None, proof: Mapping[str, Any] | None = None) -> str:
    """Return what a host lacks, "" for nothing.

    :arg result: what holdfast.ha.certificate returned in check mode, with its units; None where it did not run.
    :arg proof: what holdfast.ha.certificate_probe returned, None where it did not run.
    """
    if result is None or result.get("skipped"):
        return "takes no part in this run"
    if result.get("unreachable"):
        return f"unreachable: {last_line(result)}"
    if result.get("failed") or "units" not in result:
        return f"nobody knows its state: {last_line(result)}"
    files = [PurePosixPath(path).name for path in (*result["changed_paths"], *result["reasons"])]
    units = [unit["unit"] for unit in result["units"] if unit["reasons"] or unit["reloads"]]
    texts = [f"lacks the present {listed(files)}" if files else "", f"{listed(units)} has not read it" if units else ""]
    if any(texts):
        return "; ".join(filter(None, texts))
    return last_line(proof) if proof and (proof.get("failed") or proof.get("unreachable")) else ""


def behind(results: Mapping[str, tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]]) -> dict[str, str]:
    """Return the hosts that lack something, each with what; results are the arguments of why_behind()."""
    found = {host: why_behind(*result) for host, result in results.items()}
    return {host: text for host, text in found.items() if text}


def listed(names: Collection[str]) -> str:
    """Return names in their order, each once."""
    return ", ".join(dict.fromkeys(names))


def last_line(result: Mapping[str, Any]) -> str:
    """Return the last line of a task's message."""
    return (str(result.get("msg") or "").strip().splitlines() or ["no answer"])[-1]
