# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The upgrade of a host's packages: one transaction of apt that lets no maintainer script restart a service."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import apt_plan, policy_rc_d, safe_path
from ansible_collections.holdfast.ha.plugins.module_utils.apt_host import POLL_SECONDS, Apt, AptError, undisturbed

LOCK = "run/holdfast-packages-upgrade.lock"
LOG = "run/holdfast-withheld"
"""Root's own, below the host's root."""


@dataclass(frozen=True)
class Upgrading:
    """The upgrade of a host by the module's parameters."""

    apt: Apt
    given: Mapping[str, Any]

    @property
    def _policy(self) -> Path:
        return self.apt.root / policy_rc_d.DIRECTORY

    @property
    def _log(self) -> Path:
        return self.apt.root / LOG

    def plan(self) -> tuple[apt_plan.Known, list[apt_plan.Upgrade]]:
        """Return what is known of the host and what is to be done; raises RefusedError, AptError."""
        scope, versions = self.given["scope"], self.given["versions"]
        known = self.apt.look()
        plans = self.apt.plans(known, [scope], self.given["names"], versions, self.given["allow_downgrade"])
        return known, plans[scope]

    def predict(self) -> dict[str, Any]:
        """Return the result of check mode; while an installation is interrupted, apt may have no plan."""
        interrupted = self.apt.is_interrupted()
        try:
            known, plan = self.plan()
        except AptError:
            if not interrupted:
                raise
            known, plan = apt_plan.Known({}), []
        steps = [{"name": step.name, "from": step.installed, "to": step.candidate} for step in plan]
        return result(steps, interrupted, known, self.given, [])

    def apply(self) -> dict[str, Any]:
        """Complete what was interrupted and upgrade; raises UnfinishedError when apt fails, and as *plan* does."""
        with undisturbed(), only_one(self.apt.root / LOCK, self.given["lock_timeout"]):
            self.apt.wait_for_others()
            policy_rc_d.mend(self._policy)
            interrupted = self.apt.is_interrupted()
            known, plan = self.plan() if not interrupted else (apt_plan.Known({}), [])
            if not plan and not interrupted:
                return result([], False, known, self.given, policy_rc_d.collect(self._log))
            return self._work(interrupted, known, plan)

    def _work(self, interrupted: bool, known: apt_plan.Known, plan: list[apt_plan.Upgrade]) -> dict[str, Any]:
        before = self.apt.installed()
        with policy_rc_d.withholding(self._policy, self._log) as environment:
            try:
                if interrupted:
                    self.apt.complete(environment)
                    known, plan = self.plan()
                if plan:
                    self.apt.apply(plan, environment, self.given["allow_downgrade"])
            except AptError as error:
                raise UnfinishedError(str(error), moved(before, self.apt.installed())) from None
        return result(
            moved(before, self.apt.installed()), interrupted, known, self.given, policy_rc_d.collect(self._log)
        )


class UnfinishedError(AptError):
    """apt failed; ``upgraded`` are the packages that have another version."""

    def __init__(self, message: str, upgraded: list[dict[str, str]]) -> None:
        super().__init__(message)
        self.upgraded = upgraded


def moved(before: Mapping[str, apt_plan.Package], after: Mapping[str, apt_plan.Package]) -> list[dict[str, str]]:
    """Return the packages that are installed with another version than before."""
    earlier = {name: package.version for name, package in before.items()}
    return [
        {"name": name, "from": earlier.get(name, ""), "to": package.version}
        for name, package in sorted(after.items())
        if earlier.get(name) != package.version
    ]


def result(
    upgraded: list[dict[str, str]],
    completed: bool,
    known: apt_plan.Known,
    given: Mapping[str, Any],
    withheld: list[str],
) -> dict[str, Any]:
    """Return the module's result."""
    shown = {
        side: "".join(f"{step['name']} {step[side]}\n" for step in upgraded if step[side]) for side in ("from", "to")
    }
    return {
        "changed": bool(upgraded) or completed,
        "upgraded": upgraded,
        "completed": completed,
        "held": apt_plan.held(known),
        "unknown": apt_plan.unknown(known, given["versions"]),
        "withheld": withheld,
        "diff": {
            "before_header": "packages",
            "after_header": "packages",
            "before": shown["from"],
            "after": shown["to"],
        },
    }


@contextmanager
def only_one(lock: Path, timeout: float) -> Iterator[None]:
    """Hold the lock of this module; raises AptError."""
    deadline = time.monotonic() + timeout
    descriptor = safe_path.lock_file(lock)
    try:
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                raise AptError(
                    f"another packages_upgrade works on this host for {timeout:.0f} s; wait until it is done"
                )
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
