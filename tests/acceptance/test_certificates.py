# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and their authority on the lab: replaced under load, killed, ended. Needs the lab, two hours.

Certificates with other dates are signed here with the lab's own authority, and put in their places.
"""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted
from ansible_collections.holdfast.ha.plugins.plugin_utils.authority_files import AuthorityDirectory
from ansible_collections.holdfast.ha.plugins.plugin_utils.certificate_authority import (
    SIGNS_CERTIFICATES,
    Authority,
    hash_for,
    key_pem,
    new_key,
    pem_of,
)
from backup_lab import PLAYBOOKS
from cryptography import x509
from lab_cluster import (
    BALANCERS,
    BIN,
    DATABASES,
    ENVIRONMENT,
    INVENTORY,
    ROOT,
    VIP,
    Run,
    assert_converged,
    assert_healthy,
    attempt,
    converge,
    kill_playbook_when,
    leader,
    on_node,
    run_playbook,
    sql,
    wait_until,
)
from test_reboot import restart

CLUSTER = (*DATABASES, *BALANCERS, "backup1")
AUTHORITY, CERTIFICATES, RENEW = (
    PLAYBOOKS / f"{name}.yml" for name in ("rotate_authority", "rotate_certificates", "renew_certificates")
)
PKI = ROOT / "inventory/lab/.pki"
TLS = "/etc/holdfast/tls"
AT_ONCE = ("-e", "rotate_recent=0")
UNWATCHED = ("-e", "evidence=false")
SERIES, SEED = 3, 25
KILLED_WITHIN = (20.0, 240.0)
PORTS = dict.fromkeys(DATABASES, ("2379", "2380", "8008", "5432", "6432", "8432", "9100", "9187")) | {
    "backup1": ("8432", "9100", "9090", "9093")
}
"""Ports that look at a client's certificate, on hosts that have one for clients."""

KNOCK = """
import socket, ssl, struct, sys
address, folder, certificate, *ports = sys.argv[1:]
for port in map(int, ports):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, f"{folder}/host.key")
    try:
        with socket.create_connection((address, port), 10) as plain:
            if port in (5432, 6432):
                plain.sendall(struct.pack("!II", 8, 80877103))
                assert plain.recv(1) == b"S"
            with context.wrap_socket(plain):
                print(port, "accepted")
    except (ssl.SSLError, ConnectionResetError):
        print(port, "refused")
"""
"""Come as a client with a certificate for the host's own key, and print what each port says."""


# What there is


def authority() -> AuthorityDirectory:
    return AuthorityDirectory(PKI)


def phase() -> str:
    found = authority().read()
    assert found is not None
    return found.phase.value


def certificate(node: str, name: str = "host.crt") -> x509.Certificate:
    """A certificate on a node."""
    return x509.load_pem_x509_certificates(on_node(node, "cat", f"{TLS}/{name}").encode())[0]


def issuers() -> set[str]:
    """The authorities that the hosts' certificates come from."""
    return {
        certificate(node, name).issuer.rfc4514_string()
        for node in CLUSTER
        for name in ("host.crt", "client.crt")
        if attempt(node, "test", "-e", f"{TLS}/{name}").returncode == 0
    }


def trusted() -> set[int]:
    """How many authorities the hosts trust."""
    return {on_node(node, "cat", f"{TLS}/ca.crt").count("BEGIN") for node in CLUSTER}


def put(node: str, path: str, content: str) -> None:
    """Write a file on a node."""
    on_node(node, "sh", "-c", 'printf %s "$1" >"$2"', "sh", content, path)


def wanted_of(found: x509.Certificate, path: str) -> Wanted:
    """What a certificate says."""
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    common = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    unit = found.subject.get_attributes_for_oid(x509.NameOID.ORGANIZATIONAL_UNIT_NAME)
    usages = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    return Wanted(
        path,
        str(common[0].value) if common else None,
        str(unit[0].value) if unit else "holdfast",
        tuple(names.get_values_for_type(x509.DNSName)),
        tuple(map(str, names.get_values_for_type(x509.IPAddress))),
        x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH in usages,
    )


def end_in(days: float, *nodes: str) -> None:
    """Have the certificates of nodes end in some days, by the lab's own authority; services read them."""
    issuing = authority().issuing()
    now = datetime.now(UTC)
    for node in nodes:
        for name in ("host.crt", "client.crt"):
            if attempt(node, "test", "-e", f"{TLS}/{name}").returncode:
                continue
            found = certificate(node, name)
            begun = now - timedelta(days=400)
            issued = issuing.issue(found.public_key(), wanted_of(found, name), begun, (now - begun).days + days)
            put(node, f"{TLS}/{name}", issued)


