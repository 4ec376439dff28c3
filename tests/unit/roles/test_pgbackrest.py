# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pgBackRest's configuration on each kind of host, with one repository and with several."""

from __future__ import annotations

import configparser
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest_cli import KEEPS_MEMORY

from tests.unit.roles.render import render

INPUTS: dict[str, Any] = {
    "pgbackrest_stanza": "lab",
    "pgbackrest_repository": {"name": "backup1", "address": "192.0.2.31"},
    "pgbackrest_databases": [{"name": f"db{at}", "address": f"192.0.2.1{at}", "port": 5432} for at in (1, 2)],
    "pgbackrest_data_directory": "/var/lib/postgresql/17/lab",
    "pgbackrest_cipher_pass": "of the first",
    "pgbackrest_version": "2.55.1",
    "pgbackrest__installed": {"processors": 4},
}
S3 = {
    "type": "s3",
    "path": "/lab",
    "cipher_pass": "of the bucket",
    "s3_bucket": "backups",
    "s3_endpoint": "s3.example.com:9000",
    "s3_region": "eu",
    "s3_key": "key",
    "s3_key_secret": "its secret",
    "retention_full": 9,
    "options": {"storage-upload-chunk-size": "8MiB"},
}
SFTP = {
    "type": "sftp",
    "path": "/srv/lab",
    "cipher_pass": "of the vault",
    "sftp_host": "192.0.2.41",
    "sftp_user": "pgbackrest",
    "sftp_private_key": "-----BEGIN",
    "sftp_host_fingerprint": "ab" * 32,
}
THREE = {"pgbackrest_repositories": [{}, S3, SFTP]}
HOSTS = {"backup1": ["repository"], "db1": ["database"]}


def inputs(host: str, **changes: Any) -> dict[str, Any]:
    return {**INPUTS, "pgbackrest_name": host, "pgbackrest_kinds": HOSTS[host], **changes}


def options(host: str, number: int, **changes: Any) -> dict[str, str]:
    """What a host is told of one repository."""
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(render("pgbackrest", "pgbackrest.conf.j2", inputs(host, **changes)))
    start = f"repo{number}-"
    return {name.removeprefix(start): value for name, value in parser["global"].items() if name.startswith(start)}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("version", ["2.45", "2.55.1"])
@pytest.mark.parametrize("template", ["pgbackrest.conf.j2", "pgbackrest-backup@.service.j2"])
def test_one_plain_repository_is_as_without_a_list(host: str, version: str, template: str) -> None:
    alone = render("pgbackrest", template, inputs(host, pgbackrest_version=version))
    listed = inputs(host, pgbackrest_version=version, pgbackrest_repositories=[{"type": "posix"}])
    assert render("pgbackrest", template, listed) == alone


def test_the_repository_host_has_the_directory_and_the_database_hosts_go_through_it() -> None:
    assert options("backup1", 1, **THREE) == {
        "path": "/var/lib/pgbackrest",
        "cipher-type": "aes-256-cbc",
        "cipher-pass": "of the first",
        "bundle": "y",
        "block": "y",
        "retention-full-type": "count",
        "retention-full": "2",
        "retention-diff": "7",
    }
    through = options("db1", 1, **THREE)
    assert through.pop("host") == "192.0.2.31"
    assert set(through) == {"host-type", "host-port", "host-ca-file", "host-cert-file", "host-key-file"}


def test_all_hosts_reach_a_bucket_themselves() -> None:
    reached = options("db1", 2, **THREE)
    assert reached == {
        "type": "s3",
        "path": "/lab",
        "cipher-type": "aes-256-cbc",
        "cipher-pass": "of the bucket",
        "s3-bucket": "backups",
        "s3-endpoint": "s3.example.com:9000",
        "s3-region": "eu",
        "s3-uri-style": "host",
        "s3-key-type": "shared",
        "s3-key": "key",
        "s3-key-secret": "its secret",
        "storage-upload-chunk-size": "8MiB",
    }
    kept = {"bundle": "y", "block": "y", "retention-full-type": "count", "retention-full": "9", "retention-diff": "7"}
    assert options("backup1", 2, **THREE) == reached | kept


def test_all_hosts_reach_a_directory_by_ssh_themselves() -> None:
    reached = options("db1", 3, **THREE)
    assert reached == {
        "type": "sftp",
        "path": "/srv/lab",
        "cipher-type": "aes-256-cbc",
        "cipher-pass": "of the vault",
        "sftp-host": "192.0.2.41",
        "sftp-host-port": "22",
        "sftp-host-user": "pgbackrest",
        "sftp-private-key-file": "/etc/pgbackrest-repo3.key",
        "sftp-host-key-hash-type": "sha256",
        "sftp-host-key-check-type": "fingerprint",
        "sftp-host-fingerprint": "ab" * 32,
    }
    assert reached.items() < options("backup1", 3, **THREE).items()


