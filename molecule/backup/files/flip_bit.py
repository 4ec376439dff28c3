#!/usr/bin/python3
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flip one bit in the middle of a file: flip_bit.py PATH. A second run restores the file."""

import sys
from pathlib import Path

with Path(sys.argv[1]).open("r+b") as file:
    middle = file.seek(0, 2) // 2
    file.seek(middle)
    flipped = file.read(1)[0] ^ 1
    file.seek(middle)
    file.write(bytes([flipped]))
