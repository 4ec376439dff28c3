# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/secrets.md has a row for every secret of the registry."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import SECRETS

PAGE = Path(__file__).resolve().parents[3] / "docs" / "secrets.md"


def test_every_secret_has_a_row() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| [^|]+ \| [^|]+ \| [^|]+ \| [^|]+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {secret.name for secret in SECRETS} <= set(rows)


def test_a_file_that_holds_a_secret_is_named_in_its_row() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for secret in (secret for secret in SECRETS if secret.stored):
        (row,) = re.findall(rf"^\| `{secret.name}` .*$", text, re.MULTILINE)
        assert f"`{secret.stored}`" in row
