# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.host_preflight import Finding
from ansible_collections.holdfast.ha.plugins.plugin_utils import preflight as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import SECRETS

HA = {
    "components": ["etcd", "postgresql", "haproxy"],
    "etcd": {"client_port": 2379, "peer_port": 2380},
    "postgresql": {"port": 5432, "rest_port": 8008},
    "pools": [{"port": 5000, "addresses": ["198.51.100.100"]}],
    "address": "198.51.100.11",
    "pooler": {"port": 6432},
    "monitoring": None,
    "members": [{"components": ["etcd", "postgresql", "haproxy"]}, {"components": ["backup"]}],
}


@pytest.mark.parametrize(
    ("components", "ports"),
    [
        (["etcd", "postgresql"], [2379, 2380, 5432, 8008, 8432]),
        (["haproxy", "keepalived"], [5000]),
        (["pgbouncer"], [6432]),
        (["backup"], [8432]),
        ([], []),
    ],
)
def test_expected_ports(components, ports):
    assert [port["port"] for port in sut.expected_ports(HA | {"components": components})] == ports


def test_no_repository_needs_no_port():
    ports = sut.expected_ports(HA | {"members": HA["members"][:1]})
    assert 8432 not in [port["port"] for port in ports]


def test_a_role_s_port_is_the_host_s_own():
    (port,) = sut.expected_ports(HA | {"components": ["backup"]}, {"pgbackrest_tls_port": "8433"})
    assert port == {"port": 8433, "component": "pgbackrest", "units": ["pgbackrest.service"], "addresses": []}


def test_haproxy_s_metrics_have_a_port_only_where_they_are_read():
    watched = {"monitoring": {"ports": {"haproxy_metrics": 8406, "node_exporter": 9100}}}
    ports = sut.expected_ports(HA | watched | {"components": ["haproxy", "node_exporter"]})
    assert [(port["port"], port["units"]) for port in ports if port["port"] != 5000] == [
        (8406, ["haproxy.service"]),
        (9100, ["holdfast-node-exporter.service"]),
    ]


def test_the_pooler_leaves_virtual_addresses_to_haproxy():
    (port,) = sut.expected_ports(HA | {"components": ["pgbouncer"]})
    assert port["addresses"] == ["198.51.100.11", "127.0.0.1"]


@pytest.mark.parametrize(
    ("one", "other", "seconds"),
    [((0.0, 0.1), (0.05, 0.2), 0.0), ((0.0, 0.1), (2.1, 2.2), 2.0), ((5.0, 5.1), (-1.0, 0.0), 5.0)],
)
def test_skew_is_what_is_certain(one, other, seconds):
    for pair in ((one, other), (other, one)):
        assert sut.skew(*pair) == pytest.approx(seconds)


def test_clock_findings_name_both_hosts():
    found = list(sut.clock_findings({"a": (0, 0.1), "b": (0, 0.2), "c": (3, 3.1)}, 0.5))
    assert [(item.host, item.finding.value) for item in found] == [
        ("a", "2.9 s or more from c"),
        ("b", "2.8 s or more from c"),
        ("c", "2.9 s or more from a"),
    ]
    assert list(sut.clock_findings({"a": (0, 0.1)}, 0.5)) == []


@pytest.mark.parametrize(
    ("version", "specifier", "holds"),
    [
        ("2.21.5", ">=2.19.0", True),
        ("2.18.1", ">=2.19.0", False),
        ("2.22.0.dev0", ">=2.19.0", True),
        ("2.19.0rc1", ">=2.19.0,<3", True),
        ("3.0.1", ">=2.19.0,<3", False),
        ("2.9.10", ">2.10", False),
        ("1.4", "1.4.0", True),
        ("1.0.0", "*", True),
        ("2.18.0", "~=2.19", False),
        ("2.21.0", "~=2.19", True),
        ("3.0.0", "~=2.19", False),
        ("2.20.1", "==2.20.*", True),
        ("2.20.1", ">=2.19,!=2.20.1", False),
        ("2.20.1", ">= 2.19, nonsense", False),
        ("unknown", ">=2.19", False),
    ],
)
def test_satisfies(version, specifier, holds):
    assert sut.satisfies(version, specifier) is holds


def test_version_findings():
    found = sut.version_findings(
        "2.18.0", ">=2.19.0", {"a.b": None, "c.d": "1.0.0", "e.f": ""}, {"a.b": ">=1", "c.d": ">=2", "e.f": ">=2"}
    )
    assert [(item.check, item.value) for item in found] == [
        ("ansible-core", "2.18.0"),
        ("collection", "a.b is missing"),
        ("collection", "c.d 1.0.0"),
    ]


def test_secrets_findings():
    secrets = {secret.name: "x" * 20 for secret in SECRETS}
    good = {"ha_secrets": secrets, "ha_role_passwords": {"app": "y" * 8}}
    assert list(sut.secrets_findings(good)) == []
    assert list(sut.secrets_findings({})) == []
    (finding,) = sut.secrets_findings(good | {"ha_role_passwords": {"app": "hunter2"}})
    assert "ha_role_passwords.app" in finding.value
    assert "hunter2" not in finding.value


def test_topology_findings():
    assert list(sut.topology_findings(["a"])) == []
    assert len(list(sut.topology_findings([]))) == 1


def test_report_joins_equal_findings():
    weak = Finding("clock", "not synchronized", "mend it", "warning")
    found = [
        sut.HostFinding("a", weak),
        sut.HostFinding("b", weak),
        sut.HostFinding("b", Finding("init", "tini", "boot it")),
    ]
    assert sut.report(3, found).splitlines() == [
        "Preflight: 3 hosts, 1 errors, 2 warnings",
        "  error    b    init   tini → boot it",
        "  warning  a,b  clock  not synchronized → mend it",
    ]
    assert sut.errors(found) == [found[2]]
    assert sut.report(3, []) == "Preflight: 3 hosts, 0 errors, 0 warnings"


def test_a_patroni_that_etcd_refuses_is_found_on_its_host():
    etcd = {"version": "3.5.30", "guarded": True, "root_only": False}
    old, new = ({"version": version, "authenticates": version == "4.1.1"} for version in ("4.0.7", "4.1.1"))
    stores = {
        "db1": {"etcd": etcd, "patroni": old},
        "db2": {"etcd": etcd, "patroni": new},
        "db3": {"etcd": None, "patroni": old},
        "lb1": {"etcd": None, "patroni": None},
    }
    found = list(sut.store_findings(stores))
    assert [item.host for item in found] == ["db1", "db3"]
    assert all(item.finding.level == "error" and "Patroni 4.0.7" in item.finding.value for item in found)
    assert list(sut.store_findings({"db2": stores["db2"], "lb1": stores["lb1"]})) == []


def test_hosts_of_one_cluster_must_have_one_authority():
    found = list(sut.authority_findings({"lb1": "/b/.pki", "db1": "/a/.pki", "db2": "/a/.pki"}))
    assert [(item.host, item.finding.check, item.finding.level) for item in found] == [
        ("lb1", "certificates_ca_directory", "error")
    ]
    assert "/b/.pki, but /a/.pki on db1" in found[0].finding.value
    assert list(sut.authority_findings({})) == list(sut.authority_findings({"db1": "/a", "db2": "/a"})) == []
