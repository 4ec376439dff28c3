# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""python3 -m lease_watcher CONFIG: watch the lease that the JSON file CONFIG describes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lease_watcher.core import Rules
from lease_watcher.fencing import Fencing
from lease_watcher.gateway import Access, Gateway
from lease_watcher.handover import Handover
from lease_watcher.presence import Presence
from lease_watcher.service import Watcher, run

PRESENCE_TIMEOUT = 0.6  # seconds: a later answer would be too late for a decision
HANDOVER_TIMEOUT = 1.0  # seconds: a member that answers later is not healthy enough


def build(config: dict[str, Any]) -> Watcher:
    """Return the watcher that a configuration describes; KeyError or TypeError names a missing key."""
    rules = Rules(**config["rules"])
    # etcd withholds its answers while it has no leader; the count begins with the first answer.
    gateway = Gateway(Access(**config["access"], timeout=rules.stall / 2), config["prefix"])
    presence = Presence(config["access"]["ca"], PRESENCE_TIMEOUT)
    handover = build_handover(config["handover"], config)
    return Watcher(gateway, rules, Fencing(**config["fencing"]), presence, handover)


def build_handover(wanted: Mapping[str, Any], config: Mapping[str, Any]) -> Handover:
    """Return what moves etcd's leadership, with a client for each of the endpoints."""
    clients = {
        endpoint: Gateway(
            Access(**{**config["access"], "endpoint": endpoint}, timeout=HANDOVER_TIMEOUT), config["prefix"]
        )
        for endpoint in wanted["endpoints"]
    }
    return Handover(clients, wanted["member"], wanted["after"])


def main() -> None:
    run(build(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
