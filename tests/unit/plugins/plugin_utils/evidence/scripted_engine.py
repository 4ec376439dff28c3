# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine as a process of its own, with hosts that answer from a script."""

from __future__ import annotations

from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.evidence import engine

from tests.unit.plugins.plugin_utils.evidence.test_engine import Hosts


def crew(_plan: Any, take: Any, _tell: Any) -> Hosts:
    return Hosts(take)


if __name__ == "__main__":
    engine.Crew = crew  # type: ignore[assignment, attr-defined, misc]
    engine.main()
