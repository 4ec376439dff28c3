# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import deployed as sut


def info(code, message):
    return json.dumps([{"name": "lab", "repo": [{"key": 1, "status": {"code": code, "message": message}}]}])


@pytest.mark.parametrize(
    ("answer", "opened"),
    [
        (info(0, "ok"), True),
        (info(2, "no valid backups"), True),
        (info(1, "missing stanza path"), None),
        (info(99, "[FormatError] unable to load info file\x00 key/value found outside of section: \x01"), False),
        (info(99, "[CryptoError] cipher header invalid"), False),
        (info(99, "[HostConnectError] timeout"), None),
        ("", None),
        ("[]", None),
        ("[1]", None),
    ],
)
def test_a_passphrase_opens_a_repository(answer, opened):
    assert sut.opens(answer) is opened


BEGIN = "2026-11-29 01:00:00.000 P00   INFO: backup command begin 2.55.1: --exec-id=1-a"
END = "2026-11-29 01:00:09.000 P00   INFO: backup command end: completed successfully (9000ms)"
FAILED = "2026-11-29 01:00:09.000 P00   INFO: backup command end: aborted with exception [055]"


@pytest.mark.parametrize(
    ("lines", "backed_up"),
    [
        ([], False),
        ([f"{BEGIN} --repo1-path=/srv/repo --stanza=lab", "P00   INFO: full backup size = 30MB", END], True),
        ([f"{BEGIN} --repo1-path=/srv/repo --stanza=lab", FAILED], False),
        ([f"{BEGIN} --repo1-path=/srv/repo", FAILED, f"{BEGIN} --repo1-path=/srv/repository", END], False),
        ([f"{BEGIN} --repo=2 --repo1-path=/srv/repo --repo2-path=/srv/other", END], False),
        ([f"{BEGIN} --repo=2 --repo1-path=/srv/other --repo2-path=/srv/repo", END], True),
    ],
)
def test_a_log_tells_which_repository_had_a_backup(lines, backed_up):
    assert sut.backed_up_to("\n".join(lines), "/srv/repo") is backed_up


@pytest.mark.parametrize(
    ("answer", "empty"),
    [
        ('[{"name": "lab", "repo": [{"key": 1, "status": {"code": 1, "message": "missing stanza path"}}]}]', True),
        ('[{"name": "lab", "repo": [{"key": 1, "status": {"code": 2, "message": "no valid backups"}}]}]', False),
        ('[{"name": "lab", "repo": [{"key": 1, "status": {"code": 99, "message": "other"}}]}]', False),
        ("", False),
    ],
)
def test_a_repository_that_knows_nothing_of_the_stanza(answer, empty):
    assert sut.is_empty(answer) is empty


def test_where_backups_are_logged():
    assert sut.backup_log("[global]\nlog-path=/var/log/pgbackrest\n", "lab") == "/var/log/pgbackrest/lab-backup.log"
    assert sut.backup_log("", "lab") == ""


def test_parse_pgbackrest():
    text = """
# Managed by Ansible (holdfast.ha.pgbackrest)
[global]
tls-server-auth=db1=lab
tls-server-auth=db2=lab
repo1-path=/var/lib/pgbackrest
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=a "b" # % ; {c} = d
repo1-retention-full=2
repo1-retention-full-type=count
repo2-type=s3
repo2-path=/repo
repo2-s3-bucket=bucket
repo2-s3-endpoint=https://MinIO-a:9000
repo3-host=198.51.100.31
repo3-host-type=tls
[global:archive-push]
process-max=1
[lab]
pg1-path=/var/lib/postgresql/lab
"""
    found = sut.parse_pgbackrest(text)
    assert found is not None
    configuration, repositories = found
    places = ("/var/lib/pgbackrest", "s3:minio-a:9000:bucket:/repo")
    kept = {"/var/lib/pgbackrest": {"full": "2", "full-type": "count"}}
    assert configuration == sut.PgBackRest("lab", ("198.51.100.31",), places, kept)
    passphrase = 'a "b" # % ; {c} = d'
    assert repositories[0] == sut.Repository(places[0], "aes-256-cbc", passphrase, kept[places[0]])
    assert "{c}" not in repr(repositories)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"path": "/srv/repo"}, {"path": "/srv/repo/", "type": "posix"}, True),
        ({"path": "/srv/repo"}, {"path": "/srv/other"}, False),
        ({"s3-endpoint": "minio-a"}, {"s3-endpoint": "minio-b"}, False),
        ({"s3-endpoint": "minio-a"}, {"s3-endpoint": "https://Minio-A:443/"}, True),
        ({"s3-endpoint": "minio-a"}, {"s3-endpoint": "minio-a:9000"}, False),
        ({"s3-endpoint": "minio-a"}, {"s3-endpoint": "minio-a", "storage-port": "9000"}, False),
        ({"s3-endpoint": "a", "storage-host": "m"}, {"s3-endpoint": "a", "storage-host": "n"}, False),
        ({"s3-endpoint": "a", "s3-bucket": "b"}, {"s3-endpoint": "a", "s3-bucket": "c"}, False),
        ({"s3-endpoint": "a", "s3-region": "x"}, {"s3-endpoint": "a", "s3-region": "y"}, True),
        ({"sftp-host": "nas"}, {"sftp-host": "nas", "sftp-host-port": "22"}, True),
        ({"sftp-host": "nas"}, {"sftp-host": "nas", "sftp-host-port": "2222"}, False),
        ({"sftp-host": "nas"}, {"sftp-host": "nas2"}, False),
        ({"sftp-host": "2001:db8::1"}, {"sftp-host": "2001:db8::2"}, False),
    ],
)
def test_repositories_are_told_apart_by_server_and_path(one, other, same):
    both = [{"type": next(iter(item)).split("-")[0], "path": "/repo", **item} for item in (one, other)]
    places = [sut.place({**item, "type": item["type"].replace("path", "posix")}) for item in both]
    assert (places[0] == places[1]) is same, places


