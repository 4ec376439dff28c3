#!/usr/bin/python3
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run commands one after the other, in rounds, and print the median time of each as JSON: {name: seconds}.

Arguments: the commands as JSON, {name: argv}, and the number of rounds (1). A failed command ends it with its output.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from statistics import median


def seconds(argv: Sequence[str]) -> float:
    """Return the seconds that a command takes."""
    started = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    taken = time.monotonic() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}\n{done.stdout}\n{done.stderr}")
    return taken


def medians(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, float]:
    """Return the seconds of each command, by name; a short disturbance then affects one round of all commands."""
    taken = [{name: seconds(argv) for name, argv in commands.items()} for _round in range(rounds)]
    return {name: round(median(one[name] for one in taken), 1) for name in commands}


if __name__ == "__main__":
    print(json.dumps(medians(json.loads(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)))
