# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.unit.plugins.plugin_utils.drill.ledgers import DATA

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("name", "headline"),
    [
        ("primary_power_loss-1", "A drill: the primary loses power (fo-db3, at 0 s)"),
        ("switchover-1", "A drill: a planned switchover (fo-db2, at 0 s)"),
    ],
)
def test_the_picture_stands_alone(tmp_path: Path, name: str, headline: str) -> None:
    target = tmp_path / "images" / "drill.svg"
    script = ROOT / "scripts/drill_picture.py"
    subprocess.run([sys.executable, script, DATA / f"{name}.ledger.json.gz", target], check=True)
    text = target.read_text(encoding="utf-8")

    texts = [element.text for element in ET.fromstring(text).iter() if element.tag.endswith("text")]
    assert texts[0] == headline
    assert {"seconds since the injection", "writes acknowledged through the VIP"} <= set(texts)
    assert set(re.findall(r"var\(--([a-z-]+)\)", text)) <= set(re.findall(r"--([a-z-]+):", text))
    assert "prefers-color-scheme: dark" in text
    assert target.stat().st_size < 60_000
