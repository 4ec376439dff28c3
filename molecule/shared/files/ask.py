#!/usr/bin/python3
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Query a web service repeatedly, and print as JSON which servers answered and the longest outage.

ask http://192.0.2.100/ --seconds 20 --until /tmp/enough --interval 0.05 --timeout 0.25
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any


def answer(url: str, timeout: float) -> str | None:
    """The body of the answer, or None without an answer in time."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return response.read().decode().strip()
    except (OSError, http.client.HTTPException):
        return None


def survey(url: str, timeout: float, interval: float, enough: Callable[[int], bool]) -> dict[str, Any]:
    """Ask until ``enough`` accepts the number of requests; the longest outage is between two answers, in seconds."""
    answers: collections.Counter[str] = collections.Counter()
    asked, outage, last = 0, 0.0, time.monotonic()
    while not enough(asked):
        asked += 1
        body = answer(url, timeout)
        if body is not None:
            answers[body] += 1
            outage, last = max(outage, time.monotonic() - last), time.monotonic()
        time.sleep(interval)
    outage = max(outage, time.monotonic() - last)
    return {"answers": dict(answers), "failed": asked - answers.total(), "longest_outage": round(outage, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--count", type=int, default=1_000_000, help="ask so many times at most")
    parser.add_argument("--seconds", type=float, default=60, help="ask for so long at most")
    parser.add_argument("--until", type=Path, help="ask until this file exists")
    parser.add_argument("--interval", type=float, default=0.0)
    parser.add_argument("--timeout", type=float, default=2.0)
    given = parser.parse_args()
    deadline = time.monotonic() + given.seconds

    def enough(asked: int) -> bool:
        late = time.monotonic() > deadline
        return asked >= given.count or late or bool(given.until and given.until.exists())

    print(json.dumps(survey(given.url, given.timeout, given.interval, enough)))


if __name__ == "__main__":
    main()
