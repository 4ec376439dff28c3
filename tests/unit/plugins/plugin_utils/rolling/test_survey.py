# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs, as holdfast.ha.rolling_info says it of all units that a component may have."""

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.protection import component_units
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.survey import parse_survey

from tests.unit.plugins.plugin_utils.rolling.clusters import LAB, needs, planned, reports

POOLER = {"name": "pgbouncer", "installed": "1.24.1-1", "candidate": "1.24.1-2", "security": True}


def pooled(ha, packages=(), running=()):
    """Return the survey of a host with a pooler, whose package brings a service that Holdfast does not use."""
    names = (one for one in component_units(ha) if one["unit"] != "pgbouncer.service" or one["unit"] in running)
    active = [{**one, "active": True, "reasons": []} for one in names]
    idle = [{"component": "pgbouncer", "unit": "pgbouncer.service", "active": False, "reasons": []}]
    return {**needs(ha, packages), "units": active if running else active + idle}


@pytest.fixture
def found():
    """The lab with poolers, healthy."""
    lab = reports(LAB)
    for report in lab.values():
        if "postgresql" in report["ha"]["components"]:
            report["ha"]["components"] = [*report["ha"]["components"], "pgbouncer"]
    return lab


def surveys(lab, packages=()):
    return {
        host: pooled(report["ha"], packages) if "pgbouncer" in report["ha"]["components"] else needs(report["ha"])
        for host, report in lab.items()
    }


def test_a_component_s_spare_unit_counts_only_while_it_runs(found):
    ha = found["db1"]["ha"]
    assert "pgbouncer.service" not in {unit.name for unit in parse_survey(pooled(ha)).units}
    running = parse_survey(pooled(ha, running=["pgbouncer.service"]))
    assert "pgbouncer.service" in {unit.name for unit in running.units}


def test_it_is_not_among_what_restarts(found):
    made = planned(found, surveys(found, [POOLER]))
    assert {unit.name for step in made.steps for unit in step.work.restart} == {"holdfast-pgbouncer.service"}


def test_it_is_no_sign_that_an_interrupted_run_left_a_host_out(found):
    for report in found.values():
        members = (report["ha"].get("etcd") or {}).get("members", ())
        for member, seen in zip(members, report["probes"].get("etcd", {}).get("endpoints", ()), strict=False):
            if member["name"] == "db2":
                seen.update(healthy=False, error="sick")
    made = planned(found, surveys(found), "reboot", force=True)
    assert not any(step.out for step in made.steps)
    assert [problem.subject for problem in made.refused] != []


TLS = "/etc/holdfast/tls"
"""Where a host's certificates are."""


def certificates(ha, *, paths=(), reasons=None, due=(), reloads=()):
    """Return a result of holdfast.ha.certificate in check mode; due and reloads are units."""
    units = [
        {
            "component": one["component"],
            "unit": one["unit"],
            "active": True,
            "reasons": [f"{TLS}/ca.crt changed since its start"] if one["unit"] in due else [],
            "reloads": [f"{TLS}/ca.crt changed since its reload"] if one["unit"] in reloads else [],
        }
        for one in component_units(ha, first=True)
    ]
    return {"changed_paths": [f"{TLS}/{path}" for path in paths], "reasons": reasons or {}, "units": units}


def test_another_authority_restarts_etcd_only_and_its_leader_is_last():
    lab = reports(LAB, primary="db1", etcd_leader="db2")
    changed = {
        host: certificates(
            report["ha"], paths=["ca.crt"], due=["etcd.service"], reloads=["patroni.service", "haproxy.service"]
        )
        for host, report in lab.items()
    }
    made = planned(lab, changed, "certificates")
    assert [step.host for step in made.steps] == ["db3", "db2", "db1", "lb2", "lb1", "backup1"]
    steps = {step.host: step for step in made.steps}
    assert [unit.name for unit in steps["db1"].work.restart] == ["etcd.service"]
    assert [unit.name for unit in steps["db1"].work.reload] == ["patroni.service"]
    assert (steps["db1"].primary_to, steps["db2"].etcd_leader_to) == ((), ("db3", "db1"))
    assert (steps["lb1"].work.touches, steps["lb1"].holds_to) == (frozenset(), {})


def test_a_patroni_without_the_amendment_is_restarted_with_a_switchover():
    lab = reports(LAB)
    changed = {host: certificates(report["ha"], due=["patroni.service"]) for host, report in lab.items()}
    (primary,) = [step for step in planned(lab, changed, "certificates").steps if step.primary]
    assert primary.primary_to == ("db2", "db3")


def test_a_backup_goes_on_while_its_server_reloads():
    lab = reports(LAB)
    lab["backup1"]["probes"]["backup"]["stanzas"][0]["locked"] = True
    changed = {host: certificates(report["ha"], reloads=["pgbackrest.service"]) for host, report in lab.items()}
    assert not [step for step in planned(lab, changed, "certificates").steps if step.backup_running]


def test_hosts_that_have_all_take_no_part():
    lab = reports(LAB)
    reasons = {f"{TLS}/host.crt": ["it ends on 2026-12-24"]}
    changed = {
        host: certificates(report["ha"], reasons=reasons if host == "db2" else {}) for host, report in lab.items()
    }
    (step,) = planned(lab, changed, "certificates").steps
    assert (step.host, step.work.files) == ("db2", (f"{TLS}/host.crt",))
    assert step.work.reasons == (f"{TLS}/host.crt: it ends on 2026-12-24",)
