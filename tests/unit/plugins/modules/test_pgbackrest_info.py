# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.modules.pgbackrest_info import size_of


def test_a_directory_that_is_yet_to_be_made_lies_on_its_parents_volume(tmp_path: Path) -> None:
    assert size_of(tmp_path / "17" / "lab") == shutil.disk_usage(tmp_path).total
