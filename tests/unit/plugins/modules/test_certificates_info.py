# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Wanted
from ansible_collections.holdfast.ha.plugins.modules.certificates_info import describe
from ansible_collections.holdfast.ha.plugins.plugin_utils import certificate_authority
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86400


def certificate(days):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW - timedelta(days=400))
    signed = builder.not_valid_after(NOW + timedelta(days=days)).sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("name", "content", "days", "error"),
    [
        ("host.crt", [20], 20, ""),
        ("host.crt", [300, 20], 20, ""),
        ("ca.crt", [3000, 20], 3000, ""),
        ("host.crt", [-3], -3, ""),
        ("host.crt", [], None, "holds no certificate"),
    ],
)
def test_the_end_of_a_file(tmp_path, name, content, days, error):
    path = tmp_path / name
    path.write_bytes(b"".join(map(certificate, content)))
    found = describe(path, NOW.timestamp())
    assert found["error"] == error
    assert found["remaining"] == (None if days is None else days * DAY)


def test_a_damaged_file_is_told(tmp_path):
    path = tmp_path / "host.crt"
    path.write_bytes(certificate(20).replace(b"M", b"!"))
    assert describe(path, NOW.timestamp())["error"]


def authority(name, days):
    made = certificate_authority.Authority.create(certificate_authority.new_key(), name, NOW, days)
    return made, made.certificate.public_bytes(serialization.Encoding.PEM)


def test_of_several_authorities_that_of_the_host_counts(tmp_path):
    (former, one), (following, other) = authority("CA", 20), authority("CA", 3000)
    (tmp_path / "ca.crt").write_bytes(one + other)
    wanted = Wanted("host.crt", "db1", "holdfast", ("db1",), ())
    for issuer, days in ((former, 20), (following, 3000)):
        issued = issuer.issue(certificate_authority.new_key().public_key(), wanted, NOW, 30)
        (tmp_path / "host.crt").write_text(issued)
        assert describe(tmp_path / "ca.crt", NOW.timestamp())["remaining"] == days * DAY
