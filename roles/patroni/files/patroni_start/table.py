# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The amendments of Patroni. No two of a version replace the same target: the second would wrap the first."""

from __future__ import annotations

from patroni_start import (
    authorities,
    candidacy,
    connections,
    etcd_errors,
    handover,
    holding,
    last_seen,
    leader_key,
    metrics,
    narrowing,
    permit,
    postmaster,
    promotion,
    quorum,
    rewind,
)
from patroni_start.amendment import KNOWN, Amendment, Versions

QUORUM_COMMIT = Versions((4, 0), KNOWN.before)

AMENDMENTS = (
    Amendment(
        "a returning leader does not overwrite its successor's leader key",
        (
            "patroni.dcs.etcd3:Etcd3Client.put",
            "patroni.dcs.etcd3:Etcd3._update_leader",
            "patroni.dcs.etcd3:base64_encode",
            "patroni.dcs.etcd3:Etcd3Client.txn",
        ),
        leader_key.replacements,
        versions=Versions(KNOWN.since, (3, 0, 3)),
    ),
    Amendment(
        "a candidate is promoted only when it is sure to have every commit",
        (
            "patroni.ha:Ha.process_unhealthy_cluster",
            "patroni.ha:Ha.process_sync_replication_prepromote",
            "patroni.postgresql:Postgresql.follow(member, do_reload)",
            "patroni.ha:Ha.is_synchronous_mode",
            "patroni.ha:Ha.is_quorum_commit_mode",
            "patroni.ha:Ha.quorum_commit_mode_is_active",
            "patroni.ha:Ha.release_leader_key_voluntarily",
            "patroni.dcs:AbstractDCS.write_sync_state(leader, sync_standby, quorum, version)",
            "patroni.postgresql:Postgresql.role",
            "patroni.postgresql.config:ConfigHandler.check_recovery_conf(member)",
            "patroni.api:RestApiHandler.get_postgresql_status(retry)",
            "patroni.api:RestApiHandler._write_status_response",
            "patroni.dcs:SyncState.matches(check_leader)",
            "patroni.dcs:SyncState.leader_matches",
            "patroni.dcs:SyncState.leader",
            "patroni.dcs:SyncState.sync_standby",
            "patroni.dcs:SyncState.voters",
            "patroni.dcs:SyncState.quorum",
            "patroni.dcs:SyncState.version",
            "patroni.dcs:Failover.candidate",
            "patroni.dcs:Cluster.get_member(fallback_to_leader)",
            "patroni.dcs:Member.conn_kwargs",
            "patroni.dcs:Member.api_url",
            "patroni.request:PatroniRequest.__call__(member, endpoint)",
            "patroni.ha:Ha.is_paused",
            "patroni.ha:Ha.is_standby_cluster",
            "patroni.ha:Ha.wakeup",
            "patroni.postgresql:Postgresql.is_primary",
            "patroni.postgresql:Postgresql.query(sql)",
            "patroni.api:RestApiHandler.query(sql)",
        ),
        quorum.replacements,
        versions=QUORUM_COMMIT,
    ),
    Amendment(
        "a candidate that is not synchronous any more gives the leader key back",
        (
            "patroni.ha:Ha.process_unhealthy_cluster",
            "patroni.ha:Ha.enforce_primary_role(message, promote_message)",
            "patroni.ha:Ha.is_synchronous_mode",
            "patroni.ha:Ha.is_paused",
            "patroni.ha:Ha.is_standby_cluster",
            "patroni.ha:Ha.release_leader_key_voluntarily",
            "patroni.postgresql:Postgresql.role",
            "patroni.postgresql:Postgresql.is_running",
            "patroni.dcs:SyncState.leader",
            "patroni.dcs:SyncState.sync_standby",
            "patroni.dcs:Failover.candidate",
        ),
        candidacy.replacements,
        versions=Versions(KNOWN.since, QUORUM_COMMIT.since),
    ),
    Amendment(
        "a primary changes its synchronous standbys only with the leader key",
        ("patroni.ha:Ha.process_sync_replication", "patroni.ha:Ha.has_lock(info)"),
        holding.replacements,
    ),
    Amendment(
        "with quorum commit, /sync is narrowed only to standbys that have every commit",
        (
            "patroni.ha:Ha._process_quorum_replication",
            "patroni.quorum:QuorumStateResolver.__iter__",
            "patroni.quorum:QuorumStateResolver(leader, quorum, voters, numsync, sync)",
            "patroni.quorum:Transition.transition_type",
            "patroni.quorum:Transition.leader",
            "patroni.quorum:Transition.num",
            "patroni.quorum:Transition.names",
            "patroni.postgresql:Postgresql.synchronous_standby_names",
            "patroni.postgresql:Postgresql.last_operation",
            "patroni.postgresql:Postgresql.pg_stat_replication",
            "patroni.ha:Ha.wakeup",
        ),
        narrowing.replacements,
        versions=QUORUM_COMMIT,
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
        permit.replacements,
    ),
    Amendment(
        "a data directory that pg_rewind failed on is removed only while replication is synchronous",
        (
            "patroni.ha:Ha._handle_rewind_or_reinitialize",
            "patroni.postgresql.config:ConfigHandler.get(key)",
            "patroni.ha:Ha.is_synchronous_mode",
        ),
        rewind.replacements,
    ),
    Amendment(
        "transient errors of etcd are retried",
        ("patroni.dcs.etcd3:_raise_for_data(data)",),
        etcd_errors.replacements,
    ),
    Amendment(
        "the next cycle begins when the postmaster has died",
        ("patroni.ha:Ha.watch(timeout)", "patroni.ha:Ha.wakeup", "patroni.ha:Ha.is_paused"),
        postmaster.replacements,
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
        handover.replacements,
    ),
    Amendment(
        "the signal to promote is repeated until PostgreSQL promotes",
        ("patroni.postgresql:Postgresql._wait_promote(wait_seconds)",),
        promotion.replacements,
    ),
    Amendment(
        "requests to etcd and answers of the REST interface are sent at once",
        (
            "patroni.dcs.etcd3:Etcd3.set_socket_options(sock)",
            "patroni.api:RestApiHandler.disable_nagle_algorithm",
            "patroni.api:RestApiHandler.wbufsize",
        ),
        connections.replacements,
    ),
    Amendment(
        "metrics are only for clients with a certificate",
        ("patroni.api:RestApiHandler.do_GET_metrics",),
        metrics.replacements,
    ),
    Amendment(
        "etcd is seen only while the lease can be renewed",
        ("patroni.dcs.etcd3:Etcd3._do_refresh_lease", "patroni.dcs:AbstractDCS.last_seen"),
        last_seen.replacements,
    ),
    Amendment(
        "a reload makes the REST interface read the authorities again",
        (
            "patroni.api:RestApiServer.get_certificate_serial_number",
            "patroni.api:RestApiServer.reload_local_certificate",
        ),
        authorities.replacements,
    ),
)
