# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tests of several amendments need."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator

import pytest


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for a postmaster; another thread reaps it, as init does."""
    started = subprocess.Popen(["sleep", "60"])
    reaper = threading.Thread(target=started.wait)
    reaper.start()
    yield started
    started.kill()
    reaper.join()
