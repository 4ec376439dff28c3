# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is watched, who may ask, and the alerts of durability, each provoked. Needs the lab, 45 minutes.

The alert of a disk that fills needs `LAB_DATA_MIB=3072 make lab`: the database's volume fills, not the machine's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from backup_lab import PLAYBOOKS, as_postgres, stopwatch, superuser_sql
from lab_cluster import DATABASES, assert_converged, attempt, leader, on_node, run_playbook, wait_until

MONITOR, STRANGER, BALANCER = "backup1", "client1", "lb2"
TLS = "/etc/holdfast/tls"
PROMETHEUS, ALERTMANAGER = "https://127.0.0.1:9090", "https://127.0.0.1:9093"
DATA = "/var/lib/postgresql"
SCRAPED = 60.0
"""Seconds in which a change of a host is in an alert's expression: its own metrics, a scrape, and an evaluation."""

FORECAST = 600.0
"""Seconds after which the last hour's growth shows what has just begun to grow."""

ASK = """
import ssl, sys, urllib.request
url, folder = sys.argv[1:]
context = ssl.create_default_context(cafile=f"{folder}/ca.crt")
context.check_hostname = False
context.load_cert_chain(f"{folder}/client.crt", f"{folder}/host.key")
print(urllib.request.urlopen(url, context=context, timeout=10).read().decode())
"""
"""Print a page that wants a client certificate."""

KNOCK = """
import ssl, sys, urllib.error, urllib.request
context = ssl._create_unverified_context()
for url in sys.argv[1:]:
    try:
        answer = urllib.request.urlopen(url, context=context, timeout=10).status
    except urllib.error.HTTPError as error:
        answer = error.code
    except Exception as error:
        answer = type(error).__name__
    print(url, answer)
"""
"""Ask for pages without a client certificate, and print what came."""

RECEIVER = """
import http.server, sys
class Take(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with open(sys.argv[1], "ab") as log:
            log.write(body + b"\\n")
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("0.0.0.0", 9999), Take).serve_forever()
"""

FILL = """
import os, sys, time
path, rate, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(path, "ab") as out:
    for _ in range(seconds):
        out.write(os.urandom(rate)); out.flush(); os.fsync(out.fileno()); time.sleep(1)
"""


def ask(url: str) -> dict:
    """What Prometheus or Alertmanager answers."""
    return json.loads(on_node(MONITOR, "python3", "-c", ASK, url, TLS))


def targets() -> list[dict]:
    """The targets that Prometheus reads."""
    return ask(f"{PROMETHEUS}/api/v1/targets?state=active")["data"]["activeTargets"]


def firing() -> set[str]:
    """The names of the alerts that fire."""
    alerts = ask(f"{PROMETHEUS}/api/v1/alerts")["data"]["alerts"]
    return {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}


def await_firing(name: str, seconds: float) -> None:
    """Wait until an alert fires, and tell how long it took."""
    with stopwatch(f"{name} fires"):
        wait_until(lambda: name in firing(), seconds=seconds, what=name)


def await_end(*names: str, seconds: float = 420.0) -> None:
    """Wait until alerts no longer fire."""
    with stopwatch(f"the end of {', '.join(names)}"):
        wait_until(lambda: not firing().intersection(names), seconds=seconds, what=f"the end of {', '.join(names)}")


def run(playbook: str, *arguments: str) -> None:
    """Run a playbook that must succeed."""
    done = run_playbook(PLAYBOOKS / f"{playbook}.yml", *arguments)
    assert done.code == 0, done.output[-6000:]


@pytest.fixture(autouse=True, scope="module")
def quiet() -> Iterator[None]:
    """No alert of durability before, the lab as declared afterwards."""
    before = firing()
    yield
    assert_converged()
    print(f"fired before: {sorted(before)}, afterwards: {sorted(firing())}")


# Who may ask


def test_every_target_is_up() -> None:
    found = targets()
    assert len(found) > 20
    assert [(target["labels"], target["lastError"]) for target in found if target["health"] != "up"] == []


def test_no_port_answers_without_a_certificate() -> None:
    urls = sorted({target["scrapeUrl"] for target in targets()})
    address = next(url for url in urls if ":9115" in url).split("/")[2].rpartition(":")[0]
    urls += [f"https://{address}:9090/api/v1/alerts", f"https://{address}:9093/api/v2/alerts"]
    plain = [url.replace("https://", "http://") for url in urls]
    told = on_node(STRANGER, "python3", "-c", KNOCK, *urls, *plain).splitlines()
    print("\n".join(told))
    assert len(told) == len(urls) + len(plain)
    assert [line for line in told if line.split()[-1].startswith(("2", "3"))] == []


