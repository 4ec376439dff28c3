# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's real secrets must be nowhere that anybody else can look, nor those of jobs. Needs the lab."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from backup_lab import PLAYBOOKS, RESTORE, restore_options
from lab_cluster import DATABASES, ENGINE, INVENTORY, NODES, ROOT, SECRETS, SITE, Run, on_node, run_playbook

PATTERNS = "/dev/shm/secret-patterns"
ODD = "'\"\\ %s%% $HOME #:;= é中"
DECLARED = {name: f"declared-{name}-only-here{ODD}x" for name in ("passphrase", "password", "token")}
SECOND, KEPT, CLONE = "/var/lib/pgbackrest-second", "/srv/acceptance-restic", "/srv/acceptance-clone"
REPOSITORIES = {"pgbackrest_repositories": [{}, {"path": SECOND, "cipher_pass": DECLARED["passphrase"]}]}
JOBS_FILE = INVENTORY / "host_vars/backup1.yml"
JOBS = {
    "backup_jobs": [
        {
            "name": "settings",
            "kind": "files",
            "schedule": "daily",
            "paths": ["/etc/holdfast"],
            "repository": KEPT,
            "password": DECLARED["password"],
            "environment": {"STORAGE_TOKEN": DECLARED["token"]},
        }
    ],
}
CLONED = {"clone_source": "lab", "clone_host": "backup1", "clone_directory": CLONE, "clone_port": 5433}
ROTATED = (["passwords", "certificates"], ["authority"])
FORMER: dict[str, str] = {}
"""The passwords and private keys, the authority's among them, before they were rotated, and the keys that came."""


def secrets() -> dict[str, str]:
    return {**passwords(), **DECLARED, **FORMER}


def passwords() -> dict[str, str]:
    document = yaml.safe_load(SECRETS.read_text(encoding="utf-8"))
    return {**document["ha_secrets"], **document["ha_role_passwords"]}


def keys(moment: str) -> dict[str, str]:
    """A line of each private key; the first one has no secret alone."""
    hosts = [node for node in NODES if node != "client1"]
    texts = {node: on_node(node, "cat", "/etc/holdfast/tls/host.key") for node in hosts}
    texts["the authority"] = (INVENTORY / ".pki/ca.key").read_text(encoding="ascii")
    return {f"{moment} key of {owner}": text.splitlines()[2] for owner, text in texts.items()}


def rotate(*declared: str) -> list[Run]:
    """Have everything replaced that can be, and note what was there."""
    FORMER.update({f"former {name}": value for name, value in passwords().items()} | keys("former"))
    made = watched(PLAYBOOKS / "secrets.yml", "-e", "rotate=passwords", "-e", "secrets_plaintext=true")
    options = [json.dumps({"rotate": words, "rotate_recent": 0, "evidence": False}) for words in ROTATED]
    moved = [watched(PLAYBOOKS / "rotate.yml", "-e", given, *declared) for given in options]
    FORMER.update(keys("present"))
    assert run_playbook(ROOT / "lab/client.yml").code == 0
    return [made, *moved]