@pytest.mark.parametrize(
    ("repository", "changed"),
    [
        ({**S3, "s3_key_type": "auto"}, {"s3-key-type": "auto", "s3-key": None, "s3-key-secret": None}),
        ({**S3, "s3_uri_style": "path", "storage_ca_file": "/ca"}, {"s3-uri-style": "path", "storage-ca-file": "/ca"}),
        ({**S3, "storage_verify_tls": False, "cipher_type": "none"}, {"storage-verify-tls": "n", "cipher-pass": None}),
        ({**SFTP, "sftp_private_key_file": "/key", "sftp_port": 2222},
         {"sftp-private-key-file": "/key", "sftp-host-port": "2222"}),
        ({**SFTP, "sftp_host_key_check": "strict", "sftp_known_hosts_file": "/known"},
         {"sftp-host-key-check-type": "strict", "sftp-host-fingerprint": None, "sftp-known-host": "/known"}),
    ],
)  # fmt: skip
def test_what_is_chosen_is_told(repository: dict[str, Any], changed: dict[str, str | None]) -> None:
    told = options("db1", 1, pgbackrest_repositories=[repository])
    assert {name: told.get(name) for name in changed} == changed


def test_no_passphrase_of_the_first_is_used_where_database_hosts_know_it() -> None:
    bare = {key: value for key, value in S3.items() if key != "cipher_pass"}
    with pytest.raises(Exception, match="cipher_pass"):
        options("db1", 1, pgbackrest_repositories=[bare])


@pytest.mark.parametrize(
    ("version", "repositories", "command"),
    [
        ("2.55.1", [], "/usr/bin/pgbackrest --stanza=lab --type=%i --log-level-console=info backup"),
        ("2.55.1", [{}, S3], "/usr/local/lib/holdfast/pgbackrest-each lab %i 1 2"),
        ("2.45", [{}, S3], "/usr/local/lib/holdfast/pgbackrest-each lab %i 1 2"),
    ],
)
def test_a_scheduled_backup_goes_to_each(version: str, repositories: list[Any], command: str) -> None:
    changes = {"pgbackrest_version": version, "pgbackrest_repositories": repositories}
    lines = render("pgbackrest", "pgbackrest-backup@.service.j2", inputs("backup1", **changes)).splitlines()
    assert f"ExecStart={command}" in lines
    assert ("Restart=on-failure" in lines) == (not repositories)
    assert ("Environment=HOLDFAST_TRY_STANDBY=1" in lines) == (version == "2.45")


def test_the_processes_and_the_queue_are_the_plan_s() -> None:
    changes = {
        "pgbackrest_archive_push_queue_max": "60%",
        "pgbackrest__installed": {"processors": 3, "volume_size": 2**30},
    }
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(render("pgbackrest", "pgbackrest.conf.j2", inputs("db1", **changes)))
    sections = ("global", "global:archive-push", "global:archive-get", "global:restore")
    assert [parser[section]["process-max"] for section in sections] == ["2", "1", "1", "3"]
    assert parser["global"]["archive-push-queue-max"] == "614MiB"
    assert "archive-push-queue-max" not in render("pgbackrest", "pgbackrest.conf.j2", inputs("db1"))


@pytest.mark.parametrize(("given", "told"), [({}, "256KiB"), ({"buffer-size": "4MiB"}, "4MiB")])
def test_a_restore_has_small_buffers_unless_told_otherwise(given: dict[str, str], told: str) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(render("pgbackrest", "pgbackrest.conf.j2", inputs("db1", pgbackrest_options=given)))
    assert {**parser["global"], **parser["global:restore"]}["buffer-size"] == told


def test_a_backup_comes_after_the_database() -> None:
    assert "\nNice=10\n" in render("pgbackrest", "pgbackrest.service.j2", inputs("db1"))
    assert "Nice" not in render("pgbackrest", "pgbackrest.service.j2", inputs("backup1"))


@pytest.mark.parametrize(
    ("role", "unit"),
    [
        ("pgbackrest", "pgbackrest.service.j2"),
        ("pgbackrest", "pgbackrest-backup@.service.j2"),
        ("restore_verify", "holdfast-restore-verify.service.j2"),
    ],
)
def test_pgbackrest_keeps_its_memory_whoever_runs_it(role: str, unit: str) -> None:
    told = " ".join(f"{name}={size}" for name, size in KEEPS_MEMORY.items())
    given = {**inputs("backup1"), "restore_verify_stanza": "lab", "job_record__end": "/bin/true"}
    assert f"\nEnvironment={told}\n" in render(role, unit, given)


def test_postgresql_does_not_wait_long_for_a_frozen_repository() -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(render("pgbackrest", "pgbackrest.conf.j2", inputs("db1")))
    for command in ("archive-push", "archive-get"):
        found = parser[f"global:{command}"]
        assert (found["process-max"], found["db-timeout"], found["protocol-timeout"]) == ("2", "29", "30")
