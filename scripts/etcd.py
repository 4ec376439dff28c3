# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Provide an etcd for the tests."""

from __future__ import annotations

import sys

from scripts.programs import Program

ETCD = Program("etcd", package="etcd-server", version="3.4")


def find_etcd() -> str | None:
    """Return the etcd program for the tests; None when there is none."""
    return ETCD.find()


if __name__ == "__main__":
    sys.exit(ETCD.ensure())