def status() -> Run:
    return run_playbook(PLAYBOOKS / "status.yml")


# The runs


def run(playbook: Path, *arguments: str) -> Run:
    done = run_playbook(playbook, *arguments)
    assert done.code == 0, done.output[-6000:]
    return done


def watched(directory: Path) -> list[str]:
    """Have clients watch a run, none of whose pooled transactions may fail."""
    return [
        "-e",
        json.dumps({"evidence": True, "evidence_report": str(directory), "evidence_budgets": {"pooled_errors": 0}}),
    ]


def assert_nothing_lost(directory: Path) -> None:
    """Every acknowledged row is there, and no pooled transaction failed; what clients saw is shown (pytest -s)."""
    found = json.loads((directory / "evidence.json").read_text())
    for part in (*found["steps"], found["whole"]):
        seen = (f"{kind} {one['longest_wait']} s, {one['failed']} failed" for kind, one in part["clients"].items())
        print(f"{directory.name} {part['host'] or 'whole'}: {part['lost']} lost; {'; '.join(seen)}")
    whole = found["whole"]
    assert whole["acknowledged"] > 0
    assert (whole["lost"], whole["missing"], whole["duplicated"]) == (0, 0, 0)
    assert whole["clients"]["pooled"]["failed"] == 0


def postmasters() -> dict[str, str]:
    """When each PostgreSQL started."""
    ask = ("runuser", "-u", "postgres", "--", "psql", "-XAtc", "SELECT pg_postmaster_start_time()")
    return {name: on_node(name, *ask).strip() for name in DATABASES}


def clients_trust(content: str) -> None:
    """What the application host verifies servers with."""
    put("client1", "/root/.postgresql/root.crt", content)


@pytest.fixture(scope="module", autouse=True)
def kept() -> Iterator[None]:
    """The lab as it was: healthy, with clients that trust its authority."""
    assert_healthy()
    yield
    run(ROOT / "lab/client.yml")
    assert_converged()


@dataclass(frozen=True)
class Former:
    """An authority that was replaced."""

    made: Authority

    def certificate(self, node: str) -> str:
        """A certificate of it for a node's key, which nobody may accept any more."""
        found = certificate(node)
        return self.made.issue(found.public_key(), wanted_of(found, "host.crt"), datetime.now(UTC), 9)

    def refused_by(self, node: str) -> dict[str, str]:
        """What the ports of a node say to a client of it."""
        put(node, "/run/former.crt", self.certificate(node))
        return knock(node, "/run/former.crt")


def knock(node: str, path: str) -> dict[str, str]:
    address = hosts()[node]["address"]
    lines = on_node(node, "python3", "-c", KNOCK, address, TLS, path, *PORTS[node]).splitlines()
    return dict(line.split(" ") for line in lines)


