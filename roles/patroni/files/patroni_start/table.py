# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The amendments of Patroni. No two of a version replace the same target: the second would wrap the first."""

from __future__ import annotations

from patroni_start.amendment import KNOWN, Amendment, Versions
from patroni_start.connections import sending_at_once
from patroni_start.etcd_errors import tolerant
from patroni_start.handover import stopping
from patroni_start.leader_key import leaving_the_key
from patroni_start.permit import founding
from patroni_start.postmaster import attentive
from patroni_start.promotion import insistent
from patroni_start.quorum import electing
from patroni_start.rewind import removing

AMENDMENTS = (
    Amendment(
        "a returning leader does not overwrite its successor's leader key",
        (
            "patroni.dcs.etcd3:Etcd3Client.put",
            "patroni.dcs.etcd3:Etcd3._update_leader",
            "patroni.dcs.etcd3:base64_encode",
        ),
        leaving_the_key,
        versions=Versions(KNOWN.since, (3, 0, 3)),
    ),
    Amendment(
        "with quorum commit, voters confirm a candidate before it is promoted",
        (
            "patroni.ha:Ha.process_unhealthy_cluster",
            "patroni.ha:Ha.process_sync_replication_prepromote",
            "patroni.postgresql:Postgresql.follow(member, do_reload)",
            "patroni.ha:Ha.quorum_commit_mode_is_active",
            "patroni.ha:Ha.release_leader_key_voluntarily",
            "patroni.postgresql.config:ConfigHandler.check_recovery_conf(member)",
            "patroni.api:RestApiHandler.get_postgresql_status(retry)",
            "patroni.api:RestApiHandler._write_status_response",
            "patroni.dcs:SyncState.matches(check_leader)",
            "patroni.dcs:SyncState.leader_matches",
        ),
        electing,
        versions=Versions((4, 0), KNOWN.before),
    ),
    Amendment(
        "a member begins a cluster that etcd does not know only with a permit",
        (
            "patroni.ha:Ha.bootstrap",
            "patroni.ha:Ha.handle_starting_instance",
            "patroni.dcs.etcd3:Etcd3._cluster_from_nodes(nodes)",
            "patroni.api:RestApiHandler.get_postgresql_status(retry)",
            "patroni.dcs:Cluster.is_unlocked",
            "patroni.ha:Ha.is_paused",
            "patroni.postgresql:Postgresql.data_directory_empty",
            "patroni.postgresql:Postgresql.is_running",
        ),
        founding,
    ),
    Amendment(
        "a data directory that pg_rewind failed on is removed only while replication is synchronous",
        (
            "patroni.ha:Ha._handle_rewind_or_reinitialize",
            "patroni.postgresql.config:ConfigHandler.get",
            "patroni.ha:Ha.is_synchronous_mode",
        ),
        removing,
    ),
    Amendment(
        "transient errors of etcd are retried",
        ("patroni.dcs.etcd3:_raise_for_data",),
        lambda handle: {"patroni.dcs.etcd3:_raise_for_data": tolerant(handle)},
    ),
    Amendment(
        "the next cycle begins when the postmaster has died",
        ("patroni.ha:Ha.watch", "patroni.ha:Ha.wakeup"),
        lambda watch, _wakeup: {"patroni.ha:Ha.watch": attentive(watch)},
    ),
    Amendment(
        "a stop hands over as soon as a standby has the last record",
        (
            "patroni.postgresql:Postgresql.stop(on_shutdown)",
            "patroni.postgresql:Postgresql._wait_for_connection_close",
            "patroni.dcs:AbstractDCS.delete_leader",
            "patroni.postgresql:time",
            "patroni.ha:time",
        ),
        stopping,
    ),
    Amendment(
        "the signal to promote is repeated until PostgreSQL promotes",
        ("patroni.postgresql:Postgresql._wait_promote",),
        lambda wait: {"patroni.postgresql:Postgresql._wait_promote": insistent(wait)},
    ),
    Amendment(
        "requests to etcd and answers of the REST interface are sent at once",
        (
            "patroni.dcs.etcd3:Etcd3.set_socket_options",
            "patroni.api:RestApiHandler.disable_nagle_algorithm",
            "patroni.api:RestApiHandler.wbufsize",
        ),
        sending_at_once,
    ),
)
