# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_guard import Etcd, Patroni, parse_candidate, refusal

OLD = "    def lease_keepalive(self, ID: str):\n"
MENDED = f"    @_handle_auth_errors\n{OLD}"
BACKPORT = "etcd (3.5.16-4+deb13u1) trixie-security; urgency=high\n  * CVE-2026-33413: guard endpoints\n"


@pytest.mark.parametrize(
    ("version", "changelog", "guarded", "root_only"),
    [
        ("3.4.23", "", False, False),
        ("3.4.41", "", False, False),
        ("3.4.42", "", True, True),
        ("3.4.43", "", True, False),
        ("3.5.16", "", False, False),
        ("3.5.16+ds1", BACKPORT, True, False),
        ("3.5.27", "", False, False),
        ("3.5.28", "", True, True),
        ("3.5.33", "", True, False),
        ("3.6.8", "", False, False),
        ("3.6.9", "", True, True),
        ("3.6.10", "", True, False),
        ("3.7.0", "", True, False),
        ("3.3.99", "", False, False),
    ],
)
def test_etcd(version, changelog, guarded, root_only):
    assert Etcd.of(version, changelog) == Etcd(version, guarded, root_only)


@pytest.mark.parametrize(
    ("version", "source", "authenticates"),
    [
        ("3.0.2", "", False),
        ("3.3.11", OLD, False),
        ("4.0.7", OLD, False),
        ("4.0.7", MENDED, True),
        ("4.0.8", "", True),
        ("4.1.0", "", False),
        ("4.1.1", "", True),
        ("4.2.0", "", True),
        ("5.0.0", "", True),
    ],
)
def test_patroni(version, source, authenticates):
    assert Patroni.of(version, source).authenticates is authenticates


def test_a_refusal_names_versions_hosts_and_the_fix():
    etcds = {"db2": Etcd.of("3.5.29"), "db1": Etcd.of("3.5.29"), "db3": Etcd.of("3.5.16")}
    found = refusal(Patroni.of("4.0.7"), etcds, beside_etcd=True)
    assert found is not None
    assert "Patroni 4.0.7" in found[0]
    assert "etcd 3.5.29 on db1, db2" in found[0]
    assert "4.0.8, 4.1.1" in found[1]
    assert refusal(Patroni.of("4.0.8"), etcds, beside_etcd=False) is None
    assert refusal(Patroni.of("4.0.7"), {"db3": etcds["db3"]}, beside_etcd=False) is None


@pytest.mark.parametrize("beside_etcd", [True, False])
def test_who_is_beside_etcd_asks_for_no_members(beside_etcd):
    found = refusal(Patroni.of("4.0.8"), {"db1": Etcd.of("3.5.28")}, beside_etcd)
    assert (found is None) is beside_etcd
    assert found is None or "etcd 3.5.28 on db1 returns its members to root only" in found[0]


@pytest.mark.parametrize(
    ("policy", "candidate"),
    [
        ("patroni:\n  Installed: (none)\n  Candidate: 4.0.7-3~deb13u1\n  Version table:\n", "4.0.7-3~deb13u1"),
        ("patroni:\n  Installed: (none)\n  Candidate: (none)\n", ""),
        ("", ""),
    ],
)
def test_parse_candidate(policy, candidate):
    assert parse_candidate(policy) == candidate
