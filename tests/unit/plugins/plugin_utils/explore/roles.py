# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of clusters by their roles, and short forms of steps."""

from __future__ import annotations

from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.majority import Shape
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.schedule import Schedule, Step, ordered

THREE = ("primary", "standby-1", "standby-2")
LAB = Shape(THREE, THREE, ("balancer-1", "balancer-2"), ("backup-1",))
FIVE = Shape((*THREE, "standby-3", "standby-4"), (*THREE, "standby-3", "standby-4"))
APART = Shape(("etcd-1", "etcd-2", "etcd-3"), THREE, ("balancer-1", "balancer-2"), ("backup-1",))
SHAPES = {"lab": LAB, "five": FIVE, "etcd apart": APART}


def step(kind: str, target: str, at: float = 0.0, seconds: float = 0.0, **more: Any) -> Step:
    return Step(kind, target, at, seconds, **more)


def schedule(*steps: tuple[Any, ...]) -> Schedule:
    return ordered(Step(*given) for given in steps)
