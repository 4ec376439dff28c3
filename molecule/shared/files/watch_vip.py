#!/usr/bin/python3
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watch on several nodes at once which of them hold some addresses, and print what was seen as JSON.

    watch_vip.py --seconds 20 --node holdfast-lb1 --node holdfast-lb2 --address 198.51.100.100

Every node samples itself and stamps the sample with the monotonic clock, which containers of one machine share. A node
holds an address for certain from the first to the last of several samples in a row that say so: two such spans that
overlap are two holders, and what no span covers is unheld at most that long. Times are in seconds since the beginning.
"""

from __future__ import annotations

import argparse
import ipaddress
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Span:
    """A node certainly held an address from ``begin`` to ``end``."""

    node: str
    begin: float
    end: float


def spans(node: str, samples: Iterable[tuple[float, bool]]) -> list[Span]:
    """The runs of samples, in order of time, that say the address is held."""
    runs = (list(run) for held, run in itertools.groupby(samples, key=lambda sample: sample[1]) if held)
    return [Span(node, run[0][0], run[-1][0]) for run in runs]


def overlaps(held: Iterable[Span]) -> list[tuple[Span, Span]]:
    """Pairs of spans of different nodes that share a moment."""
    return [
        (one, other)
        for one, other in itertools.combinations(held, 2)
        if one.node != other.node and one.begin <= other.end and other.begin <= one.end
    ]


def longest_unheld(held: Iterable[Span], begin: float, end: float) -> float:
    """The longest time between ``begin`` and ``end`` that no span covers."""
    longest, covered = 0.0, begin
    for span in sorted(held, key=lambda item: item.begin):
        longest, covered = max(longest, span.begin - covered), max(covered, span.end)
    return max(longest, end - covered)


def report(
    samples: dict[str, list[tuple[float, dict[str, bool]]]], addresses: Sequence[str], begin: float, end: float
) -> dict:
    """What ``main`` prints: per node how well it was watched, per address who held it."""
    return {
        "nodes": {
            node: {
                "samples": len(taken),
                "longest_pause": max((b[0] - a[0] for a, b in itertools.pairwise(taken)), default=0.0),
            }
            for node, taken in samples.items()
        },
        "addresses": {address: _report_address(address, samples, begin, end) for address in addresses},
    }


def _report_address(address: str, samples: dict, begin: float, end: float) -> dict:
    held = [
        span for node, taken in samples.items() for span in spans(node, ((moment, who[address]) for moment, who in taken))
    ]
    return {
        "holders": [span.node for span in sorted(held, key=lambda item: item.begin)],
        "overlaps": [
            {"nodes": [a.node, b.node], "seconds": min(a.end, b.end) - max(a.begin, b.begin)} for a, b in overlaps(held)
        ],
        "longest_unheld": longest_unheld(held, begin, end),
    }


def held_here(address: str) -> bool:
    """Whether an interface of this very host has the address."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 6:
        return parsed.exploded.replace(":", "") in Path("/proc/net/if_inet6").read_text()
    pattern = rf"\|-- {re.escape(address)}\n +/32 host LOCAL"
    return re.search(pattern, Path("/proc/net/fib_trie").read_text()) is not None


def sample(addresses: Sequence[str], seconds: float, interval: float) -> Iterator[tuple[float, dict[str, bool]]]:
    """Samples of this very host, one per interval."""
    deadline = time.monotonic() + seconds
    while (now := time.monotonic()) < deadline:
        yield now, {address: held_here(address) for address in addresses}
        time.sleep(interval)


def _watch(engine: str, node: str, arguments: Sequence[str], into: list[tuple[float, dict[str, bool]]]) -> None:
    program = Path(__file__).read_text()
    command = [engine, "exec", node, "python3", "-u", "-c", program, "--here", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        for line in process.stdout or ():
            moment, who = json.loads(line)
            into.append((moment, who))


def watch(engine: str, nodes: Sequence[str], addresses: Sequence[str], seconds: float, interval: float) -> dict:
    """Watch all nodes for so long; a node that dies is watched until then."""
    arguments = [f"--seconds={seconds}", f"--interval={interval}", *(f"--address={item}" for item in addresses)]
    samples: dict[str, list[tuple[float, dict[str, bool]]]] = {node: [] for node in nodes}
    threads = [threading.Thread(target=_watch, args=(engine, node, arguments, samples[node])) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    moments = [moment for taken in samples.values() for moment, _who in taken]
    return report(samples, addresses, min(moments, default=0.0), max(moments, default=0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", action="append", default=[], help="container to watch")
    parser.add_argument("--address", action="append", default=[], help="address to look for")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--interval", type=float, default=0.05)
    parser.add_argument("--here", action="store_true", help="sample this host and print the samples")
    given = parser.parse_args()
    if given.here:
        for taken in sample(given.address, given.seconds, given.interval):
            print(json.dumps(taken))
        return
    engine = os.environ.get("LAB_ENGINE", "docker")
    json.dump(watch(engine, given.node, given.address, given.seconds, given.interval), sys.stdout)


if __name__ == "__main__":
    main()
