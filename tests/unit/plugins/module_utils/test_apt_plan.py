# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import apt_plan
from ansible_collections.holdfast.ha.plugins.module_utils.apt_plan import Known, RefusedError, Simulation, Step, Upgrade

from tests.unit.plugins.module_utils.apt_plan_data import FILES, INSTALLED, POLICIES, SIMULATED

KNOWN = Known(
    apt_plan.parse_installed(INSTALLED),
    apt_plan.parse_policies(POLICIES),
    apt_plan.parse_security_files(FILES),
    apt_plan.parse_simulation(SIMULATED),
)
FIXED, NEWEST, NOW, OLDER = (
    "3.0.11-1+deb13u5+hf1", "3.0.11-1+deb13u5+hf2", "3.0.11-1+deb13u5", "3.0.11-1+deb13u4",
)  # fmt: skip
THERE = f"3.2.0-1~bpo13+1, {NEWEST}, {FIXED}, {NOW}, {OLDER}"
ALLOW = "leave it out, or set allow_downgrade to true"


def test_installed_packages_have_apts_names():
    assert {"libpq5", "libpq5:i386", "etcd-server"} < KNOWN.packages.keys()
    assert "removed" not in KNOWN.packages
    assert KNOWN.packages["etcd-server"].held
    assert not KNOWN.packages["haproxy"].held
    assert KNOWN.packages["postgresql"].depends == ("postgresql-17", "debconf", "debconf-2.0")


def test_a_policy():
    policy = KNOWN.policies["haproxy"]
    assert (policy.installed, policy.candidate) == (NOW, NEWEST)
    assert policy.available == ["3.2.0-1~bpo13+1", NEWEST, FIXED, NOW, OLDER]
    assert [policy.is_newer(version) for version in (FIXED, NOW, OLDER, "9")] == [True, False, False, False]
    assert [offer.version for offer in policy.up_to(NEWEST)] == [NEWEST, FIXED]
    assert KNOWN.policies["pgbouncer"].candidate == ""
    assert [offer.priority for offer in KNOWN.policies["pgbouncer"].offers] == [-1, -1]
    assert KNOWN.policies["libpq5:i386"].available == ["17.12-0+deb13u1"]


def test_security_suites():
    assert KNOWN.security == {
        "file:/srv/security ./ Packages",
        "file:/srv/debian-security trixie-security/main amd64 Packages",
    }


@pytest.mark.parametrize(
    ("label", "suites", "expected"),
    [
        ("Debian-Security", ("stable", "trixie"), True),
        ("Ours", ("trixie-security",), True),
        ("Ours", ("stable", "trixie-security"), True),
        ("Debian", ("stable", "trixie"), False),
        ("security tools", ("stable",), False),
    ],
)
def test_what_a_security_suite_is(label, suites, expected):
    assert apt_plan.is_security(label, *suites) is expected


def test_a_simulation():
    assert [(step.name, step.installed, step.candidate) for step in KNOWN.upgrade.steps] == [
        ("libssl3t64", "3.5.9-1~deb13u1", "3.5.9-1~deb13u1+hf1"),
        ("linux-image-6.12.57+deb13-amd64", "", "6.12.57-1"),
        ("haproxy", NOW, NEWEST),
        ("python3-etcd", "0.4.5-6", "0.4.5-5"),
        ("libpq5", "17.12-0+deb13u1", "17.12-0+deb13u1+hf2"),
    ]
    assert apt_plan.parse_simulation("Remv haproxy [3.0]\nPurg old [1]\n").removed == ("haproxy", "old")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["haproxy", "not-here"], {"haproxy"}),
        (["etcd-server", "etcd-client"], {"etcd-server"}),
        # Not debconf, which postgresql needs but is not named after it.
        (
            ["postgresql"],
            {"postgresql", "postgresql-common", "postgresql-17", "postgresql-client-17", "libpq5", "libpq5:i386"},
        ),
        (["patroni"], {"patroni"}),
        ([], set()),
    ],
)
def test_the_stack(names, expected):
    assert apt_plan.stack(KNOWN.packages, names, lambda package: package.name == "postgresql") == expected


