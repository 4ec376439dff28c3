# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.module_utils import safe_path


def test_a_link_that_disabling_its_unit_removed_is_no_error(tmp_path):
    link = tmp_path / "example.timer"
    link.symlink_to("/nowhere")
    gone = tmp_path / "gone.timer"
    for path in (gone, link):
        safe_path.remove(path)
    assert list(tmp_path.iterdir()) == []
