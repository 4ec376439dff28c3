# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary changes its synchronous standbys only if it held the leader key when it read /sync.

A primary that takes the free key again reads the cluster afterwards. If it was frozen in between for longer than its
lease, it reads what its successor has made of /sync, and a comparison of its revision does not stop it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

LOG = logging.getLogger(__name__)


def holding_key(process: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's change of the synchronous standbys (Ha.process_sync_replication), left out without the key.

    The key and /sync are from one reading of etcd, whose changes come in their order.
    """

    def process_with_key(ha: Any) -> Any:
        if ha.has_lock(info=False):
            return process(ha)
        LOG.warning("The synchronous standbys stay as they are: another member has taken the leader key")
        return None

    return process_with_key


def replacements(process: Any, *_used: Any) -> Mapping[str, Any]:
    """Return the replacement of holding_key()."""
    return {"patroni.ha:Ha.process_sync_replication": holding_key(process)}
