# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Filter holdfast.ha.job_plan; documented in job_plan.yml."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.ha.plugins.plugin_utils.backup_jobs import Settings, plan
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.job_rules import VARIABLE
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import coerced, load_roles

COLLECTION = Path(__file__).resolve().parents[2]


def job_plan(jobs: Sequence[Mapping[str, Any]], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what declared jobs become, or refuse them."""
    options = load_roles(COLLECTION, [VARIABLE])[VARIABLE].options
    common = {key: coerced(value, options[f"{VARIABLE}_{key}"]) for key, value in settings["common"].items()}
    try:
        return plan(coerced(list(jobs), options[VARIABLE]), Settings.of({**settings, "common": common}))
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    """Offer the filter to Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"job_plan": job_plan}
