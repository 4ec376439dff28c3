# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is compared, and a difference that was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Deployed
from ansible_collections.holdfast.ha.plugins.module_utils.host_preflight import WARNING, Finding
from ansible_collections.holdfast.ha.plugins.plugin_utils.preflight import HostFinding
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import COMPONENTS

TAKE_BACK = "take the change back"
NO_ARCHIVING = "no_archiving"
BACKUP_REPOSITORY = "backup_repository"
BACKUP_RETENTION = "backup_retention"
UNITS = {part.name: (part.units[0], part.configuration) for part in COMPONENTS if part.configuration}
"""By component: the unit that is enabled where it is deployed, and the collection's file that the unit reads."""
REMOVE = "playbooks/remove_host.yml -e remove="
"""The verb that takes a host off its cluster, before the host's name."""
KINDS = (NO_ARCHIVING, BACKUP_REPOSITORY, BACKUP_RETENTION, *(f"{component}_members" for component in UNITS))


@dataclass(frozen=True)
class Host:
    """A host of the inventory: what the topology derived, its evaluated variables, and what is deployed.

    deployed is None for a host that was not examined: excluded by --limit, or unreachable. distribution is the version
    of PostgreSQL in its distribution, "" where it is not known.
    """

    name: str
    ha: Mapping[str, Any]
    variables: Mapping[str, Any] = field(default_factory=dict)
    deployed: Deployed | None = None
    distribution: str = ""


@dataclass(frozen=True)
class Difference:
    """A difference between the deployed and the declared state; word confirms it, None where nothing can."""

    host: str
    variable: str
    text: str
    fix: str
    word: str | None = None

    def finding(self, accepted: Sequence[str]) -> HostFinding:
        """Return the finding to report: an error, or a warning once it is confirmed."""
        if self.word in accepted:
            return HostFinding(self.host, Finding(self.variable, self.text, "confirmed", WARNING))
        fix = f"{self.fix}; if it is intended: -e preflight_accept={self.word}" if self.word else self.fix
        return HostFinding(self.host, Finding(self.variable, self.text, fix))


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, {} for any other value, which another check refuses."""
    return value if isinstance(value, Mapping) else {}