def test_a_test_alert_reaches_a_receiver() -> None:
    log = "/root/received"
    on_node(STRANGER, "rm", "-f", log)
    start = ("systemd-run", "--unit=receiver", "--collect", "--property=RuntimeMaxSec=600")
    on_node(STRANGER, *start, "python3", "-c", RECEIVER, log)
    receiver = {"name": "team", "webhook": {"url": "http://198.51.100.41:9999/"}}
    try:
        run("alertmanager", "-e", json.dumps({"alertmanager_receivers": [receiver]}))
        run("alert_test", "-e", json.dumps({"alertmanager_receivers": [receiver]}))
        assert "TestAlert" in on_node(STRANGER, "cat", log)
    finally:
        on_node(STRANGER, "systemctl", "stop", "receiver.service", check=False)
        run("alertmanager")


# Durability, hygiene and capacity, each provoked


@contextmanager
def stopped(unit: str, *nodes: str) -> Iterator[None]:
    """A unit that is stopped on some nodes."""
    for node in nodes:
        on_node(node, "systemctl", "stop", unit)
    try:
        yield
    finally:
        for node in nodes:
            on_node(node, "systemctl", "start", unit)


def verify() -> bool:
    """Verify a restore now; whether it succeeded."""
    return run_playbook(PLAYBOOKS / "restore_verify.yml").code == 0


def test_a_blocked_archive() -> None:
    with stopped("pgbackrest.service", MONITOR):
        superuser_sql("SELECT pg_switch_wal()")
        await_firing("ArchiveQueueOld", 300 + 60 + 3 * SCRAPED)
    await_end("ArchiveQueueOld", "UnitDown", "MemberDown")


def test_an_old_canary_and_a_verification_that_fails() -> None:
    with stopped("holdfast-canary.timer", *DATABASES):
        time.sleep(330)
        assert not verify()
        await_firing("RecoveryPointOld", 60 + 2 * SCRAPED)
        await_firing("RestoreVerificationFailed", 2 * SCRAPED)
    wait_until(canary_is_archived, seconds=180, what="a new canary in the archive")
    assert verify()
    await_end("RecoveryPointOld", "RestoreVerificationFailed")


def canary_is_archived() -> bool:
    """Have the newest rows archived, which a restore then has."""
    superuser_sql("SELECT pg_switch_wal()")
    return attempt(MONITOR, *as_postgres("pgbackrest", "--stanza=lab", "check")).returncode == 0


def test_a_certificate_that_ends_soon() -> None:
    on_node(BALANCER, "rm", f"{TLS}/host.crt")
    soon = {"certificates_validity_days": 10, "certificates_renew_before_days": 5}
    run("certificates", "-e", json.dumps(soon))
    await_firing("CertificateEnds", 300 + 3 * SCRAPED)
    run("site")
    await_end("CertificateEnds")


def test_a_repository_that_pgbackrest_cannot_read() -> None:
    folder = "/var/lib/pgbackrest/backup/lab"
    on_node(MONITOR, "mv", folder, f"{folder}.away")
    try:
        await_firing("RepositoryUnusable", 300 + 300 + 3 * SCRAPED)
    finally:
        on_node(MONITOR, "mv", f"{folder}.away", folder)
    await_end("RepositoryUnusable", seconds=600)


def test_a_job_that_fails() -> None:
    on_node(MONITOR, "mv", "/etc/pgbackrest.conf", "/etc/pgbackrest.conf.away")
    try:
        on_node(MONITOR, "systemctl", "start", "pgbackrest-backup@diff.service", check=False)
    finally:
        on_node(MONITOR, "mv", "/etc/pgbackrest.conf.away", "/etc/pgbackrest.conf")
    await_firing("JobFailed", 3 * SCRAPED)
    on_node(MONITOR, "systemctl", "start", "pgbackrest-backup@diff.service")
    await_end("JobFailed")


def test_limits_that_a_backup_and_a_verification_pass() -> None:
    run("prometheus", "-e", json.dumps({"prometheus_limits": {"backup_seconds": 60, "restore_verified_seconds": 60}}))
    try:
        await_firing("BackupOld", 300 + 3 * SCRAPED)
        await_firing("RestoreVerificationOld", 3 * SCRAPED)
    finally:
        run("prometheus")
    await_end("BackupOld", "RestoreVerificationOld")


def test_a_disk_that_fills_slowly() -> None:
    """Of a standby: from half full on, 150 kB a second fill a volume of 3 GiB within three hours."""
    node = next(name for name in DATABASES if name != leader())
    if len(set(on_node(node, "stat", "-Lc", "%d", DATA, "/").split())) == 1:
        pytest.skip("the databases are on the machine's own disk: make the lab with LAB_DATA_MIB=3072")
    size, free, block = map(int, on_node(node, "stat", "-Lfc", "%b %a %S", DATA).split())
    filler = f"{DATA}/filler"
    on_node(node, "fallocate", "--length", str((free - size // 2) * block + 1024 * 1024), filler)
    start = ("systemd-run", "--unit=filler", "--collect", "python3", "-c", FILL, filler, "150000", "1800")
    on_node(node, *start)
    try:
        await_firing("DiskFillsSoon", FORECAST + 900 + 3 * SCRAPED)
    finally:
        on_node(node, "systemctl", "stop", "filler.service", check=False)
        on_node(node, "rm", "-f", filler)
    await_end("DiskFillsSoon")