def hosts() -> dict[str, dict[str, Any]]:
    """What the inventory derives for each host of the cluster."""
    asked = subprocess.run(
        [str(BIN / "ansible-inventory"), "-i", str(INVENTORY), "--list"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    known = json.loads(asked.stdout)["_meta"]["hostvars"]
    return {node: known[node]["ha"] for node in CLUSTER}


# Another authority


def test_check_tells_the_order_and_touches_nothing() -> None:
    before = issuers(), trusted(), postmasters(), sorted(PKI.iterdir())
    done = run(AUTHORITY, "--check", *AT_ONCE)
    assert "certificates, 6 of 6 hosts in this order" in done.output
    assert re.search(r"etcd leader +goes to", done.output)
    assert len(re.findall(r"restarts +etcd\.service", done.output)) == len(DATABASES)
    assert (issuers(), trusted(), postmasters(), sorted(PKI.iterdir())) == before


def test_the_authority_is_replaced_under_load(tmp_path: Path) -> None:
    former, servers = Former(authority().issuing()), postmasters()
    offered = Authority.create(new_key(), "Lab CA", datetime.now(UTC), 3650)
    (PKI / "next.key").write_bytes(key_pem(offered.key, ""))
    (PKI / "next.crt").write_bytes(pem_of([offered.certificate]))
    clients_trust(pem_of([former.made.certificate, offered.certificate]).decode())
    done = run(AUTHORITY, *AT_ONCE, *watched(tmp_path))
    for part in ("trust", "issue", "distrust"):
        assert_nothing_lost(tmp_path / part)
    print(re.findall(r".*longest wait.*", done.output))
    assert (phase(), trusted(), issuers()) == ("settled", {1}, {"CN=Lab CA"})
    assert postmasters() == servers
    assert not {path.name for path in PKI.iterdir()} & {"next.key", "next.crt", "old.key", "old.crt"}
    for node, ports in PORTS.items():
        assert former.refused_by(node) == dict.fromkeys(ports, "refused"), node
        assert knock(node, f"{TLS}/host.crt") == dict.fromkeys(ports, "accepted"), node
    clients_trust(pem_of([former.made.certificate]).decode())
    refused = attempt(
        "client1", "psql", f"host={VIP} port=5000 user=app dbname=app sslmode=verify-ca", "-c", "SELECT 1"
    )
    assert "certificate verify failed" in refused.stderr
    run(ROOT / "lab/client.yml")
    assert sql("SELECT 1") == "1"
    assert_converged()


def test_applications_get_the_new_one_before_they_see_it(tmp_path: Path) -> None:
    former = issuers()
    run(AUTHORITY, *AT_ONCE, "-e", "rotate_hold=true", *watched(tmp_path / "held"))
    assert (phase(), trusted(), issuers()) == ("trust", {2}, former)
    assert_converged()
    run(ROOT / "lab/client.yml")
    run(AUTHORITY, *watched(tmp_path / "completed"))
    assert (phase(), trusted(), len(issuers())) == ("settled", {1}, 1)
    for part in ("held/trust", "completed/issue", "completed/distrust"):
        assert_nothing_lost(tmp_path / part)
    run(ROOT / "lab/client.yml")
    assert_converged()


def test_an_authority_whose_key_is_lost_is_replaced_under_load(tmp_path: Path) -> None:
    before = authority().issuing().certificate
    (PKI / "ca.key").unlink()
    assert_converged()
    run(AUTHORITY, "-e", "rotate_hold=true", *watched(tmp_path / "held"))
    assert (phase(), trusted(), len(issuers())) == ("trust", {2}, 1)
    assert_converged()
    run(ROOT / "lab/client.yml")
    run(AUTHORITY, *watched(tmp_path / "completed"))
    assert (phase(), trusted(), len(issuers())) == ("settled", {1}, 1)
    assert authority().issuing().certificate != before
    for part in ("held/trust", "completed/issue", "completed/distrust"):
        assert_nothing_lost(tmp_path / part)
    run(ROOT / "lab/client.yml")
    assert_converged()


@pytest.mark.parametrize("series", range(SERIES))
def test_a_replacement_that_is_killed_is_completed(series: int) -> None:
    chance = random.Random(SEED + series)
    before = authority().issuing().certificate
    for _number in range(2):
        begun, moment = time.monotonic(), chance.uniform(*KILLED_WITHIN)
        killed = kill_playbook_when(
            lambda _output, begun=begun, moment=moment: time.monotonic() - begun >= moment,
            AUTHORITY,
            *(AT_ONCE if phase() == "settled" else ()),
            *UNWATCHED,
            seconds=3600,
        )
        log = (ROOT / ".lab/interrupted.log").read_text()
        print(f"{killed=} after {moment:.0f} s, {phase()}, in the task {re.findall(r'TASK .(.*)]', log)[-1]}")
        clients_trust((PKI / "ca.crt").read_text())
        assert sql("SELECT 1") == "1"
    run(PLAYBOOKS / "rotate.yml", "-e", "rotate=authority", *UNWATCHED)
    assert (phase(), trusted(), len(issuers())) == ("settled", {1}, 1)
    assert authority().issuing().certificate != before
    run(ROOT / "lab/client.yml")
    assert_converged()


def test_a_host_in_maintenance_keeps_it_where_it_is() -> None:
    maintenance = PLAYBOOKS / "maintenance.yml"
    run(maintenance, "-e", "maintenance_out=lb2", *UNWATCHED)
    done = run_playbook(AUTHORITY, *AT_ONCE, *UNWATCHED)
    assert done.code != 0
    assert "lb2: takes no part in this run" in done.output
    assert phase() == "trust"
    run(maintenance, "-e", "maintenance_back=lb2", *UNWATCHED)
    run(ROOT / "lab/client.yml")
    run(AUTHORITY, *UNWATCHED)
    assert (phase(), trusted()) == ("settled", {1})
    run(ROOT / "lab/client.yml")
    assert_converged()


def test_an_exchange_by_hand_is_refused(tmp_path: Path) -> None:
    saved = shutil.copytree(PKI, tmp_path / "pki")
    other = Authority.create(new_key(), "Other CA", datetime.now(UTC), 3650)
    try:
        (PKI / "ca.crt").write_bytes(pem_of([other.certificate]))
        (PKI / "ca.key").write_bytes(key_pem(other.key, ""))
        done = run_playbook(PLAYBOOKS / "site.yml")
    finally:
        for name in ("ca.crt", "ca.key"):
            shutil.copy2(saved / name, PKI / name)
    assert done.code != 0
    assert "do not trust the authority that certificates would come from" in " ".join(done.output.split())
    assert set(done.changed.values()) == {0}
    assert_converged()


# All certificates


def test_all_certificates_and_keys_are_replaced_under_load(tmp_path: Path) -> None:
    keys = {node: on_node(node, "sha256sum", f"{TLS}/host.key") for node in CLUSTER}
    serials, servers = {node: certificate(node).serial_number for node in CLUSTER}, postmasters()
    run(PLAYBOOKS / "rotate.yml", "-e", "rotate=certificates", *AT_ONCE, *watched(tmp_path))
    assert_nothing_lost(tmp_path)
    for node in CLUSTER:
        assert on_node(node, "sha256sum", f"{TLS}/host.key") != keys[node]
        assert certificate(node).serial_number != serials[node]
        assert attempt(node, "test", "-e", f"{TLS}/host.key.new").returncode != 0
    assert postmasters() == servers
    done = run(CERTIFICATES, *UNWATCHED)
    assert "Nothing to do" in done.output
    ends = {certificate(node).not_valid_after_utc.date() for node in CLUSTER}
    assert len(ends) > 1
    assert_converged()


def test_killed_while_keys_are_replaced() -> None:
    chance = random.Random(SEED)
    begun, moment = time.monotonic(), chance.uniform(30, 120)
    kill_playbook_when(
        lambda _output: time.monotonic() - begun >= moment, CERTIFICATES, *AT_ONCE, *UNWATCHED, seconds=3600
    )
    run(CERTIFICATES, *UNWATCHED)
    assert_converged()


# Certificates that end


@pytest.mark.parametrize(
    ("days", "code", "text"), [(20, 0, "ends in 20 d"), (5, 2, "ends in 5 d"), (-2, 2, "ended 2 d ago")]
)
def test_the_status_tells_and_one_run_mends_it(days: int, code: int, text: str) -> None:
    standby = next(name for name in DATABASES if name != leader())
    end_in(days + 0.5 if days > 0 else days - 0.1, standby, "lb2")
    done = status()
    told = " ".join(done.output.split())
    assert done.code == code, told[-4000:]
    assert re.search(rf"certificate host.crt on {standby}, lb2\W+{text}", told), told[-4000:]
    run(RENEW if days > 0 else PLAYBOOKS / "site.yml", *(UNWATCHED if days > 0 else ()))
    assert status().code == 0
    assert_converged()


def repeat_failed_jobs() -> None:
    """Run what a timer started in vain during an outage; each must succeed now."""
    failed = (
        "systemctl",
        "list-units",
        "--state=failed",
        "--plain",
        "--no-legend",
        "pgbackrest-backup@*",
        "holdfast-*",
    )
    for node in CLUSTER:
        for line in on_node(node, *failed).splitlines():
            on_node(node, "systemctl", "start", line.split()[0])


def test_a_cluster_whose_certificates_have_all_ended_comes_back_with_one_run() -> None:
    sql("DROP TABLE IF EXISTS survived; CREATE TABLE survived AS SELECT generate_series(1, 1000) AS id")
    end_in(-1, *CLUSTER)
    restart(*CLUSTER)
    wait_until(lambda: attempt("db1", "true").returncode == 0, seconds=120, what="db1 after its restart")
    time.sleep(30)  # in which nothing may come back
    assert status().code != 0
    converge()
    repeat_failed_jobs()
    assert_healthy()
    assert sql("SELECT count(*) FROM survived") == "1000"
    assert_converged()


def test_a_cluster_whose_authority_has_ended_comes_back_with_one_run() -> None:
    issuing = authority().issuing()
    ended = ended_again(issuing)
    for node in CLUSTER:
        put(node, f"{TLS}/ca.crt", pem_of([ended]).decode())
    (PKI / "ca.crt").write_bytes(pem_of([ended]))
    restart(*CLUSTER)
    time.sleep(30)
    assert status().code != 0
    refused = run_playbook(PLAYBOOKS / "site.yml")
    assert refused.code != 0
    assert "-e certificates_replace_ca=true" in " ".join(refused.output.split())
    converge("-e", "certificates_replace_ca=true")
    run(ROOT / "lab/client.yml")
    repeat_failed_jobs()
    assert_healthy()
    assert sql("SELECT count(*) FROM survived") == "1000"
    assert_converged()


def ended_again(issuing: Authority) -> x509.Certificate:
    """The authority's certificate, but that it ended yesterday."""
    now, found = datetime.now(UTC), issuing.certificate
    builder = x509.CertificateBuilder(
        found.issuer, found.subject, found.public_key(), 7, now - timedelta(days=9), now - timedelta(days=1)
    )
    for extension in found.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(issuing.key, hash_for(issuing.key))


# Certificates from elsewhere


def corporate(folder: Path) -> tuple[x509.Certificate, Mapping[str, str]]:
    """Certificates of an intermediate authority for all hosts; return the root, and what to declare."""
    now = datetime.now(UTC)
    root = Authority.create(new_key(), "Corporate Root", now, 3650)
    key = new_key()
    builder = x509.CertificateBuilder(
        root.certificate.subject,
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Corporate Issuing CA")]),
        key.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=1),
        now + timedelta(days=900),
    )
    for extension in (
        x509.BasicConstraints(ca=True, path_length=0),
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
        x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()),
        SIGNS_CERTIFICATES,
    ):
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    # A root that Holdfast makes has pathlen 0; a corporate one has room for an authority below it.
    top = rootlike(root, now)
    between = Authority(builder.sign(root.key, hash_for(root.key)), key)
    chain = pem_of([between.certificate]).decode()
    for node, known in hosts().items():
        own, named = new_key(), known["certificate"]
        (folder / f"{node}.key").write_bytes(key_pem(own, ""))
        for suffix, common_name in (("crt", named["common_name"]), ("client.crt", None)):
            wanted = Wanted("x", common_name, node, tuple(named["dns"]), tuple(named["ip"]), named["client"])
            (folder / f"{node}.{suffix}").write_text(between.issue(own.public_key(), wanted, now, 90) + chain)
    names = {"certificate": "crt", "client_certificate": "client.crt", "key": "key"}
    return top, {name: f"{folder}/{{{{ inventory_hostname }}}}.{suffix}" for name, suffix in names.items()}


