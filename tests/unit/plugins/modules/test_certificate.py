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

from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted
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

    def sign_and_install(self, examined: dict[str, Any]) -> dict[str, Any]:
        wanted = {entry["path"]: entry for entry in self.certificates}
        signed = {
            request["path"]: self.authority.sign(request["csr"], wanted[request["path"]])
            for request in examined["requests"]
        }
        return self.run(signed=signed)

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
