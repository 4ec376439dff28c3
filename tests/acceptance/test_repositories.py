# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A second repository, over SFTP on the client's host, beside the first. Needs the lab, ten minutes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
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
from lab_cluster import SITE, Run, assert_converged, converge, on_node, run_playbook, sql

SERVER = "client1"
ADDRESS = "198.51.100.41"
PATH = "/srv/repository"
PREPARE = f"""
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


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The options that declare both repositories; afterwards there is one again."""
    key = tmp_path_factory.mktemp("sftp") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = Path(f"{key}.pub").read_text()
    on_node(SERVER, "sh", "-c", PREPARE, "sh", public)
    remote = {
        "type": "sftp",
        "path": PATH,
        "sftp_host": ADDRESS,
        "sftp_user": "pgbackrest",
        "sftp_private_key": key.read_text(),
        "sftp_host_fingerprint": on_node(SERVER, "sh", "-c", FINGERPRINT).strip(),
        "cipher_pass": "acceptance",
    }
    yield ["-e", json.dumps({"pgbackrest_repositories": [{}, remote]})]
    converge()
    assert_converged()
    on_node(SERVER, "sh", "-c", f"rm -rf {PATH} /etc/systemd/system/ssh.service.d; userdel --remove pgbackrest")


def labels(repository: int) -> list[str]:
    """The labels of a repository's backups, oldest first."""
    command = ("pgbackrest", "--stanza=lab", f"--repo={repository}", "info", "--output=json")
    return [backup["label"] for backup in json.loads(on_node("backup1", *as_postgres(*command)))[0]["backup"]]


def take(two: list[str], *options: str) -> Run:
    """Take an incremental backup."""
    return run_playbook(PLAYBOOKS / "backup.yml", "-e", "backup_type=incr", *two, *options)


def test_the_second_is_made_and_filled(two: list[str]) -> None:
    made = run_playbook(SITE, *two)
    assert made.code == 0, made.output[-4000:]
    assert labels(2)
    again = run_playbook(SITE, *two)
    assert (again.code, set(again.changed.values())) == (0, {0}), again.output[-4000:]


def test_one_that_is_out_of_reach_keeps_no_other_from_its_backup(two: list[str]) -> None:
    before = [labels(1), labels(2)]
    with cut_off("backup1", ADDRESS, port=22):
        failed = take(two)
    assert failed.code != 0
    assert "repository 2" in failed.output.partition("fatal: ")[2], failed.output[-4000:]
    assert len(labels(1)) == len(before[0]) + 1
    assert labels(2) == before[1]
    taken = take(two)
    assert taken.code == 0, taken.output[-4000:]
    assert len(labels(2)) == len(before[1]) + 1


def test_the_second_brings_the_cluster_back(two: list[str]) -> None:
    before = fill("elsewhere")
    target = sql("SELECT clock_timestamp()")
    sql("DROP TABLE elsewhere")
    archive_all()
    options = restore_options("restore_type=time", f"{{restore_target: '{target}'}}", "restore_repository=2")
    restored = run_playbook(RESTORE, *options, *two)
    assert restored.code == 0, restored.output[-4000:]
    assert digest("elsewhere") == before
