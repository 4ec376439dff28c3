# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The expensive readings of holdfast-metrics, in a process of their own, whose memory goes with it.

    python3 -m ansible_collections.holdfast.ha.plugins.module_utils.metrics_survey CONFIGURATION PART

PART is ``packages``, which asks apt, or ``host``, which looks at processes and files. Prints the samples (see
metrics_text.dump).
"""

# A program that runs without Ansible.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.module_utils import (
    apt_plan,
    certificate_x509,
    managed_files,
    protection,
    safe_path,
    service_age,
)
from ansible_collections.holdfast.ha.plugins.module_utils.apt_host import Apt, AptError
from ansible_collections.holdfast.ha.plugins.module_utils.metrics_settings import ERRORS, Settings, load, run
from ansible_collections.holdfast.ha.plugins.module_utils.metrics_text import Readings, Sample, dump, labelled, take

KINDS = {certificate_x509.AUTHORITIES: "authority"}
"""The kinds of certificates by file; others are called as their file."""


def waiting(settings: Settings) -> list[Sample]:
    """Return how many packages of the stack have an upgrade."""
    apt = Apt(run)
    plan = apt.plans(apt.look(), [apt_plan.STACK], settings.packages, {}, False)[apt_plan.STACK]
    upgrades = [step for step in plan if step.installed]
    safer = sum(step.security for step in upgrades)
    return [Sample("packages_waiting", len(upgrades)), Sample("packages_waiting_security", safer)]


def protected(settings: Settings) -> list[Sample]:
    """Return whether other upgrades leave the stack alone."""
    return [Sample("protection", protection.look(settings.packages, settings.protected, run).is_complete)]


def due(settings: Settings) -> list[Sample]:
    """Return which units and whether the host run with something outdated."""
    found = service_age.look(settings.units, Apt(run).installed(), run)
    units = {service.unit: bool(reasons) for service, reasons in found}
    reboot = service_age.reboot(platform.release()).required
    return [*labelled("unit_needs_restart", "unit", units), Sample("reboot_required", reboot)]


def certificates(directory: Path) -> list[Sample]:
    """Return when the certificates in a directory expire; raises ValueError for a damaged one."""
    ends = {
        KINDS.get(path.name, path.stem): certificate_x509.end_of(path, safe_path.read)
        for path in sorted(directory.glob("*.crt"))
    }
    return labelled("certificate_end_timestamp_seconds", "kind", ends)


def drift() -> Iterable[Sample]:
    """Return how many files differ from what the last run wrote; nothing before the first record."""
    known = managed_files.load()
    return [Sample("drift_files", len(managed_files.differing(known, safe_path.read)))] if known else []


def readings(settings: Settings) -> Mapping[str, Readings]:
    """Return the readings by part."""
    return {
        "packages": {"packages": partial(waiting, settings), "protection": partial(protected, settings)},
        "host": {
            "restarts": partial(due, settings),
            "certificates": partial(certificates, Path(settings.tls_directory)),
            "drift": drift,
        },
    }


def main(arguments: Sequence[str]) -> int:
    """Print the samples of a part."""
    configuration, part = arguments
    errors = (*ERRORS, AptError, apt_plan.RefusedError)
    sys.stdout.write(dump(take(readings(load(configuration))[part], errors)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
