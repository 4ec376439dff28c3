# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on the nodes: shipped as source over SSH, Python's library and psycopg2 only (see ..session)."""

from __future__ import annotations
