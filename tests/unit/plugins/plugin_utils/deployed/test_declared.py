# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed import declared as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.derive import TLS

ROOT = Path(__file__).resolve().parents[5]


def test_repositories_are_those_of_the_role():
    variables = {
        "ha_secrets": {"pgbackrest_cipher": " shared "},
        "pgbackrest_repository_path": "/var/lib/pgbackrest",
        "pgbackrest_cipher_type": "aes-256-cbc",
    }
    (plain,) = sut.wished_repositories(variables)
    assert (plain["variable"], plain["place"], plain["cipher_pass"]) == (
        "pgbackrest_cipher",
        "/var/lib/pgbackrest",
        "shared",
    )
    s3 = {"type": "s3", "path": "/r", "s3_bucket": "b", "s3_endpoint": "e", "cipher_pass": "own"}
    s3 |= {"options": {"storage-port": 9000}}
    sftp = {"type": "sftp", "path": "/r", "sftp_host": "nas", "sftp_port": 2222, "cipher_type": "none"}
    several = sut.wished_repositories({**variables, "pgbackrest_repositories": [{"cipher_type": "none"}, s3, sftp]})
    assert [(item["place"], item["cipher_pass"]) for item in several] == [
        ("/var/lib/pgbackrest", ""),
        ("s3:e:9000:b:/r", "own"),
        ("sftp:nas:2222:/r", ""),
    ]
    assert several[1]["variable"] == "pgbackrest_repositories[1].cipher_pass"


@pytest.mark.parametrize("error", [AnsibleError, AnsibleUndefinedVariable])
def test_what_can_t_be_evaluated_is_not_shown(error):
    class Secrets(dict):
        def __getitem__(self, key):
            raise error(f"no template: {super().__getitem__(key)}")

    secrets = Secrets(etcd_root="never-show-me{{x")
    ha = {"backup": None, "postgresql": None, "tls": TLS}
    host = sut.host_of("db1", {"ha": ha, "ha_secrets": secrets}, ROOT)
    assert "ha_secrets" not in host.variables
    assert sut.wished(host)["secrets"] == {}


def test_the_services_are_asked_with_the_client_s_certificate():
    ha = {"backup": None, "postgresql": None, "tls": TLS | {name: f"/srv/{name}" for name in TLS}}
    wished = sut.wished(sut.host_of("db1", {"ha": ha}, ROOT))
    assert wished["tls"] == {"ca": "/srv/ca", "cert": "/srv/client_cert", "key": "/srv/key"}
