# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import managed_files


@pytest.fixture(autouse=True)
def record_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the module component away from this machine's own record."""
    path = tmp_path / "record" / "files.json"
    monkeypatch.setattr(managed_files, "PATH", str(path))
    return path
