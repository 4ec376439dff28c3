# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts Patroni with the amendments of the package patroni_start, which lies beside this file."""

from __future__ import annotations

import logging
import sys
from pathlib import Path


def amend() -> bool:
    """Amend Patroni; return whether that was done. Otherwise it is unchanged, and the reason is logged."""
    sys.path.append(str(Path(__file__).resolve().parent))
    try:
        from patroni_start.amendment import apply
        from patroni_start.table import AMENDMENTS
    except Exception:
        logging.getLogger(__name__).exception("Patroni is started unchanged: the amendments can't be read")
        return False
    return apply(AMENDMENTS)


if __name__ == "__main__":
    amend()
    from patroni.__main__ import main

    main()
