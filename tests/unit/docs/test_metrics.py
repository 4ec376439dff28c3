# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.module_utils.metrics_text import FAMILIES, PREFIX

PAGE = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"


def test_the_page_names_every_metric() -> None:
    listed = re.findall(r"^\| `(holdfast_\w+)", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert listed == [PREFIX + name for name in FAMILIES]
