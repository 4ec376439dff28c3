# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from types import MappingProxyType

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.access import Files, cluster_text

FILES = Files("pki/ca.crt", "secrets.yml", encrypted=True)
MEMBERS = [{"name": "db1", "address": "192.0.2.1"}, {"name": "db2", "address": "2001:db8::2"}]
POSTGRESQL = MappingProxyType(
    {
        "members": MEMBERS,
        "port": 5432,
        "databases": [{"name": "old", "owner": "x", "state": "absent"}, {"name": "shop", "owner": "web"}],
        "roles": [{"name": "web"}, {"name": "gone", "state": "absent"}],
    }
)


def pool(port, role, *addresses, service="postgresql"):
    return {"name": role or service, "port": port, "role": role, "addresses": list(addresses), "service": service}


def text(pools, postgresql=POSTGRESQL, pooler=None, files=FILES):
    balancer = {"address": "192.0.2.21", "components": ["haproxy"]}
    ha = {
        "cluster": "c",
        "pools": pools,
        "postgresql": postgresql,
        "pooler": pooler,
        "members": [balancer],
        "tls": {"ca": "/srv/tls/ca.crt"},
    }
    return [" ".join(line.split()) for line in cluster_text(ha, files).splitlines()]


def test_pools_are_told_with_what_they_serve():
    pools = [
        pool(5000, "primary", "192.0.2.100", "2001:db8::100"),
        pool(5001, "standby"),
        pool(6432, None, "192.0.2.100", service="pgbouncer"),
        pool(80, None, service="web"),
    ]
    connection = "host=192.0.2.100 port=5000 dbname=shop user=web sslmode=verify-full sslrootcert=pki/ca.crt"
    assert text(pools, pooler={"mode": "session"}) == [
        "Cluster c",
        "192.0.2.100 port 5000 PostgreSQL, reads and writes (the primary)",
        "2001:db8::100 port 5000 PostgreSQL, reads and writes (the primary)",
        "192.0.2.21 port 5001 PostgreSQL, reads only (the standbys)",
        "192.0.2.100 port 6432 PgBouncer in session mode, reads and writes",
        "192.0.2.21 port 80 web (pool web)",
        "CA pki/ca.crt, on the hosts /srv/tls/ca.crt",
        "passwords secrets.yml (ansible-vault view): ha_role_passwords for web; ha_secrets for all others",
        f'connect psql "{connection}"',
    ]


def test_without_pools_clients_look_for_the_primary_themselves():
    lines = text([])
    assert "2001:db8::2 port 5432 PostgreSQL on db2" in lines
    assert "host=192.0.2.1,2001:db8::2 port=5432 dbname=shop" in lines[-1]
    assert lines[-1].endswith('target_session_attrs=read-write"')


@pytest.mark.parametrize(
    ("postgresql", "files", "last"),
    [
        (None, FILES, "192.0.2.21 port 80 web (pool web)"),
        (
            {**POSTGRESQL, "databases": [], "roles": []},
            Files("ca", ""),
            "passwords the inventory: ha_secrets for all others",
        ),
    ],
)
def test_what_a_cluster_does_not_have_is_left_out(postgresql, files, last):
    assert text([pool(80, None, service="web")], postgresql, files=files)[-1] == last


def test_a_pool_of_another_pgbouncer_is_named_as_any_other():
    pools = [{"name": "theirs", "port": 6000, "role": None, "addresses": [], "service": "pgbouncer"}]
    assert "192.0.2.21 port 6000 pgbouncer (pool theirs)" in text(pools, postgresql=None)
