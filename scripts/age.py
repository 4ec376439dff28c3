# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Provide age for the test of docs/secrets-elsewhere.md."""

from __future__ import annotations

import sys

from scripts.programs import Program

AGE = Program("age", package="age", version="1.1")


if __name__ == "__main__":
    sys.exit(AGE.ensure())
