# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member begins a cluster that etcd doesn't know only with a permit.

A member without data needs a permit for a new cluster, which a run gives when no member has data. A member with data
needs one that names it. Otherwise, when etcd has lost its data, an empty cluster would refuse the members that have the
data, or the member that starts first would lead, whatever the others have more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

PERMIT = "holdfast_permit"  # a key below the cluster's prefix, as patroni_config writes it
NOT_PERMITTED = (
    "waiting for site.yml to permit a new cluster: etcd knows none, and another member could have data "
    "(etcd_lost.yml lets a cluster go on with its own)"
)
NOT_NAMED = (
    "waiting for etcd_lost.yml to name the member that goes on with its data: etcd knows no cluster, and another "
    "could have more of it"
)
NEW_CLUSTER = ""  # a permit's value; otherwise it is a member's name
EMPTY = "empty"


class Founding:
    """The permit as Patroni last read it from etcd.

    It lies beside the cluster's own keys: whatever loses these loses it too. It expires.
    """

    def __init__(self) -> None:
        self._permit: str | None = None

    def noting(self, read: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's reading of etcd's keys (Etcd3._cluster_from_nodes), which notes the permit."""

        def note_and_read(etcd: Any, nodes: Mapping[str, Any]) -> Any:
            permit = nodes.get(PERMIT)
            self._permit = None if permit is None else permit.get("value") or NEW_CLUSTER
            return read(etcd, nodes)

        return note_and_read

    def limiting(self, bootstrap: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's start from an empty data directory (Ha.bootstrap), which waits for the permit."""

        def bootstrap_when_permitted(ha: Any) -> Any:
            if is_unknown(ha.cluster) and self._permit != NEW_CLUSTER:
                return NOT_PERMITTED
            return bootstrap(ha)

        return bootstrap_when_permitted

    def holding(self, handle: Callable[..., Any]) -> Callable[..., Any]:
        """Return Patroni's step before it checks the data directory (Ha.handle_starting_instance).

        It ends the cycle of a member with data that is not named. A running primary needs no permit: it has every row
        that it acknowledges.
        """

        def handle_and_hold(ha: Any) -> Any:
            message = handle(ha)
            if message is not None or not is_unknown(ha.cluster) or self._permit == ha.state_handler.name:
                return message
            return NOT_NAMED if has_data_at_rest(ha) else None

        return handle_and_hold


def is_unknown(cluster: Any) -> bool:
    """Whether etcd has neither the leader nor the identifier of a cluster."""
    return cluster.is_unlocked() and cluster.initialize is None


def has_data_at_rest(ha: Any) -> bool:
    """Whether a member has data, is no running primary and creates none, and the cluster isn't paused."""
    postgresql = ha.state_handler
    if ha.is_paused() or postgresql.bootstrapping:
        return False
    try:
        return not postgresql.data_directory_empty() and not runs_as_primary(postgresql)
    except OSError:  # Patroni reports that it can't be read
        return False


def runs_as_primary(postgresql: Any) -> bool:
    """Whether PostgreSQL is a running primary; Patroni 3 has another name for is_primary."""
    is_primary = getattr(postgresql, "is_primary", None) or postgresql.is_leader
    return bool(postgresql.is_running() and is_primary())


def reporting_emptiness(status: Callable[..., Any]) -> Callable[..., Any]:
    """Return the REST interface's status (get_postgresql_status), which says whether a member has no data."""

    def with_emptiness(handler: Any, *args: Any, **kwargs: Any) -> Any:
        found = status(handler, *args, **kwargs)
        if (found.get("state"), found.get("role")) == ("stopped", "uninitialized"):
            found[EMPTY] = is_empty(handler.server.patroni.postgresql)
        return found

    return with_emptiness


def is_empty(postgresql: Any) -> bool:
    """Whether there is no data; a directory that can't be read may hold some."""
    try:
        return bool(postgresql.data_directory_empty())
    except OSError:
        return False


def replacements(bootstrap: Any, handle: Any, read: Any, status: Any, *_used: Any) -> Mapping[str, Any]:
    """Return the replacements that make a member wait for the permit."""
    permit = Founding()
    return {
        "patroni.ha:Ha.bootstrap": permit.limiting(bootstrap),
        "patroni.ha:Ha.handle_starting_instance": permit.holding(handle),
        "patroni.dcs.etcd3:Etcd3._cluster_from_nodes": permit.noting(read),
        "patroni.api:RestApiHandler.get_postgresql_status": reporting_emptiness(status),
    }
