# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A database host destroys the repository; a copy that it can't reach leads back. Needs the lab, 15 minutes.

docs/backup-protection.md describes the ways.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_lab import (
    PLAYBOOKS,
    STANZA,
    archive_all,
    as_postgres,
    backups,
    digest,
    fill,
    restore,
)
from lab_cluster import INVENTORY, ROOT, SITE, assert_converged, attempt, on_node, run_playbook, sql, wait_until
from test_repositories import s3

REPOSITORY, ATTACKED = "backup1", "db2"
PATH, SNAPSHOTS = "/var/lib/pgbackrest", "/srv/repository-snapshots"
INDEX = f"{PATH}/backup/lab/backup.info"
JOB = {
    "name": "repository",
    "kind": "files",
    "schedule": "yearly",
    "paths": [PATH],
    "excludes": ["*.pgbackrest.tmp"],
    "steady": [INDEX],
    "repository": SNAPSHOTS,
    "password": "acceptance",  # of what is gone after the test
    "retries": 0,
}
UNIT = "holdfast-job-repository.service"
FILE = INVENTORY / "host_vars" / f"{REPOSITORY}.yml"
WAY_BACK = (ROOT / "docs/backup-protection.md").read_text(encoding="utf-8").partition("### The way back")[2]


def way_back() -> str:
    """The commands of the page, for the lab's stanza."""
    block = WAY_BACK.partition("```sh\n")[2].partition("```")[0]
    return "set -e\n" + block.replace("--stanza=main", STANZA)


def overwrite() -> None:
    """Make every backup and all WAL unusable, as pgBackRest of a database host may."""
    listed = on_node(REPOSITORY, "find", PATH, "-name", "*.info*", "-o", "-name", "backup.manifest*").split()
    for path in listed:
        told = f"echo overwritten | pgbackrest {STANZA} repo-put {path.removeprefix(f'{PATH}/')}"
        on_node(ATTACKED, *as_postgres("sh", "-c", told))


def remove_from_bucket(*paths: str) -> None:
    """Delete from the second repository, whose key a database host has."""
    for path in paths:
        on_node(ATTACKED, *as_postgres("pgbackrest", STANZA, "--repo=2", "repo-rm", "--recurse", path))


@pytest.fixture(scope="module")
def job() -> Iterator[None]:
    """The job, with a first snapshot; afterwards there is none."""
    assert not FILE.exists(), f"{FILE} is in the way"
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(json.dumps({"backup_jobs": [JOB]}))
    try:
        made = run_playbook(PLAYBOOKS / "backup_jobs.yml")
        assert made.code == 0, made.output[-4000:]
        on_node(REPOSITORY, "systemctl", "start", UNIT)
        yield
    finally:
        FILE.unlink()
        run_playbook(SITE)
        on_node(REPOSITORY, "rm", "-rf", SNAPSHOTS, f"{PATH}/damaged")
        assert_converged()


def test_only_root_reaches_the_snapshots(job: None) -> None:
    assert on_node(REPOSITORY, "stat", "-c", "%U %a", SNAPSHOTS).strip() == "root 700"
    assert "Permission denied" in attempt(REPOSITORY, *as_postgres("ls", SNAPSHOTS)).stderr
    asked = attempt(ATTACKED, *as_postgres("pgbackrest", STANZA, "repo-ls", SNAPSHOTS))
    assert asked.returncode != 0
    assert "not in base path" in asked.stdout + asked.stderr


def test_the_repository_comes_back_and_restores(job: None) -> None:
    before = fill("protected")
    target = sql("SELECT clock_timestamp()")
    archive_all()
    taken = run_playbook(PLAYBOOKS / "backup.yml", "-e", "backup_type=incr")
    assert taken.code == 0, taken.output[-4000:]
    on_node(REPOSITORY, "systemctl", "start", UNIT)
    kept = backups()
    overwrite()
    told = attempt(REPOSITORY, *as_postgres("pgbackrest", STANZA, "info")).stdout
    assert [backup.label for backup in kept if backup.label in told] == []
    on_node(REPOSITORY, "bash", "-c", way_back())
    assert backups() == kept
    sql("DROP TABLE protected")
    restored = restore("restore_type=time", f"{{restore_target: '{target}'}}")
    assert restored.code == 0, restored.output[-4000:]
    assert digest("protected") == before


def second_of_now() -> str:
    """As pgBackRest takes a time; versions have no fractions of a second."""
    return on_node(REPOSITORY, "date", "--utc", "+%Y-%m-%d %H:%M:%S+00").strip()


VERSIONS = """
curl -fsS -X PUT -H 'Content-Type: application/xml' 'http://127.0.0.1:5000/backups?versioning' \
    -d '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'
"""


def test_a_bucket_that_keeps_versions_is_read_as_it_was(tmp_path: Path) -> None:
    with s3(tmp_path) as second:
        on_node("client1", "bash", "-c", VERSIONS)
        try:
            made = run_playbook(SITE, *second.options)
            assert made.code == 0, made.output[-4000:]
            command = ("pgbackrest", STANZA, "--repo=2")
            then = second_of_now()
            was = on_node(REPOSITORY, *as_postgres(*command, "repo-ls", "--recurse", "backup/lab"))
            wait_until(lambda: second_of_now() != then, seconds=5, what="the next second")
            remove_from_bucket("backup/lab", "archive/lab")
            left = json.loads(on_node(REPOSITORY, *as_postgres(*command, "info", "--output=json")))
            assert [backup["label"] for stanza in left for backup in stanza["backup"]] == []
            at = f"--repo-target-time={then}"
            assert on_node(REPOSITORY, *as_postgres(*command, at, "repo-ls", "--recurse", "backup/lab")) == was
            told = json.loads(on_node(REPOSITORY, *as_postgres(*command, at, "info", "--output=json")))
            assert told[0]["backup"]
        finally:
            removed = run_playbook(SITE, "-e", "preflight_accept=backup_repository:lab")
            assert removed.code == 0, removed.output[-4000:]