def rootlike(root: Authority, now: datetime) -> x509.Certificate:
    """The root's certificate without a limit for authorities below it."""
    subject = root.certificate.subject
    builder = x509.CertificateBuilder(
        subject, subject, root.key.public_key(), 9, now - timedelta(days=1), now + timedelta(days=3650)
    )
    for extension in (
        x509.BasicConstraints(ca=True, path_length=None),
        x509.SubjectKeyIdentifier.from_public_key(root.key.public_key()),
        SIGNS_CERTIFICATES,
    ):
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(root.key, hash_for(root.key))


def test_over_to_a_corporate_authority_and_back(tmp_path: Path) -> None:
    root, declared = corporate(tmp_path)
    given = ("-e", json.dumps({"certificates_given": declared}))
    own = (PKI / "ca.crt").read_bytes()
    both = own + pem_of([root])
    clients_trust(both.decode())
    refused = run_playbook(PLAYBOOKS / "site.yml", *given)
    assert refused.code != 0
    assert set(refused.changed.values()) == {0}

    (PKI / "ca.crt").write_bytes(both)
    converge()
    converge(*given)
    assert issuers() == {"CN=Corporate Issuing CA"}
    (PKI / "ca.crt").write_bytes(pem_of([root]))
    (PKI / "ca.key").rename(PKI / "ca.key.away")
    converge(*given)
    assert set(converge(*given).changed.values()) == {0}
    assert_healthy(120, *given)
    assert sql("SELECT 1") == "1"

    (PKI / "ca.key.away").rename(PKI / "ca.key")
    (PKI / "ca.crt").write_bytes(both)
    converge(*given)
    converge()
    (PKI / "ca.crt").write_bytes(own)
    converge()
    assert len(issuers()) == 1
    assert_converged()


def test_nothing_is_left() -> None:
    for node in CLUSTER:
        names = set(on_node(node, "ls", TLS).split())
        assert names <= {"ca.crt", "client.crt", "host.crt", "host.key"}
