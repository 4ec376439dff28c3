# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.model import Left
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.render import not_done, plan_lines, summary_lines

from tests.unit.plugins.plugin_utils.rolling.clusters import (
    HAPROXY,
    LAB,
    LIBC,
    NEWER,
    SINGLE,
    THREE,
    all_new,
    needs,
    planned,
    reports,
)
from tests.unit.plugins.plugin_utils.rolling.test_survey import certificates


def text(lines):
    return "\n".join(line for line, _color in lines)


UPDATE = """\
Cluster lab: update (stack), 3 of 3 hosts in this order
  1.  n2  upgrades     etcd-server 3.5.16-4 → 3.5.16-5
          upgrades     patroni 4.0.4-1 → 4.0.4-2
          upgrades     haproxy 3.0.11-1 → 3.0.11-2
          restarts     etcd.service, patroni.service, haproxy.service
  2.  n3  upgrades     etcd-server 3.5.16-4 → 3.5.16-5
          upgrades     patroni 4.0.4-1 → 4.0.4-2
          upgrades     haproxy 3.0.11-1 → 3.0.11-2
          upgrades     pgbackrest 2.55-1 → 2.55-2
          restarts     etcd.service, patroni.service, haproxy.service, pgbackrest.service
  3.  n1  primary      goes to n2 or n3 before
          etcd leader  goes to n2 or n3 before
          virtual IP   198.51.100.100 goes to n2 before
          upgrades     etcd-server 3.5.16-4 → 3.5.16-5
          upgrades     patroni 4.0.4-1 → 4.0.4-2
          upgrades     haproxy 3.0.11-1 → 3.0.11-2
          restarts     etcd.service, patroni.service, haproxy.service
  Predicted without writes for the switchover: 0.7 to 6.0 s, median 2.5 s
  Predicted for each move of a virtual IP: 0.1 to 1.8 s, median 0.2 s; new connections wait"""


def test_the_whole_plan():
    found = reports(THREE, primary="n1", etcd_leader="n1", holder="n1")
    assert text(plan_lines(planned(found, all_new(found)))) == UPDATE


@pytest.mark.parametrize(
    ("verb", "only", "expected"),
    [
        ("update", (), "Nothing to update: no newer package is known, and no service runs outdated files."),
        ("restart", ("db1", "db2"), "Nothing to restart on db1, db2: no service runs outdated files."),
        ("reboot", (), "Nothing to reboot: no host requires it, or all have been up for less than reboot_recent."),
    ],
)
def test_nothing_to_do_is_one_sentence(verb, only, expected):
    found = reports(LAB)
    made = planned(found, {host: needs(report["ha"]) for host, report in found.items()}, verb, only=only)
    assert plan_lines(made) == [(expected, "green")]


def test_reasons_reboots_and_what_is_left():
    found = reports(LAB)
    surveys = {host: needs(report["ha"], [LIBC]) for host, report in found.items()}
    surveys["db2"] = needs(found["db2"]["ha"], [LIBC], due=["etcd"], reboot=True, held=["patroni"], lists_age=3 * 86400)
    assert text(plan_lines(planned(found, surveys))).splitlines() == [
        "Cluster lab: update (stack), 1 of 6 hosts in this order",
        "  1.  db2  etcd leader  goes to db3 or db1 before",
        "           restarts     etcd.service",
        "           because      etcd.service: it started before its program was replaced",
        "  Note: package lists are up to 3 d old on db2; a run without --check reads new ones",
        "  Note: held back by apt on db2: patroni",
        "",
        "Left to do:",
        "  - backup1, db1, db2, db3, lb1, lb2: has 1 newer package outside the scope stack (-e update_scope=system)",
        "  - db2: needs a reboot (playbooks/reboot.yml): linux-image was upgraded",
    ]
    assert text(plan_lines(planned(found, surveys, "reboot"))).splitlines()[:4] == [
        "Cluster lab: reboot, 1 of 6 hosts in this order",
        "  1.  db2  etcd leader  goes to db3 or db1 before",
        "           because      linux-image was upgraded",
        "           reboots",
    ]


def test_many_packages_are_counted_and_libraries_leave_open_what_restarts():
    found = reports(LAB)
    surveys = {host: needs(report["ha"]) for host, report in found.items()}
    many = [NEWER, *({**LIBC, "name": f"lib{number}", "security": False} for number in range(30))]
    surveys["db3"] = needs(found["db3"]["ha"], many)
    lines = [" ".join(line.split()) for line, _color in plan_lines(planned(found, surveys, scope="system"))]
    assert "and 11 more packages" in lines
    assert "restarts etcd.service and what else uses the new packages" in lines
    surveys["db3"] = needs(found["db3"]["ha"], [LIBC])
    lines = [" ".join(line.split()) for line, _color in plan_lines(planned(found, surveys, scope="system"))]
    assert "restarts what uses the new packages" in lines


