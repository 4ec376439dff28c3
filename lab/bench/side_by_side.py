#!/usr/bin/python3
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run pgbench through the path and straight to the primary in turns; print transactions per second, ratios and load.

One argument, as JSON: address (the virtual IP), port (the path's), primary_port (of the pool to the primary),
postgresql_port, user, database, scale, clients, threads, seconds (of one run), rounds. The password is ~/.pgpass's.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

KINDS = {"TPC-B-like": [], "select only": ["-S"]}
PATH, UNPOOLED, STRAIGHT = "through the path", "without the pooler", "straight to the primary"


def ask(argv: Sequence[str]) -> str:
    """Return a command's output; a failed command ends the program with its error."""
    environment = {**os.environ, "PGSSLMODE": "require"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}\n{done.stderr}")
    return done.stdout


def primary(given: Mapping[str, Any]) -> str:
    """Return the primary's address."""
    target = [f"--host={given['address']}", f"--port={given['primary_port']}", f"--username={given['user']}"]
    return ask(["psql", "-XAtq", *target, "-c", "SELECT host(inet_server_addr())", given["database"]]).strip()


def tps(output: str) -> float:
    """Return the transactions per second in pgbench's output; raises ValueError without one, or with failures."""
    found = re.search(r"(?m)^tps = ([\d.]+)", output)
    failed = re.search(r"number of failed transactions: (\d+)", output)
    if not found or (failed and int(failed[1])):
        raise ValueError(f"pgbench did not run through:\n{output}")
    return float(found[1])


def measure(given: Mapping[str, Any], endpoints: Mapping[str, tuple[str, int]]) -> dict[str, dict[str, list[float]]]:
    """Return the transactions per second of each run, by kind and endpoint; the endpoints take turns."""
    found: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in endpoints} for kind in KINDS}
    bounds = [f"--{name}={given[given_as]}" for name, given_as in (("client", "clients"), ("jobs", "threads"))]
    for kind, options in KINDS.items():
        for _round in range(given["rounds"]):
            for name, (host, port) in endpoints.items():
                target = [f"--host={host}", f"--port={port}", f"--username={given['user']}"]
                run = ["pgbench", "-n", *options, *bounds, f"--time={given['seconds']}", *target, given["database"]]
                found[kind][name].append(tps(ask(run)))
    return found


def lines(found: Mapping[str, Mapping[str, Sequence[float]]]) -> list[str]:
    """Return the results as text: each endpoint's median, its ratio to the primary's, and the runs."""
    shown = []
    for kind, runs in found.items():
        medians = {name: statistics.median(values) for name, values in runs.items()}
        for name, values in runs.items():
            each = ", ".join(f"{value:.0f}" for value in values)
            shown.append(
                f"{kind:<12} {name:<24} {medians[name]:>8.0f} tps  {medians[name] / medians[STRAIGHT]:.2f}  ({each})"
            )
    return shown


def main(given: Mapping[str, Any]) -> None:
    """Measure and print."""
    before, leader = os.getloadavg()[0], primary(given)
    endpoints = {PATH: (given["address"], given["port"])}
    if given["port"] != given["primary_port"]:
        endpoints[UNPOOLED] = (given["address"], given["primary_port"])
    endpoints[STRAIGHT] = (leader, given["postgresql_port"])
    target = [f"--host={leader}", f"--port={given['postgresql_port']}", f"--username={given['user']}"]
    ask(["pgbench", "-i", "-q", f"--scale={given['scale']}", *target, given["database"]])
    found = measure(given, endpoints)
    if primary(given) != leader:
        raise SystemExit(f"{leader} is not the primary any more: measure again")
    ask(["pgbench", "-i", "-I", "d", *target, given["database"]])
    print(f"the path begins at {given['address']}:{given['port']}")
    print("\n".join(lines(found)))
    print(f"load of the machine: {before:.1f} before, {os.getloadavg()[0]:.1f} after; {os.cpu_count()} processors")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
