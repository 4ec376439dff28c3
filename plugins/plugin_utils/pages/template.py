# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The environment of self-contained HTML pages: no scripts, no fonts, no network."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

SHARED = Path(__file__).parent / "templates"


def environment(folder: Path) -> Environment:
    """Return the environment of a folder's templates, which may include the shared ones, such as base.css."""
    return Environment(
        loader=FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def palette() -> str:
    """Return the CSS with the colours, light and dark, as variables of the page."""
    css = (SHARED / "base.css").read_text(encoding="utf-8")
    return css[: css.index("* {")]