@pytest.mark.parametrize("text", ["", "[global]\nx=1\n", "no section\n", "[broken\n"])
def test_no_stanza(text):
    assert sut.parse_pgbackrest(text) is None


@pytest.mark.parametrize("config", [None, [], "x", {}, {"restapi": None}, {"restapi": {"connect_address": "a:b:c"}}])
def test_a_configuration_that_is_none_of_ours(config):
    assert sut.parse_patroni(config) is None


def test_parse_patroni():
    login = {kind: {"username": kind, "password": f"{kind} secret"} for kind in sut.AUTHENTICATION}
    config = {
        "scope": "lab",
        "namespace": "/service/",
        "name": "db1",
        "restapi": {"connect_address": "[2001:db8::1]:8008", "authentication": {"username": "u", "password": "r"}},
        "etcd3": {"username": "patroni", "password": 'e"', "hosts": ["[2001:db8::1]:2379", "db2:2379"]},
        "postgresql": {"connect_address": "[2001:db8::1]:5432", "data_dir": "/data", "authentication": login},
    }
    found = sut.parse_patroni(config)
    users = {kind: kind for kind in sut.AUTHENTICATION}
    stores = ("2001:db8::1", "db2")
    assert found == sut.Patroni("lab", "/service/", "db1", "2001:db8::1", 5432, 8008, "/data", users, stores)
    assert sut.parse_patroni({**config, "etcd3": {"hosts": "db1:2379, [::1]:2379"}}).stores == ("db1", "::1")
    assert sut.parse_patroni({**config, "etcd3": None}).stores == ()
    logins = {
        "postgresql_superuser": ("superuser", "superuser secret"),
        "postgresql_replication": ("replication", "replication secret"),
        "postgresql_rewind": ("rewind", "rewind secret"),
        "patroni_rest": ("u", "r"),
        "etcd_patroni": ("patroni", 'e"'),
    }
    assert sut.patroni_logins(config) == logins
    login["rewind"]["username"] = "rewind_next"
    assert sut.parse_patroni(config).users == users
    assert sut.patroni_logins(config) == logins | {"postgresql_rewind": ("rewind_next", "rewind secret")}


JOB = {"name": "x", "kind": "etcd_snapshot", "settings": {"username": "root_next", "password": "p"}}


@pytest.mark.parametrize(
    ("job", "found"),
    [
        (JOB, [("root_next", "p")]),
        # the passphrase of a job's own repository, and no login at all
        (JOB | {"kind": "files"}, []),
        (JOB | {"settings": {"username": "root", "password": ""}}, []),
        ([], []),
    ],
)
def test_a_snapshot_s_job_logs_in_to_etcd(job, found):
    assert sut.parse_stored("/etc/holdfast/jobs/x.json", json.dumps(job)) == found


@pytest.mark.parametrize(
    ("logins", "expected"),
    [
        ([("patroni", "new")], True),
        ([("patroni", "old")], False),
        ([("patroni_next", "new")], False),
        ([("pgbouncer", "new"), ("holdfast", "new")], True),
        ([("pgbouncer", "new"), ("holdfast", "old")], False),
    ],
)
def test_a_host_that_uses_a_stand_in_has_not_stored_the_secret(logins, expected):
    assert sut.is_stored("new", logins) is expected


def test_parse_files():
    assert sut.parse_version("17\n") == "17"
    assert sut.parse_version("root:x:0") == ""
    archiving = "a = 'b'\narchive_command = 'push ''x'' %p'\narchive_mode = 'on'\n#archive_library = 'x'\n"
    assert sut.parse_archiving(archiving) == {"archive_command": "push 'x' %p", "archive_mode": "on"}
    assert sut.parse_archiving("") == {}
    assert sut.parse_environment("# A=B\nETCD_NAME=db1\n\nX = y=z\n") == {"ETCD_NAME": "db1", "X": "y=z"}
    assert sut.parse_stored("users.txt", '"pgbouncer" "a""b"\n"holdfast" "c"\n') == [
        ("pgbouncer", 'a"b'),
        ("holdfast", "c"),
    ]
    watcher = '{"access": {"username": "w", "password": "p"}}'
    assert sut.parse_stored("watcher.json", watcher) == [("w", "p")]
    assert sut.parse_stored("watcher.json", "") == []
    assert sut.parse_job('{"name": "etcd", "settings": {"keep": 14, "password": "p"}}') == {"etcd": 14}
    assert sut.parse_job('{"name": "x", "settings": {"commands": []}}') == sut.parse_job("x") == {}


def test_what_was_deployed_comes_back_from_plain_data():
    found = sut.Deployed(
        pgbackrest=sut.PgBackRest("lab", (), ("/a",), {"/a": {"full": "2"}}),
        secrets={"etcd_root": sut.Verdict(None, True)},
        system="Debian 13",
    )
    assert sut.Deployed.load(json.loads(json.dumps(asdict(found)))) == found


def test_combined():
    assert sut.combined([None, True, False]) is False
    assert sut.combined([None, True]) is True
    assert sut.combined([None]) is None
