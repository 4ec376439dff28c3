# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From whom a standby receives WAL, and how it stops receiving from a former primary."""

from __future__ import annotations

import logging
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from patroni_start.processes import children_of, postmaster_of, wait_for_end

LOG = logging.getLogger(__name__)
WALRECEIVER = re.compile(r"postgres: (?:[^:]*: )?walreceiver(?:[\s\0].*)?", re.DOTALL)
DETACHING_SECONDS = 0.05  # after which a walreceiver that PostgreSQL itself did not end gets SIGTERM
UNKNOWN_UPSTREAM = "?"
UPSTREAMS = """SELECT pg_catalog.current_setting('primary_conninfo'),
 (SELECT conninfo FROM pg_catalog.pg_stat_get_wal_receiver())"""


def upstream_of(conninfo: str) -> str:
    """Return host:port of a connection string as Patroni or a walreceiver writes it, "" without a host."""
    host, port = (re.search(rf"(?:^|\s){name}='?([^\s']+)", conninfo) for name in ("host", "port"))
    return f"{host[1]}:{port[1] if port else 5432}" if host else ""


def upstreams(query: Callable[..., Any], data_directory: Path) -> list[str]:
    """Return from whom (host:port) a standby receives WAL, or may in a moment; UNKNOWN_UPSTREAM when that is unknown.

    A walreceiver that still connects is a process, but not in PostgreSQL's view.
    """
    running = any(children_of(postmaster_of(data_directory), WALRECEIVER))
    configured, streaming = query(UPSTREAMS)[0]
    found = {upstream_of(configured or "")}
    if running or streaming:
        found.add(upstream_of(streaming or "") or UNKNOWN_UPSTREAM)
    return sorted(found - {""})


def detaching(follow: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's change of the upstream (Postgresql.follow), which ends the walreceiver of the former one.

    PostgreSQL ends the walreceiver itself when it waits for WAL. While it replays what it has, or a query keeps it from
    that (max_standby_streaming_delay, a paused replay), the walreceiver goes on acknowledging.
    """

    def follow_and_detach(postgresql: Any, member: Any, *args: Any, do_reload: bool = False, **kwargs: Any) -> Any:
        data_directory = Path(postgresql.data_dir)
        receiving = list(children_of(postmaster_of(data_directory), WALRECEIVER)) if do_reload else []
        former = former_upstreams(postgresql, data_directory) if receiving else []
        done = follow(postgresql, member, *args, do_reload=do_reload, **kwargs)
        if former != [address_of(member)]:
            for pid in receiving:
                end_walreceiver(pid)
        return done

    return follow_and_detach


def former_upstreams(postgresql: Any, data_directory: Path) -> list[str]:
    """Return a standby's upstreams before a change of them."""
    try:
        return upstreams(postgresql.query, data_directory)
    except Exception:  # an unknown upstream may be the former primary
        LOG.warning("The walreceiver's upstream is unknown", exc_info=True)
        return [UNKNOWN_UPSTREAM]


def address_of(member: Any) -> str:
    """Return a member's PostgreSQL as host:port, "" without one."""
    connection = member.conn_kwargs() if member else {}
    return f"{connection['host']}:{connection.get('port') or 5432}" if connection.get("host") else ""


def end_walreceiver(pid: int) -> None:
    """End a walreceiver with SIGTERM, unless it ends by itself after a moment."""
    try:
        if wait_for_end(pid, DETACHING_SECONDS):
            return
        descriptor = os.pidfd_open(pid)
        try:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        finally:
            os.close(descriptor)
        LOG.info("The walreceiver %s got SIGTERM: PostgreSQL did not end it", pid)
    except ProcessLookupError:
        return
    except OSError:
        LOG.exception("The walreceiver %s could not be ended", pid)
