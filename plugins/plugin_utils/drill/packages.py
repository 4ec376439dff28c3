# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Python packages that only the drill, the soak and explorations need on the controller."""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal

REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements-drill.txt"
"""The file's packages are imported by their own names."""


def require_packages(requirements: Path = REQUIREMENTS) -> None:
    """Raise Refusal if this Python lacks a package of a requirements file."""
    names = re.findall(r"^\w+", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise Refusal(
            f"{', '.join(missing)}: not installed on the controller, in the Python that runs Ansible; "
            f"install what the drill needs: {sys.executable} -m pip install -r {requirements}"
        )
