#!/usr/bin/python3
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run commands one after the other and print how long each took, as JSON: {name: seconds}.

One argument, as JSON: {name: argv}. The output of a command that fails ends the program.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence


def seconds(argv: Sequence[str]) -> float:
    """Return how long a command takes."""
    started = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    taken = time.monotonic() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(argv)}\n{done.stdout}\n{done.stderr}")
    return round(taken, 1)


if __name__ == "__main__":
    print(json.dumps({name: seconds(argv) for name, argv in json.loads(sys.argv[1]).items()}))
