#!/usr/bin/python3
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watch several nodes at once for the addresses that they hold, and print the observations as JSON.

    watch_vip.py --seconds 20 --until /tmp/enough --node holdfast-lb1 --node holdfast-lb2 --address 198.51.100.100

Every node samples itself and stamps the sample with the monotonic clock, which containers of one machine share. A node
certainly holds an address from the first to the last of successive samples with it. Two such spans that overlap are
two holders; a time without any span is the longest that the address can be unheld. Times are in seconds.
"""

from __future__ import annotations

import argparse
import ipaddress
import itertools
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# When a sample was taken, and which of the addresses were held.
Sample = tuple[float, dict[str, bool]]

_RETRY_SECONDS = 0.2


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


def longest_unheld(held: Iterable[Span], end: float) -> float | None:
    """The longest time that no span covers, from the first span's begin to ``end``; None when there is no span."""
    ordered = sorted(held, key=lambda span: span.begin)
    if not ordered:
        return None
    longest, covered = 0.0, ordered[0].begin
    for span in ordered:
        longest, covered = max(longest, span.begin - covered), max(covered, span.end)
    return max(longest, end - covered)


def report(samples: dict[str, list[Sample]], addresses: Sequence[str]) -> dict[str, Any]:
    """The output of ``main``: per node the quality of the samples, per address its holders."""
    end = max((moment for taken in samples.values() for moment, _who in taken), default=0.0)
    return {
        "nodes": {
            node: {
                "samples": len(taken),
                "longest_pause": round(max((b[0] - a[0] for a, b in itertools.pairwise(taken)), default=0.0), 3),
            }
            for node, taken in samples.items()
        },
        "addresses": {address: _report_address(address, samples, end) for address in addresses},
    }


def _report_address(address: str, samples: dict[str, list[Sample]], end: float) -> dict[str, Any]:
    held = [
        span
        for node, taken in samples.items()
        for span in spans(node, ((moment, who[address]) for moment, who in taken))
    ]
    return {
        "holders": [span.node for span in sorted(held, key=lambda span: span.begin)],
        "overlaps": [
            {"nodes": [a.node, b.node], "seconds": min(a.end, b.end) - max(a.begin, b.begin)} for a, b in overlaps(held)
        ],
        "longest_unheld": longest_unheld(held, end),
    }


def held_here(address: str) -> bool:
    """Whether an interface of this host has the address."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 6:
        return parsed.exploded.replace(":", "") in Path("/proc/net/if_inet6").read_text()
    pattern = rf"\|-- {re.escape(address)}\n +/32 host LOCAL"
    return re.search(pattern, Path("/proc/net/fib_trie").read_text()) is not None


def sample(addresses: Sequence[str], interval: float) -> Iterator[Sample]:
    """Sample this host, once per interval, until standard input ends, which is when the watcher has ended."""
    while not select.select([sys.stdin], [], [], interval)[0]:
        yield time.monotonic(), {address: held_here(address) for address in addresses}


class Watch:
    """Samples nodes until it is stopped."""

    def __init__(self, engine: str, nodes: Sequence[str], addresses: Sequence[str], interval: float) -> None:
        program = ["python3", "-u", "-c", Path(__file__).read_text(), "--here", f"--interval={interval}"]
        program += [f"--address={address}" for address in addresses]
        self.samples: dict[str, list[Sample]] = {node: [] for node in nodes}
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._follow, args=(node, [engine, "exec", "-i", node, *program])) for node in nodes
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Take no more samples."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _follow(self, node: str, command: Sequence[str]) -> None:
        """Collect one node's samples, also across its failure and return."""
        while not self._stopped.wait(_RETRY_SECONDS):
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            ) as process:
                for line in process.stdout or ():
                    if self._stopped.is_set():
                        break
                    moment, who = json.loads(line)
                    self.samples[node].append((moment, who))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--node", action="append", default=[], help="container to watch")
    parser.add_argument("--address", action="append", default=[], help="address to look for")
    parser.add_argument("--interval", type=float, default=0.05)
    parser.add_argument("--seconds", type=float, default=10, help="watch for so long at most")
    parser.add_argument("--until", type=Path, help="watch until this file exists")
    parser.add_argument("--here", action="store_true", help="sample this host and print the samples")
    given = parser.parse_args()
    if given.here:
        for taken in sample(given.address, given.interval):
            print(json.dumps(taken))
        return
    watch = Watch(os.environ.get("LAB_ENGINE", "docker"), given.node, given.address, given.interval)
    deadline = time.monotonic() + given.seconds
    while time.monotonic() < deadline and not (given.until and given.until.exists()):
        time.sleep(_RETRY_SECONDS)
    watch.stop()
    json.dump(report(watch.samples, given.address), sys.stdout)


if __name__ == "__main__":
    main()