def test_an_accepted_outage_is_said_plainly():
    found = reports(SINGLE, etcd_leader="db1")
    shown = text(plan_lines(planned(found, all_new(found), accept_outage=True)))
    assert "Note: accepted for db1: writes stop while it is out: etcd needs 1 of 1 members, 0 would be left" in shown
    assert "Note: accepted for lb1: clients can't connect while it is out: no other balancer is left" in shown
    assert "virtual IP  198.51.100.100 is gone meanwhile" in shown


def test_refusals_come_last_and_are_red():
    found = reports(LAB)
    found["lb2"] |= {"unreachable": "timed out", "probes": None}
    *_plan, head, line = plan_lines(planned(found, all_new(found)))
    assert head == ("Refused before anything was touched:", "red")
    assert line[0].startswith("  1. lb2: unreachable: timed out → start the host, or mend its network or SSH; ")
    assert line[1] == "red"


def test_without_settings_the_waits_are_unknown():
    found = reports(LAB)
    for report in found.values():
        report["probes"]["timings"] = {"failed": True, "msg": "boom"}
    shown = text(plan_lines(planned(found, all_new(found))))
    assert "Predicted waits: unknown, no host reports etcd's timing" in shown


DONE = [
    {"host": "db3", "upgraded": [NEWER], "restarted": ["etcd.service"], "rebooted": False, "seconds": 4.21},
    {"host": "db2", "upgraded": [], "restarted": [], "rebooted": True, "seconds": 31.0},
]


def test_the_summary_of_a_run_that_went_well():
    waits = [{"clients": "pooled", "seconds": 0.812, "failed": 0}, {"clients": "direct", "seconds": 2, "failed": 3}]
    steps = [{"host": "db3"}, {"host": "db2"}]
    lines = list(summary_lines("update", steps, DONE, [Left("db1", "needs a reboot")], waits))
    assert text(lines).splitlines() == [
        "Updated: 2 hosts in 35 s",
        "  1  db3  1 package upgraded; restarted etcd.service  4.2 s",
        "  2  db2  rebooted                                    31.0 s",
        "  pooled clients: longest wait 0.81 s, 0 failed transactions",
        "  direct clients: longest wait 2.00 s, 3 failed transactions",
        "",
        "Left to do:",
        "  - db1: needs a reboot",
    ]
    assert [color for _line, color in lines[:5]] == ["green", None, None, None, "red"]


def test_the_summary_of_a_run_that_stopped():
    steps = [{"host": host} for host in ("db3", "db2", "db1")]
    left = not_done(steps, DONE[:1])
    lines = text(summary_lines("reboot", steps, DONE[:1], left))
    assert lines.splitlines() == [
        "Rebooted: 1 host in 4 s",
        "  1  db3  1 package upgraded; restarted etcd.service  4.2 s",
        "  Stopped at db2: its work failed, see above. The others serve.",
        "  The rest was not touched. playbooks/status.yml shows the state. Mend it and run the same again.",
        "",
        "Left to do:",
        "  - db2, db1: its turn did not come, or was not over",
    ]
    assert text(summary_lines("restart", [], [], [])) == "No host was restarted"


def test_a_balancer_alone_has_no_switchover_to_predict():
    found = reports(LAB)
    surveys = {host: needs(report["ha"], [HAPROXY] if host == "lb2" else []) for host, report in found.items()}
    assert "Predicted" not in text(plan_lines(planned(found, surveys)))


CERTIFICATES = """\
Cluster lab: certificates, 1 of 6 hosts in this order
  1.  db2  etcd leader  goes to db3 or db1 before
           replaces     ca.crt, host.crt
           reloads      patroni.service
           restarts     etcd.service
           because      /etc/holdfast/tls/host.crt: it ends on 2026-12-24"""


def test_certificates():
    lab = reports(LAB)
    reasons = {"/etc/holdfast/tls/host.crt": ["it ends on 2026-12-24"]}
    changed = {host: certificates(report["ha"]) for host, report in lab.items()}
    changed["db2"] = certificates(
        lab["db2"]["ha"], paths=["ca.crt"], reasons=reasons, due=["etcd.service"], reloads=["patroni.service"]
    )
    assert text(plan_lines(planned(lab, changed, "certificates"))) == CERTIFICATES
    nothing = {host: certificates(report["ha"]) for host, report in lab.items()}
    assert text(plan_lines(planned(lab, nothing, "certificates"))).startswith("Nothing to do: all certificates")
    done = [{"host": "db2", "restarted": ["etcd.service"], "reloaded": ["patroni.service"]}]
    shown = text(summary_lines("certificates", [{"host": "db2"}], done, []))
    assert "reloaded patroni.service; restarted etcd.service" in shown
