# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patroni says that it sees etcd only while it can also renew its lease.

Patroni reads the cluster from a cache, which a watch of etcd keeps. An etcd member that has lost its peers keeps the
watch open, so a member beside it would say for ever that it has just seen etcd (C(dcs_last_seen)).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any


def noting(refresh: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's renewal of its lease (Etcd3._do_refresh_lease), which every cycle calls, with its time noted."""

    def refresh_and_note(etcd: Any, *args: Any, **kwargs: Any) -> Any:
        created = refresh(etcd, *args, **kwargs)
        etcd.lease_renewed = int(time.time())
        return created

    return refresh_and_note


def read_and_renewed(last_read: property) -> property:
    """Return the time of the earlier one: the last reading (AbstractDCS.last_seen) or the last renewal."""

    def last_seen(dcs: Any) -> int:
        return min(int(last_read.__get__(dcs)), getattr(dcs, "lease_renewed", 0))

    return property(last_seen)


def replacements(refresh: Any, last_read: Any) -> Mapping[str, Any]:
    """Return the replacements of the renewal and of what is told of it."""
    return {
        "patroni.dcs.etcd3:Etcd3._do_refresh_lease": noting(refresh),
        "patroni.dcs:AbstractDCS.last_seen": read_and_renewed(last_read),
    }
