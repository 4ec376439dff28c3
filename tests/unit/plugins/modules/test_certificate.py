# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import grp
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.modules import certificate as module

pytest.importorskip("cryptography")

from ansible_collections.holdfast.ha.plugins.module_utils import certificate_keeper
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted
from ansible_collections.holdfast.ha.plugins.module_utils.component import FoundUnit, UnitPlan, WantedUnit
from ansible_collections.holdfast.ha.plugins.plugin_utils import certificate_authority
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="gives files to root")


class Authority:
    """A certificate authority on the controller's side."""

    def __init__(self, name: str = "CA") -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=100))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        certificate = builder.sign(key, hashes.SHA256())
        self.pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
        self.authority = certificate_authority.Authority(certificate, key)

    def sign(self, csr: str, wanted: dict[str, Any]) -> str:
        public_key = certificate_authority.public_key_of(csr)
        return self.authority.issue(public_key, Wanted.from_entry(wanted), datetime.now(UTC), 90)


class Host:
    """A host's directory, and runs of the module on it."""

    def __init__(self, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = path / "tls"
        self.capsys = capsys
        self.authority = Authority()
        self.certificates = [
            {"path": self.path("host.crt"), "common_name": "db1", "dns": ["db1"], "ip": ["198.51.100.11"]},
            {"path": self.path("client.crt"), "unit_name": "db1", "dns": ["db1"]},
        ]

    def path(self, name: str) -> str:
        return str(self.directory / name)

    def run(self, *, check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        """Run the module and return its result."""
        arguments = {
            "directory": str(self.directory),
            "private_key_path": self.path("host.key"),
            "private_key_group": grp.getgrgid(0).gr_name,
            "ca_path": self.path("ca.crt"),
            "ca_content": self.authority.pem,
            "certificates": self.certificates,
            "authority_directory": "/on-the-controller",
            "_ansible_check_mode": check_mode,
            **arguments,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        result: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return result

    def sign_and_install(self, examined: dict[str, Any], **arguments: Any) -> dict[str, Any]:
        wanted = {entry["path"]: entry for entry in self.certificates}
        signed = {
            request["path"]: self.authority.sign(request["csr"], wanted[request["path"]])
            for request in examined["requests"]
        }
        return self.run(signed=signed, **arguments)

    def read(self, name: str) -> bytes:
        return Path(self.path(name)).read_bytes()

    def names(self) -> dict[str, int]:
        return {path.name: path.stat().st_mode & 0o777 for path in self.directory.iterdir()}


@pytest.fixture
def host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Host:
    return Host(tmp_path, capsys)


@pytest.fixture
def ready(host: Host) -> Host:
    assert host.sign_and_install(host.run())["changed"]
    return host


def test_from_bare_to_done(host: Host) -> None:
    examined = host.run()
    assert [request["path"] for request in examined["requests"]] == [host.path("host.crt"), host.path("client.crt")]
    assert host.names() == {"host.key": 0o640, "ca.crt": 0o644}
    assert host.sign_and_install(examined)["requests"] == []
    assert host.names() == {"host.key": 0o640, "ca.crt": 0o644, "host.crt": 0o644, "client.crt": 0o644}
    again = host.run()
    assert (again["changed"], again["requests"]) == (False, [])


@pytest.mark.parametrize("arguments", [{}, {"ca_content": ""}], ids=["authority", "no authority yet"])
def test_check_mode_on_a_bare_host_writes_nothing(host: Host, arguments: dict[str, Any]) -> None:
    result = host.run(check_mode=True, **arguments)
    assert (result["changed"], result["requests"]) == (True, [])
    assert not host.directory.exists()


def test_check_mode_when_done(ready: Host) -> None:
    assert not ready.run(check_mode=True)["changed"]


DRIFT: dict[str, tuple[Callable[[Host], object], set[str]]] = {
    "a certificate removed": (lambda host: Path(host.path("host.crt")).unlink(), {"host.crt"}),
    "a certificate broken": (lambda host: Path(host.path("client.crt")).write_text("x"), {"client.crt"}),
    "the key removed": (lambda host: Path(host.path("host.key")).unlink(), {"host.crt", "client.crt"}),
    "the key empty": (lambda host: Path(host.path("host.key")).write_text(""), {"host.crt", "client.crt"}),
    "the authority's certificate removed": (lambda host: Path(host.path("ca.crt")).unlink(), set()),
    "the key readable to all": (lambda host: Path(host.path("host.key")).chmod(0o644), set()),
    "the directory writable to all": (lambda host: host.directory.chmod(0o777), set()),
    "another authority": (lambda host: setattr(host, "authority", Authority()), {"host.crt", "client.crt"}),
    "a use that is not wanted": (lambda host: host.certificates[0].update(client=False), {"host.crt"}),
    "another name": (lambda host: host.certificates[1].update(dns=["db2"]), {"client.crt"}),
}


@pytest.mark.parametrize("name", DRIFT)
def test_drift_is_healed(ready: Host, name: str) -> None:
    break_it, expected = DRIFT[name]
    break_it(ready)
    assert ready.run(check_mode=True)["changed"]
    examined = ready.run()
    assert examined["changed"]
    assert {Path(request["path"]).name for request in examined["requests"]} == expected
    if examined["requests"]:
        ready.sign_and_install(examined)
    assert not ready.run()["changed"]


def test_a_certificate_that_is_not_to_be_there_goes(ready: Host) -> None:
    del ready.certificates[1]
    absent = [ready.path("client.crt")]
    assert ready.run(absent=absent, check_mode=True)["changed_paths"] == absent
    assert ready.run(absent=absent)["changed"]
    assert "client.crt" not in ready.names()
    assert not ready.run(absent=absent)["changed"]


def test_the_private_key_is_kept(ready: Host) -> None:
    before = Path(ready.path("host.key")).read_bytes()
    Path(ready.path("host.crt")).unlink()
    ready.sign_and_install(ready.run())
    assert Path(ready.path("host.key")).read_bytes() == before


@pytest.mark.parametrize(
    ("authority", "says", "message"),
    [
        (Authority, {}, "it isn't accepted"),
        (None, {"common_name": "backup1"}, "its common name backup1 should be db1"),
        (None, {"dns": ["db1", "db2"]}, "its names"),
        (None, {"ip": []}, "its names"),
    ],
    ids=["another authority", "another common name", "a name more", "an address less"],
)
def test_a_certificate_that_does_not_fit_is_refused(
    host: Host, authority: Any, says: dict[str, Any], message: str
) -> None:
    examined = host.run()
    issuer = authority() if authority else host.authority
    foreign = issuer.sign(examined["requests"][0]["csr"], {**host.certificates[0], **says})
    result = host.run(signed={host.path("host.crt"): foreign})
    assert result["failed"]
    assert message in result["msg"]
    assert "host.crt" not in host.names()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ca_content": ""}, "no certificate"),
        ({"private_key_group": "no-such-group"}, "no group no-such-group"),
    ],
)
def test_failures(host: Host, arguments: dict[str, Any], message: str) -> None:
    result = host.run(**arguments)
    assert result["failed"]
    assert message in result["msg"]
    assert not host.directory.exists()


def forced(host: Host, **arguments: Any) -> dict[str, Any]:
    """Run as if all certificates of before now had to be replaced, with new keys."""
    return host.run(issued_since=datetime.now(UTC).timestamp() + 1, new_key=True, **arguments)


def test_certificates_are_replaced_together_with_their_key(ready: Host) -> None:
    before = {name: ready.read(name) for name in ("host.key", "host.crt", "client.crt")}
    assert forced(ready, check_mode=True)["changed"]
    examined = forced(ready)
    assert len(examined["requests"]) == 2
    assert ready.names()["host.key.new"] == 0o640
    assert {name: ready.read(name) for name in before} == before
    ready.sign_and_install(examined)
    assert not [name for name in before if ready.read(name) == before[name]]
    assert set(ready.names()) == {"ca.crt", *before}
    assert not ready.run()["changed"]
    assert not ready.run(issued_since=datetime.now(UTC).timestamp() - 60, new_key=True)["changed"]


def test_a_killed_replacement_of_the_key_goes_on_or_is_forgotten(ready: Host) -> None:
    examined = forced(ready)
    waiting = ready.read("host.key.new")
    again = forced(ready)
    assert (ready.read("host.key.new"), len(again["requests"])) == (waiting, len(examined["requests"]))
    assert ready.run()["changed"]
    assert "host.key.new" not in ready.names()
    assert not ready.run()["changed"]


def test_the_key_can_stay(ready: Host) -> None:
    before = ready.read("host.key")
    examined = ready.run(issued_since=datetime.now(UTC).timestamp() + 1)
    ready.sign_and_install(examined)
    assert ready.read("host.key") == before


def test_the_next_authority_is_trusted_before_it_issues(ready: Host) -> None:
    former, following = ready.authority, Authority("Next CA")
    both = {"ca_content": following.pem + former.pem}
    result = ready.run(issuer=former.pem, **both)
    assert (result["changed_paths"], result["requests"]) == ([ready.path("ca.crt")], [])
    assert not ready.run(issuer=former.pem, **both)["changed"]
    ready.authority = following
    examined = ready.run(issuer=following.pem, **both)
    assert len(examined["requests"]) == 2
    assert ready.sign_and_install(examined, issuer=following.pem, **both)["changed"]
    assert ready.run()["changed_paths"] == [ready.path("ca.crt")]
    assert not ready.run()["changed"]


def given(host: Host, tmp_path: Path, days: int = 90) -> dict[str, Any]:
    """What the action passes of a user's own certificates."""
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    issue = host.authority.authority.issue
    wanted = [Wanted.from_entry({**entry, "dns": [*entry["dns"], "more.example"]}) for entry in host.certificates]
    return {
        "private_key": pem,
        "signed": {one.path: issue(key.public_key(), one, datetime.now(UTC), days) for one in wanted},
    }


def test_certificates_of_the_user_s_own(host: Host, tmp_path: Path) -> None:
    own = given(host, tmp_path)
    assert host.run(check_mode=True, **own)["changed"]
    assert not host.directory.exists()
    assert host.run(**own)["changed"]
    assert host.read("host.key").decode().strip() == own["private_key"].strip()
    assert host.names() == {"host.key": 0o640, "ca.crt": 0o644, "host.crt": 0o644, "client.crt": 0o644}
    assert not host.run(**own)["changed"]
    others = given(host, tmp_path)
    changed = {Path(path).name for path in host.run(**others)["changed_paths"]}
    assert changed == {"host.key", "host.crt", "client.crt"}


def test_an_ended_certificate_of_the_user_s_own_is_refused(host: Host, tmp_path: Path) -> None:
    result = host.run(**given(host, tmp_path, days=-1))
    assert "expired" in result["msg"]
    assert not host.directory.exists()


class Systemd:
    """A host's services, and what was done to them."""

    done: list[tuple[str, tuple[str, ...]]] = []  # noqa: RUF012
    started_at = 0.0

    def __init__(self, _module: Any) -> None:
        pass

    def units(self, names: list[str]) -> dict[str, FoundUnit]:
        return {
            name: FoundUnit("loaded", "active", "enabled", False, self.started_at, self.started_at) for name in names
        }

    def apply_unit(self, wanted: WantedUnit, plan: UnitPlan) -> None:
        self.done.append((wanted.name, plan.verbs))


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> type[Systemd]:
    monkeypatch.setattr(certificate_keeper, "Host", Systemd)
    monkeypatch.setattr(Systemd, "done", [])
    monkeypatch.setattr(Systemd, "started_at", datetime.now(UTC).timestamp() + 60)
    return Systemd


def units(host: Host) -> list[dict[str, Any]]:
    """Services that notice a change in different ways."""
    ca, crt = host.path("ca.crt"), host.path("host.crt")
    return [
        {"component": "etcd", "unit": "etcd.service", "restart_on": [ca], "managed": True},
        {"component": "haproxy", "unit": "haproxy.service", "reload_on": [ca, crt]},
        {"component": "node_exporter", "unit": "exporter.service", "restart_on": [ca, crt]},
    ]


def test_services_read_what_is_new(ready: Host, systemd: type[Systemd]) -> None:
    services = units(ready)
    assert not ready.run(units=services)["changed"]
    both = {"ca_content": Authority("Next CA").pem + ready.authority.pem, "issuer": ready.authority.pem}
    predicted = ready.run(units=services, check_mode=True, **both)
    assert [(unit["unit"], bool(unit["reasons"]), bool(unit["reloads"])) for unit in predicted["units"]] == [
        ("etcd.service", True, False),
        ("haproxy.service", False, True),
        ("exporter.service", True, False),
    ]
    assert systemd.done == []
    systemd.started_at = datetime.now(UTC).timestamp()
    ready.run(units=services, **both)
    assert systemd.done == [("haproxy.service", ("reload",)), ("exporter.service", ("restart",))]


def test_services_wait_for_the_certificates_that_are_still_to_be_issued(ready: Host, systemd: type[Systemd]) -> None:
    services = units(ready)
    Path(ready.path("host.crt")).unlink()
    examined = ready.run(units=services)
    assert (examined["units"], systemd.done) == ([], [])
    systemd.started_at = datetime.now(UTC).timestamp() - 60
    ready.sign_and_install(examined, units=services)
    assert [name for name, _verbs in systemd.done] == ["haproxy.service", "exporter.service"]


def test_what_a_killed_run_left_to_read_is_read(ready: Host, systemd: type[Systemd]) -> None:
    systemd.started_at = 1.0
    result = ready.run(units=units(ready))
    assert (result["changed_paths"], result["changed"]) == ([], True)
    assert [name for name, _verbs in systemd.done] == ["haproxy.service", "exporter.service"]