def forms(secret: str) -> set[str]:
    """The secret itself, and as programs write it: quoted, escaped, and in a basic authentication header's payload."""
    escaped = {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    escaped |= {json.dumps(form)[1:-1] for form in escaped} | {form.replace("'", "''") for form in (secret, *escaped)}
    encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {secret, encoded, urllib.parse.quote(secret), urllib.parse.quote_plus(secret), *escaped}


def named(text: str) -> list[str]:
    return [name for name, secret in secrets().items() if any(form in text for form in forms(secret))]


def watched(playbook: Path, *options: str) -> Run:
    """Run a playbook as talkative as can be."""
    run = run_playbook(playbook, "-vvv", "--diff", *options)
    assert run.code == 0, run.output[-3000:]
    return run


@contextmanager
def sampled() -> Iterator[dict[str, set[str]]]:
    """The command lines seen on every node meanwhile."""
    seen: dict[str, set[str]] = {node: set() for node in NODES}
    done = threading.Event()

    def sample() -> None:
        while not done.is_set():
            for node in NODES:
                seen[node].update(on_node(node, "ps", "-eo", "args", check=False).splitlines())

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield seen
    finally:
        done.set()
        sampler.join()


def drill_options(report: Path) -> list[str]:
    """A drill of one fault, on a machine that is busy with being watched."""
    given = {
        "drill_confirm": "lab",
        "drill_faults": "primary_power_loss",
        "drill_report": str(report),
        "drill_slack": 60,
        "drill_dead_man": 600,
    }
    return ["-e", json.dumps(given)]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """What the controller said and wrote, and every node's command lines, while playbooks and a job run."""
    folder = tmp_path_factory.mktemp("declared")
    declaration, report = folder / "declaration.json", folder / "report"
    declaration.write_text(json.dumps(REPOSITORIES))
    JOBS_FILE.parent.mkdir(exist_ok=True)
    JOBS_FILE.write_text(json.dumps(JOBS))
    declared = ("-e", f"@{declaration}")
    on_node(DATABASES[0], "rm", "-f", "/etc/patroni/config.yml")
    on_node("backup1", "rm", "-f", "/etc/pgbackrest.conf")
    try:
        with sampled() as seen:
            mended = watched(SITE, *declared)
            scheduled = watched(PLAYBOOKS / "backup_jobs.yml", "--limit=backup1", *declared)
            on_node("backup1", "systemctl", "start", "holdfast-job-settings")
            taken = watched(PLAYBOOKS / "backup.yml", "-e", "backup_type=incr", *declared)
            cloned = watched(PLAYBOOKS / "clone.yml", "-e", json.dumps(CLONED), *declared)
            rotated = rotate(*declared)
            switched = watched(PLAYBOOKS / "switchover.yml", *declared)
            drilled = watched(PLAYBOOKS / "drill.yml", *drill_options(report), *declared)
            restored = watched(RESTORE, *restore_options("restore_keep=false"), *declared)
            status = watched(PLAYBOOKS / "status.yml", "-e", "status_wait=60", *declared)
        assert mended.changed["db1"] > 0
        assert any("restic" in line for line in seen["backup1"])
        runs = (mended, scheduled, taken, cloned, *rotated, switched, drilled, restored, status)
        told = {run.output for run in runs}
        reported = {path.read_text(errors="replace") for path in report.rglob("*") if path.is_file()}
        yield {**seen, "controller's output": told, "drill's report": reported}
    finally:
        JOBS_FILE.unlink()
        JOBS_FILE.parent.rmdir()
        removed = {**CLONED, "clone_state": "absent", "clone_confirm": CLONE}
        run_playbook(PLAYBOOKS / "clone.yml", "-e", json.dumps(removed))
        run_playbook(SITE, "-e", "preflight_accept=backup_repository:lab")
        run_playbook(ROOT / "lab/client.yml")
        for node in NODES:
            on_node(node, "rm", "-rf", SECOND, KEPT)


def test_neither_output_nor_process_lists_nor_reports_show_one(shown: dict[str, set[str]]) -> None:
    assert all(shown.values())
    assert any("primary_power_loss" in text for text in shown["drill's report"])
    assert {place: named("\n".join(lines)) for place, lines in shown.items()} == {place: [] for place in shown}


@pytest.mark.parametrize("node", NODES)
def test_no_world_readable_file_holds_one(node: str, shown: dict[str, set[str]]) -> None:
    patterns = "\n".join(form for secret in secrets().values() for form in forms(secret)) + "\n"
    subprocess.run(
        [ENGINE, "exec", "-i", f"holdfast-{node}", "sh", "-c", f"umask 077; cat >{PATTERNS}"],
        input=patterns,
        text=True,
        check=True,
    )
    search = f"find / -xdev -type f -perm -o+r -size -4M -print0 | xargs -0 grep -laF -f {PATTERNS}; rm -f {PATTERNS}"
    found = on_node(node, "sh", "-c", search).split()
    assert found == []


def test_the_search_itself_finds_one() -> None:
    """A search that cannot find anything would prove nothing."""
    assert named(on_node("db1", "cat", "/etc/patroni/config.yml"))
    FORMER.update(keys("present"))
    assert named(on_node("db1", "cat", "/etc/holdfast/tls/host.key"))


@pytest.mark.parametrize("node", NODES)
def test_no_journal_holds_one(node: str, shown: dict[str, set[str]]) -> None:
    """All of the journal: since the node was made, or since its journal was last emptied."""
    told = on_node(node, "journalctl", "--no-pager", "--all", "--output=json", "--output-fields=MESSAGE,_CMDLINE")
    entries = [json.loads(line) for line in told.split("\n") if line]
    assert any("Invoked with" in text(entry.get("MESSAGE")) for entry in entries), "Ansible's own entries are not there"
    assert named("\n".join(text(entry.get(key)) for entry in entries for key in ("MESSAGE", "_CMDLINE"))) == []


def text(value: str | list[int] | None) -> str:
    """A field of a journal's entry; one that is no plain text is given as bytes."""
    return bytes(value).decode(errors="replace") if isinstance(value, list) else value or ""


@pytest.mark.parametrize("node", NODES)
def test_no_unit_shows_one(node: str, shown: dict[str, set[str]]) -> None:
    units = on_node(node, "systemctl", "show", "--all", "--property=ExecStart,Environment", "*.service")
    assert named(units) == []
