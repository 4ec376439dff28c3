# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second repository, by SFTP and by S3 on the client's host, beside the first. Needs the lab, ten minutes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from backup_lab import (
    PLAYBOOKS,
    RESTORE,
    archive_all,
    as_postgres,
    cut_off,
    digest,
    fill,
    restore_options,
)
from lab_cluster import SITE, Run, assert_converged, on_node, run_playbook, sql

SERVER = "client1"
ADDRESS = "198.51.100.41"
READERS = ("db1", "db2", "db3", "backup1")
PATH = "/srv/repository"
PASSPHRASE = "acceptance"  # of what is gone after the test

PREPARE_SFTP = f"""
id pgbackrest >/dev/null 2>&1 || useradd --create-home pgbackrest
install -d -o pgbackrest -m 0700 {PATH} ~pgbackrest/.ssh
printf "%s" "$1" >~pgbackrest/.ssh/authorized_keys
chown pgbackrest: ~pgbackrest/.ssh/authorized_keys
# A restore leaves every file open that it has read; systemd's limit is 1024.
install -d /etc/systemd/system/ssh.service.d
printf '[Service]\nLimitNOFILE=524288\n' >/etc/systemd/system/ssh.service.d/files.conf
systemctl daemon-reload
systemctl restart ssh
"""
FINGERPRINT = "awk '{print $2}' /etc/ssh/ssh_host_ecdsa_key.pub | base64 -d | sha256sum | cut -d' ' -f1"
REMOVE_SFTP = f"rm -rf {PATH} /etc/systemd/system/ssh.service.d; userdel --remove pgbackrest"

# moto keeps the objects in memory and speaks HTTP, HAProxy the TLS before it.
PREPARE_S3 = f"""
set -e
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends \
    python3-moto python3-flask-cors haproxy openssl curl >/dev/null
systemctl disable --quiet --now haproxy
install -d -m 0700 {PATH}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=s3 \
    -addext subjectAltName=IP:{ADDRESS} -keyout {PATH}/s3.pem.key -out {PATH}/s3.pem 2>/dev/null
cat >{PATH}/haproxy.cfg <<END
defaults
    mode http
    timeout connect 5s
    timeout client 1m
    timeout server 1m
listen s3
    bind {ADDRESS}:443 ssl crt {PATH}/s3.pem
    server moto 127.0.0.1:5000
END
systemd-run --quiet --collect --unit=acceptance-moto moto_server -H 127.0.0.1 -p 5000
systemd-run --quiet --collect --unit=acceptance-s3 haproxy -W -db -f {PATH}/haproxy.cfg
curl -fsS --retry 60 --retry-delay 1 --retry-connrefused -X PUT http://127.0.0.1:5000/backups >/dev/null
cat {PATH}/s3.pem
"""
AUTHORITY = "/etc/ssl/acceptance-s3.crt"
REMOVE_S3 = f"systemctl stop acceptance-s3 acceptance-moto; rm -rf {PATH}"


@dataclass(frozen=True)
class Second:
    """A second repository: its declaration for pgbackrest_repositories, and the port of its service."""

    declared: dict[str, str]
    port: int

    @property
    def options(self) -> list[str]:
        """What playbooks are given that declares both repositories."""
        return ["-e", json.dumps({"pgbackrest_repositories": [{}, {"cipher_pass": PASSPHRASE, **self.declared}]})]


@contextmanager
def sftp(folder: Path) -> Iterator[Second]:
    """A directory on a server with SSH."""
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    on_node(SERVER, "sh", "-c", PREPARE_SFTP, "sh", Path(f"{key}.pub").read_text())
    declared = {
        "type": "sftp",
        "path": PATH,
        "sftp_host": ADDRESS,
        "sftp_user": "pgbackrest",
        "sftp_private_key": key.read_text(),
        "sftp_host_fingerprint": on_node(SERVER, "sh", "-c", FINGERPRINT).strip(),
    }
    try:
        yield Second(declared, 22)
    finally:
        on_node(SERVER, "sh", "-c", REMOVE_SFTP)


@contextmanager
def s3(folder: Path) -> Iterator[Second]:
    """A bucket of a service that speaks S3's protocol."""
    certificate = on_node(SERVER, "sh", "-c", PREPARE_S3)
    for reader in READERS:
        on_node(reader, "sh", "-c", f'printf "%s" "$1" >{AUTHORITY}', "sh", certificate)
    declared = {
        "type": "s3",
        "path": "/lab",
        "s3_bucket": "backups",
        "s3_endpoint": ADDRESS,
        "s3_region": "lab",
        "s3_key": "acceptance",
        "s3_key_secret": PASSPHRASE,
        "s3_uri_style": "path",
        "storage_ca_file": AUTHORITY,
    }
    try:
        yield Second(declared, 443)
    finally:
        on_node(SERVER, "sh", "-c", REMOVE_S3)
        for reader in READERS:
            on_node(reader, "rm", "-f", AUTHORITY)


@pytest.fixture(scope="module", params=[sftp, s3], ids=["sftp", "s3"])
def second(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    """The second repository; afterwards there is one again."""
    with request.param(tmp_path_factory.mktemp("repository")) as made:
        yield made
        removed = run_playbook(SITE, "-e", "preflight_accept=backup_repository:lab")
        assert removed.code == 0, removed.output[-4000:]
        assert_converged()


def labels(repository: int) -> list[str]:
    """The labels of a repository's backups, oldest first."""
    command = ("pgbackrest", "--stanza=lab", f"--repo={repository}", "info", "--output=json")
    return [backup["label"] for backup in json.loads(on_node("backup1", *as_postgres(*command)))[0]["backup"]]


def take(second: Second) -> Run:
    """Take an incremental backup."""
    return run_playbook(PLAYBOOKS / "backup.yml", "-e", "backup_type=incr", *second.options)


def test_the_second_is_made_and_filled(second: Second) -> None:
    made = run_playbook(SITE, *second.options)
    assert made.code == 0, made.output[-4000:]
    assert labels(2)
    again = run_playbook(SITE, *second.options)
    assert (again.code, set(again.changed.values())) == (0, {0}), again.output[-4000:]


def test_one_that_is_out_of_reach_keeps_no_other_from_its_backup(second: Second) -> None:
    before = [labels(1), labels(2)]
    with cut_off("backup1", ADDRESS, port=second.port):
        failed = take(second)
    assert failed.code != 0
    assert "repository 2" in failed.output.partition("fatal: ")[2], failed.output[-4000:]
    assert len(labels(1)) == len(before[0]) + 1
    assert labels(2) == before[1]
    taken = take(second)
    assert taken.code == 0, taken.output[-4000:]
    assert len(labels(2)) == len(before[1]) + 1


def test_the_second_brings_the_cluster_back(second: Second) -> None:
    before = fill("elsewhere")
    target = sql("SELECT clock_timestamp()")
    sql("DROP TABLE elsewhere")
    archive_all()
    options = restore_options("restore_type=time", f"{{restore_target: '{target}'}}", "restore_repository=2")
    restored = run_playbook(RESTORE, *options, *second.options)
    assert restored.code == 0, restored.output[-4000:]
    assert digest("elsewhere") == before
