#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_jobs_info
short_description: Report the last runs of a host's scheduled backup jobs
version_added: 1.0.0
description:
  - Reports the jobs of the role holdfast.ha.backup_jobs, pgBackRest's scheduled backups and the restore verification.
  - Every job has a timer in C(/etc/systemd/system). Its last run is read from the record that the role
    holdfast.ha.job_record's recorder wrote.
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.ha.pgbackrest.reads
options:
  names:
    description: Names of declared jobs, which are reported even where they have no timer.
    type: list
    elements: str
    default: []
  records:
    description: Directory of the records.
    type: path
    default: /var/lib/holdfast/jobs
"""

EXAMPLES = r"""
- name: Look at the jobs
  holdfast.ha.backup_jobs_info:
    names: [etc]
"""

RETURN = r"""
jobs:
  description: The jobs by name.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Name of the job., type: str}
    unit: {description: Its timer., type: str}
    scheduled: {description: Whether the timer runs., type: bool}
    running: {description: "Whether the job runs, or waits for its next attempt.", type: bool}
    age: {description: "Seconds since the last run ended, null when there was none.", type: int}
    success_age:
      description:
        - Seconds since the last success, or since the timer was started if that is later; null when neither is known.
      type: int
    allowed:
      description:
        - The greatest C(success_age) that the schedule allows, in seconds; null when the schedule has fewer than two
          runs.
      type: int
    record:
      description:
        - The last run, null when there was none. Times are seconds since the epoch.
        - C(result) is systemd's service result, C(exit_status) a number or a signal's name, C(attempt) 1, or more for a
          retry.
      type: dict
      sample:
        job: etc
        unit: holdfast-job-etc.service
        started: 1767582000.1
        finished: 1767582021.3
        seconds: 21.2
        result: success
        exit_status: "0"
        attempt: 1
        consecutive_failures: 0
        last_success: 1767582021.3
"""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.job_record import Record, job_of, read_record
from ansible_collections.holdfast.ha.plugins.module_utils.job_schedule import (
    CALENDAR_ENVIRONMENT,
    PATTERNS,
    RUNNING,
    SERVICE_PROPERTIES,
    TIMER_PROPERTIES,
    Timer,
    allowed_age,
    calendar_command,
    counts_from,
    longest_gap,
    parse_blocks,
    parse_timer,
)

UNITS = Path("/etc/systemd/system")


def timers_of(names: list[str], directory: Path = UNITS) -> list[str]:
    """Return the jobs' existing timers, and those that the declared jobs should have."""
    there = {path.name for pattern in PATTERNS for path in directory.glob(pattern)}
    return sorted(there | {f"holdfast-job-{name}.timer" for name in names})


def describe(
    unit: str, timer: Timer, service: Mapping[str, str], record: Record | None, gap: float | None
) -> dict[str, Any]:
    """Return the report of one job."""
    now = time.time()
    since = counts_from(timer, record.last_success if record else None)
    return {
        "name": job_of(unit),
        "unit": unit,
        "scheduled": timer.active_since is not None,
        "running": service.get("ActiveState") in RUNNING,
        "age": max(0, round(now - record.finished)) if record else None,
        "success_age": max(0, round(now - since)) if since else None,
        "allowed": allowed_age(timer, gap, record.seconds if record else 0.0),
        "record": asdict(record) if record else None,
    }


class Host:
    """Asks systemd."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module

    def show(self, units: list[str], properties: tuple[str, ...]) -> dict[str, dict[str, str]]:
        """Return the units' properties."""
        command = ["systemctl", "show", "--timestamp=us+utc", f"--property={','.join(properties)}", *units]
        return parse_blocks(self.module.run_command(command)[1])

    def gap(self, timer: Timer) -> float | None:
        """Return the longest time between two runs of a timer."""
        if not timer.calendars:
            return None
        return longest_gap(self.module.run_command(calendar_command(timer), environ_update=CALENDAR_ENVIRONMENT)[1])


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "default": []},
            "records": {"type": "path", "default": "/var/lib/holdfast/jobs"},
        },
        supports_check_mode=True,
    )
    host = Host(module)
    units = timers_of(module.params["names"])
    service_of = {unit: f"{unit.removesuffix('.timer')}.service" for unit in units}
    shown = host.show(units, TIMER_PROPERTIES) if units else {}
    services = host.show(list(service_of.values()), SERVICE_PROPERTIES) if units else {}
    jobs = []
    for unit in units:
        timer = parse_timer(shown.get(unit, {}))
        record = read_record(Path(module.params["records"]) / f"{job_of(unit)}.json")
        jobs.append(describe(unit, timer, services.get(service_of[unit], {}), record, host.gap(timer)))
    module.exit_json(changed=False, jobs=jobs)


if __name__ == "__main__":
    main()
