# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Generate the table of attacks in docs/attacks.md from the cases and from what a run of them found.

    python -m scripts.generate_attack_table [--take .lab/attack.json] [--check]

--take copies what tests/acceptance/test_attack.py found to tests/acceptance/attack_found.json first.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from scripts.generated import ROOT, between, write_or_check

ACCEPTANCE = ROOT / "tests/acceptance"
CASES = ACCEPTANCE / "attack_cases.yml"
FOUND = ACCEPTANCE / "attack_found.json"
PAGE = ROOT / "docs/attacks.md"


def table(document: Mapping[str, Any], found: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Yield the page's lines: a table for each seat."""
    for seat, about in document["seats"].items():
        sitting = f"`{about.get('user', 'root')}` on `{about['at']}`"
        yield f"## {seat}\n\n{about['about'][0].upper()}{about['about'][1:]}: {sitting}.\n"
        yield "| target | result | why |\n|---|---|---|"
        yield from (row(case, found.get((seat, case["target"]))) for case in document["cases"][seat])
        yield ""


def row(case: Mapping[str, Any], found: str | None) -> str:
    """One case; SystemExit names one whose result is not the expected one."""
    if found not in (None, case["expect"]):
        raise SystemExit(f"{case['target']}: {found}, but {CASES.name} expects {case['expect']}")
    seen = case["expect"] if found else f"{case['expect']} (not run)"
    return f"| {case['target']} | {f'**{seen}**' if case['expect'] == 'possible' else seen} | {case['why']} |"


def results(text: str) -> dict[tuple[str, str], str]:
    """What a run found, by seat and target."""
    return {(item["seat"], item["target"]): item["found"] for item in json.loads(text)}


def page() -> str:
    """The page with its table."""
    document = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    found = results(FOUND.read_text(encoding="utf-8"))
    content = "\n".join(["", *table(document, found), ""])
    return between(PAGE, "<!-- generated: attacks -->", "<!-- end -->", content)


def main(arguments: list[str]) -> int:
    """Write the table, or with --check compare it."""
    if "--take" in arguments:
        shutil.copyfile(Path(arguments[arguments.index("--take") + 1]), FOUND)
    return write_or_check({PAGE: page()}, arguments, make="attack-table")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
