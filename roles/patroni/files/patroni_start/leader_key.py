# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A leader whose lease is gone doesn't overwrite its successor's leader key.

Before 3.0.3 a leader writes the key again when its lease is gone at renewal, whoever holds the key by then. One that
was frozen would lead again, and what its successor acknowledged would be lost.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any


def respecting_successor(
    put: Callable[..., Any], update_leader: Callable[..., Any], encode: Callable[[str], str]
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return Patroni's Etcd3Client.put and Etcd3._update_leader, which don't overwrite another's leader key.

    Args:
        encode: encodes text in base 64, as etcd's gateway expects it.
    """
    thread = threading.local()

    def put_unless_taken(client: Any, key: str, value: str, *args: Any, **kwargs: Any) -> Any:
        lease = args[0] if args else kwargs.get("lease")
        is_compared = len(args) > 1 or "create_revision" in kwargs or "mod_revision" in kwargs
        if is_compared or not lease or not key.endswith("/leader"):
            return put(client, key, value, *args, **kwargs)
        retry = kwargs.get("retry")
        fields = {"key": encode(key), "value": encode(value), "lease": lease}
        is_own = {"key": fields["key"], "target": "VALUE", "value": fields["value"]}
        written = client.txn(is_own, {"request_put": fields}, retry)
        thread.taken = not (written or put(client, key, value, lease, create_revision=0, retry=retry))
        return not thread.taken

    def update_unless_taken(etcd: Any, *args: Any) -> bool:
        thread.taken = False
        return bool(update_leader(etcd, *args)) and not thread.taken

    return put_unless_taken, update_unless_taken


def replacements(put: Any, update_leader: Any, encode: Any, *_used: Any) -> Mapping[str, Any]:
    """Return the replacements of respecting_successor()."""
    put, update_leader = respecting_successor(put, update_leader, encode)
    return {"patroni.dcs.etcd3:Etcd3Client.put": put, "patroni.dcs.etcd3:Etcd3._update_leader": update_leader}