@pytest.mark.parametrize(
    ("scope", "names", "versions", "expected"),
    [
        ("stack", {"haproxy", "patroni"}, {}, {"haproxy": NEWEST}),
        ("stack", {"etcd-server", "pgbouncer"}, {}, {}),
        ("stack", {"haproxy"}, {"haproxy": FIXED}, {"haproxy": FIXED}),
        ("stack", {"haproxy"}, {"haproxy": NOW}, {}),
        ("stack", {"haproxy"}, {"haproxy": OLDER}, {"haproxy": OLDER}),
        ("stack", set(), {"libssl3t64": "3.5.9-1~deb13u1+hf1", "none": "1"}, {"libssl3t64": "3.5.9-1~deb13u1+hf1"}),
        # Neither the kernel, which comes by itself, nor python3-etcd, which a pin would take back.
        (
            "system",
            set(),
            {},
            {"haproxy": NEWEST, "libpq5": "17.12-0+deb13u1+hf2", "libssl3t64": "3.5.9-1~deb13u1+hf1"},
        ),
        # HAProxy's from the security suite although another one has a higher version; not pgbouncer's, which is pinned.
        ("security", set(), {}, {"haproxy": FIXED, "libssl3t64": "3.5.9-1~deb13u1+hf1"}),
    ],
)
def test_the_versions_to_ask_for(scope, names, versions, expected):
    assert apt_plan.wanted(KNOWN, scope, names, versions) == expected


def test_a_fix_that_a_pin_forbids_is_not_asked_for():
    printed = POLICIES.replace(f"     {FIXED} 500", f"     {FIXED} -1")
    known = dataclasses.replace(KNOWN, policies=apt_plan.parse_policies(printed))
    assert "haproxy" not in apt_plan.wanted(known, "security", (), {})


def test_what_stays():
    assert apt_plan.held(KNOWN) == ["etcd-server", "pgbouncer", "tzdata"]


@pytest.mark.parametrize(
    ("versions", "downgrade", "told"),
    [
        ({}, False, []),
        ({"haproxy": NEWEST}, False, []),
        ({"haproxy": NOW}, False, []),
        ({"none": "1.0"}, False, []),
        (
            {"haproxy": "9.9"},
            True,
            [f"versions: haproxy 9.9 is not available here; there is {THERE}: choose one of them, or refresh"],
        ),
        (
            {"haproxy": OLDER},
            False,
            [f"versions: haproxy {OLDER} is older than the installed {NOW}; {ALLOW}"],
        ),
        ({"haproxy": OLDER}, True, []),
        (
            {"etcd-server": "3.5.16-4+hf2", "patroni": "5"},
            False,
            [
                "versions: etcd-server is on hold, and stays 3.5.16-4; apt-mark unhold etcd-server, or leave it out",
                "versions: patroni 5 is not available here; there is none: choose one of them, or refresh",
            ],
        ),
        ({"etcd-server": "3.5.16-4"}, False, []),
    ],
)
def test_versions_that_cant_be_had(versions, downgrade, told):
    assert apt_plan.unavailable(KNOWN, versions, downgrade) == told


def steps(*names: str) -> Simulation:
    return Simulation(tuple(step for step in KNOWN.upgrade.steps if step.name in names))


def test_what_is_upgraded_and_which_of_it_has_a_fix():
    found = apt_plan.upgrades(KNOWN, steps("haproxy", "libpq5", "libssl3t64", "linux-image-6.12.57+deb13-amd64"), {})
    assert [(one.name, one.security) for one in found] == [
        ("haproxy", True),
        ("libpq5", False),
        ("libssl3t64", True),
        ("linux-image-6.12.57+deb13-amd64", True),
    ]
    assert found[0] == Upgrade("haproxy", NOW, NEWEST, security=True)


def test_a_transaction_that_removes_is_refused():
    with pytest.raises(RefusedError, match="would remove haproxy, keepalived"):
        apt_plan.upgrades(KNOWN, Simulation((), ("haproxy", "keepalived")), {})


def test_a_transaction_that_downgrades_is_refused_unless_it_was_asked_for():
    with pytest.raises(RefusedError, match="would downgrade python3-etcd;"):
        apt_plan.upgrades(KNOWN, steps("python3-etcd"), {})
    assert apt_plan.upgrades(KNOWN, steps("python3-etcd"), {"python3-etcd": "0.4.5-5"}) == [
        Upgrade("python3-etcd", "0.4.5-6", "0.4.5-5", security=False)
    ]


def test_a_step_with_an_origin_without_a_label():
    [step] = apt_plan.parse_simulation("Inst new (1.0 [amd64])").steps
    assert step == Step("new", "", "1.0", "")
    assert not apt_plan.upgrades(KNOWN, Simulation((step,)), {})[0].security


def test_names_that_are_not_installed():
    assert apt_plan.unknown(KNOWN, {"haproxy": "1", "typo": "1", "removed": "2"}) == ["removed", "typo"]
