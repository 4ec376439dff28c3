#!/usr/bin/python3
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask a web service again and again, and print as JSON who answered and for how long nobody did.

ask http://192.0.2.100/ --seconds 20 --interval 0.05 --timeout 0.25
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import time
import urllib.request


def answer(url: str, timeout: float) -> str | None:
    """The body of the answer, or None when there was none in time."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response:
            return response.read().decode().strip()
    except (OSError, http.client.HTTPException):
        return None


def survey(url: str, count: int, seconds: float, interval: float, timeout: float) -> dict:
    """Ask ``count`` times, or for ``seconds``; the longest outage lies between two answers, in seconds."""
    answers: collections.Counter[str] = collections.Counter()
    failed, outage = 0, 0.0
    begin = last = time.monotonic()
    asked = 0
    while asked < count if count else time.monotonic() - begin < seconds:
        asked += 1
        body = answer(url, timeout)
        if body is None:
            failed += 1
        else:
            answers[body] += 1
            now = time.monotonic()
            outage, last = max(outage, now - last), now
        time.sleep(interval)
    outage = max(outage, time.monotonic() - last)
    return {"answers": dict(answers), "failed": failed, "longest_outage": round(outage, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--interval", type=float, default=0.0)
    parser.add_argument("--timeout", type=float, default=2.0)
    print(json.dumps(survey(**vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
