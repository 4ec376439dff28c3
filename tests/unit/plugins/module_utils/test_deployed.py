# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import deployed as sut

# As PostgreSQL 17 stored them.
STORED = [
    (
        'a "quoted" \\ % $ # one',
        (
            "SCRAM-SHA-256$4096:CnP25r27/OtI1Wn3VE4q/A==$9pHp7I11v9DtEh2xRAANyq/uRkv5pnNVg9wanMZj96c="
            ":UIG7dBrO3oE6VbuXcP+CBzxWv505HAQP+5dnyjpHVVM="
        ),
    ),
    (
        "pässwörd ª Ⅸ",
        (
            "SCRAM-SHA-256$4096:CMWAjjNAloaTdzvHEbb8Tw==$LQGybariF1n3DIVkj389cYP5BxeCgHLUqetxJI1Z6cQ="
            ":PR6Fzz1epCeCjBYZfdv9TGlzTdhYLfxXOrQsUEDHC0g="
        ),
    ),
    (
        "soft\N{SOFT HYPHEN}hyphen\N{NO-BREAK SPACE}space",
        (
            "SCRAM-SHA-256$4096:gSpoenS9MfOihqU3oB6HJg==$bOYS8HV9l3JN9PpSkNREGF61iAluL3KMyUDHS5Ikfis="
            ":lBZrR5zJZMcyqA9zuwDFwQoYZPY3u4i96ioADprNqUk="
        ),
    ),
    (
        "🐘 emoji and ª",
        (
            "SCRAM-SHA-256$4096:nOYfL+hfal1Rx2eIPoGfLg==$tb5/OSEuK6TX6fT5GZYqB5IzZZlQ7UfoddnWwZFv0V0="
            ":wg4odKumobzn1omKP40D6N/YMfnHJtUgN00ULUetldw="
        ),
    ),
]


@pytest.mark.parametrize(("password", "stored"), STORED)
def test_a_password_is_told_by_what_the_server_stored(password, stored):
    assert sut.is_password_of("app", password, stored) is True
    assert sut.is_password_of("app", password + "x", stored) is False


def test_a_former_kind_of_password_and_none_at_all():
    assert sut.is_password_of("v5", "pässwörd", "md5c35e96ba832a8924ed653f8427e7bc01") is True
    assert sut.is_password_of("v6", "pässwörd", "md5c35e96ba832a8924ed653f8427e7bc01") is False
    assert sut.is_password_of("app", "x", None) is None
    assert sut.is_password_of("app", "x", "") is None


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
repo2-type=s3
repo2-path=/repo
repo2-s3-bucket=bucket
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
    places = ("/var/lib/pgbackrest", "s3:bucket:/repo")
    assert configuration == sut.PgBackRest("lab", ("198.51.100.31",), places)
    assert repositories[0] == sut.Repository("/var/lib/pgbackrest", "aes-256-cbc", 'a "b" # % ; {c} = d')
    assert "{c}" not in repr(repositories)


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
        "etcd3": {"username": "patroni", "password": 'e"'},
        "postgresql": {"connect_address": "[2001:db8::1]:5432", "data_dir": "/data", "authentication": login},
    }
    found = sut.parse_patroni(config)
    assert found == sut.Patroni(
        "lab", "/service/", "db1", "2001:db8::1", 5432, 8008, "/data", {kind: kind for kind in sut.AUTHENTICATION}
    )
    assert sut.patroni_secrets(config) == {
        "postgresql_superuser": "superuser secret",
        "postgresql_replication": "replication secret",
        "postgresql_rewind": "rewind secret",
        "patroni_rest": "r",
        "etcd_patroni": 'e"',
    }


def test_parse_files():
    assert sut.parse_version("17\n") == "17"
    assert sut.parse_version("root:x:0") == ""
    assert sut.parse_archive_command("a = 'b'\narchive_command = 'push ''x'' %p'\n") == "push 'x' %p"
    assert sut.parse_archive_command("") == ""
    assert sut.parse_environment("# A=B\nETCD_NAME=db1\n\nX = y=z\n") == {"ETCD_NAME": "db1", "X": "y=z"}
    assert sut.parse_pooler_users('"pgbouncer" "a""b"\n"holdfast" "c"\n') == ['a"b', "c"]
    assert sut.parse_watcher_passwords('{"access": {"password": "p"}}') == ["p"]
    assert sut.parse_watcher_passwords("") == []


def test_what_was_deployed_comes_back_from_plain_data():
    found = sut.Deployed(
        pgbackrest=sut.PgBackRest("lab", (), ("/a",)),
        secrets={"etcd_root": sut.Verdict(None, True)},
        system="Debian 13",
    )
    assert sut.Deployed.load(json.loads(json.dumps(asdict(found)))) == found


def test_combined():
    assert sut.combined([None, True, False]) is False
    assert sut.combined([None, True]) is True
    assert sut.combined([None]) is None
