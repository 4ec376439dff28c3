# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.directories import directory_findings

DATA = "/var/lib/postgresql/lab"
SNAPSHOTS = {"kind": "etcd_snapshot", "name": "etcd", "schedule": "daily"}
FILES = {"kind": "files", "name": "etc", "schedule": "daily", "paths": ["/etc"], "password": "p"}
REPOSITORY = "pgbackrest_repository_path"


@pytest.mark.parametrize(
    ("host", "variables", "expected"),
    [
        ("db1", {}, {}),
        ("backup1", {}, {}),
        ("lb1", {"pgbackrest_log_path": DATA}, {}),
        ("db1", {"backup_jobs": [SNAPSHOTS, {**SNAPSHOTS, "name": "more"}]}, {}),
        ("db1", {"backup_jobs": [{**SNAPSHOTS, "directory": "/var/lib/postgresql"}]}, {"backup_jobs[etcd]": DATA}),
        ("db1", {"backup_jobs": [{**FILES, "repository": f"local:{DATA}/x"}]}, {"backup_jobs[etc]": f"{DATA}/x"}),
        ("db1", {"backup_jobs": [{**FILES, "repository": "sftp:nas:/var/lib/postgresql"}]}, {}),
        ("db1", {"etcd_data_directory": DATA}, {"etcd_data_directory": DATA}),
        ("db1", {"etcd_data_directory": "/var/lib/postgresql"}, {"etcd_data_directory": "/var/lib/postgresql"}),
        ("db1", {"etcd_data_directory": "/var/lib/postgresql/lab2"}, {}),
        ("db1", {"etcd_settings": {"ETCD_DATA_DIR": DATA}}, {"etcd_settings.ETCD_DATA_DIR": DATA}),
        ("db1", {"etcd_settings": {"ETCD_WAL_DIR": f"{DATA}/wal"}}, {"etcd_settings.ETCD_WAL_DIR": f"{DATA}/wal"}),
        ("db1", {"etcd_settings": {"ETCD_DATA_DIR": "/srv/etcd", "ETCD_WAL_DIR": "/srv/etcd/wal"}}, {}),
        ("db1", {"pgbackrest_log_path": f"{DATA}/log"}, {"pgbackrest_log_path": f"{DATA}/log"}),
        ("db1", {"pgbackrest_spool_path": "/var/lib/etcd"}, {"pgbackrest_spool_path": "/var/lib/etcd"}),
        (
            "db1",
            {"pgbackrest_spool_path": "/var/lib/postgresql/spool", "pgbackrest_log_path": "/var/lib/postgresql"},
            {},
        ),
        ("backup1", {"pgbackrest_log_path": "/var/lib/pgbackrest/log"}, {}),
        ("backup1", {REPOSITORY: "/srv/r", "backup_jobs": [{**FILES, "repository": "/srv/r/restic"}]}, {}),
        (
            "backup1",
            {REPOSITORY: "/srv/r", "backup_jobs": [{**FILES, "repository": "/srv/r"}]},
            {"backup_jobs[etc]": "/srv/r"},
        ),
        (
            "backup1",
            {"pgbackrest_repositories": [{"path": "/srv/a/b"}], "backup_jobs": [{**FILES, "repository": "/srv/a"}]},
            {"backup_jobs[etc]": "pgbackrest_repositories[0].path"},
        ),
    ],
)
def test_directories_of_a_host_leave_each_other_alone(build_case, roles, host, variables, expected):
    ha = build_case({}).hosts[host]
    told = list(directory_findings(ha, roles["pgbackrest"].defaults | variables))
    assert [finding.check for finding in told] == list(expected), told
    for finding in told:
        assert expected[finding.check] in finding.value
