# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts/ladder_picture.py"


def ladder(profile: str, limit: float) -> dict[str, Any]:
    rungs = [
        {"harm": harm, "place": place, "seconds": half / 2, "trials": 5, "failovers": 5 if half / 2 > limit else 0}
        for harm in ("processes frozen", "links cut")
        for place in ("the primary", "a standby")
        for half in range(1, 11)
    ]
    faults = {"primary_power_loss": {"best": 7.3, "median": 8.6, "worst": 14.0, "stages": []}}
    return {"format": "holdfast-ladder/1", "profile": profile, "rungs": rungs, "prediction": {"faults": faults}}


def draw(tmp_path: Path, *documents: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    sources = []
    for number, document in enumerate(documents):
        sources.append(tmp_path / f"{number}.json")
        sources[-1].write_text(json.dumps(document))
    command = [sys.executable, SCRIPT, tmp_path / "images" / "ladder.svg", *sources]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_picture_stands_alone(tmp_path: Path) -> None:
    done = draw(tmp_path, ladder("fast", 2.5), ladder("balanced", 9), ladder("conservative", 9))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "images" / "ladder.svg").read_text(encoding="utf-8")
    root = ET.fromstring(text)
    texts = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert texts[0] == "How long a fault may last before the cluster fails over"
    assert texts.count("not measured") == 5
    legend = [line.partition(":")[0] for line in texts if "as predicted" in line]
    assert legend == ["conservative", "balanced", "fast"]
    assert "balanced: 8.6 s (7.3 to 14.0 s) without writes when the primary loses power" in "\n".join(texts)
    assert sum(element.tag.endswith("polyline") for element in root.iter()) == 3 * 4
    assert "prefers-color-scheme: dark" in text


def test_what_is_no_ladder_is_refused(tmp_path: Path) -> None:
    assert "its format is 'x'" in draw(tmp_path, {"format": "x"}).stderr
    assert "no ladder given" in draw(tmp_path).stderr
