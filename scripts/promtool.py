# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Provide promtool and amtool for the tests of the alert rules."""

from __future__ import annotations

import sys

from scripts.programs import Program

PROMTOOL = Program("promtool", package="prometheus", version="2.42")
AMTOOL = Program("amtool", package="prometheus-alertmanager", version="0.25")

if __name__ == "__main__":
    sys.exit(PROMTOOL.ensure() or AMTOOL.ensure())
