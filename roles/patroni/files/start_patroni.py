# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts Patroni with the amendments of the package patroni_start, which lies beside this file."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from pathlib import Path

RECORD = "/run/postgresql/patroni-amended"
"""Holds the process id of the Patroni that was amended; plugins/module_utils/timings.py reads it."""


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


def record(amended: bool) -> None:
    """Tell the status whether this process is amended. Patroni starts even where that can't be written."""
    with contextlib.suppress(OSError):
        Path(RECORD).unlink(missing_ok=True)
        if amended:
            descriptor = os.open(RECORD, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{os.getpid()}\n")


if __name__ == "__main__":
    record(amend())
    from patroni.__main__ import main

    main()
