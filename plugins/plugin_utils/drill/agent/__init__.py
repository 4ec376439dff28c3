# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent that runs on the nodes: shipped as source over SSH; needs Python's library and psycopg2 only."""

from __future__ import annotations
