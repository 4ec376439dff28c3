# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
from dataclasses import fields, replace

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import module_options
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.judge import judge, notices
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.model import Limits
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.observe import observe
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.render import as_data, as_lines, as_text
from ansible_collections.holdfast.ha.plugins.plugin_utils.status.units import duration, size

from tests.unit.plugins.plugin_utils.rto import cluster as timed

OPTIONS = module_options("cluster_status")
LIMITS = Limits(**{limit.name: OPTIONS[limit.name]["default"] for limit in fields(Limits)})
DAY = 86400
DATABASES = ("db1", "db2", "db3")
SERVERS = [{"name": name, "address": f"198.51.100.1{number}"} for number, name in enumerate(DATABASES, 1)]


SLOTS = [{"name": "db2", "active": True, "retained": 0}, {"name": "db3", "active": False, "retained": 2**31}]


NOTHING_WAITS = {"stack": [], "reboot": {"required": False, "reasons": []}}


def unit(component, active=False):
    name = f"holdfast-{component.replace('_', '-')}.service"
    return {"component": component, "unit": name, "active": active, "reasons": []}


def topology(*components):
    return {
        "cluster": "lab",
        "address": "198.51.100.21",
        "components": list(components),
        "postgresql": {"members": SERVERS, "roles": [{"name": "app"}], "databases": [{"name": "app"}]},
        "etcd": {"members": SERVERS, "endpoints": list(DATABASES), "peer_port": 2380},
        "vrrp": {"instances": [{"name": "main", "addresses": ["198.51.100.100/24"]}]},
        "pools": [
            {"name": "primary", "port": 5000, "role": "primary", "servers": SERVERS},
            {"name": "standby", "port": 5001, "role": "standby", "servers": SERVERS},
        ],
    }


def database():
    members = [
        {"name": "db1", "role": "leader", "state": "running", "timeline": 1, "lag": None},
        {"name": "db2", "role": "quorum_standby", "state": "streaming", "timeline": 1, "lag": 0},
        {"name": "db3", "role": "replica", "state": "streaming", "timeline": 1, "lag": 512},
    ]
    etcd = [
        {"endpoint": name, "healthy": True, "leader": name == "db2", "version": "3.5.16", "error": None}
        for name in DATABASES
    ]
    probes = {
        "etcd": {"endpoints": etcd, "auth_enabled": True, "certificate_required": True, "plaintext_refused": True},
        "postgresql": {
            "cluster": {"leader": "db1", "paused": False, "agreed": True, "members": members},
            "config": timed.CONFIGURATION,
            "problems": [],
        },
        "timings": timed.database(),
        "queue": {"waiting": 0, "age": None, "error": ""},
        "objects": {"primary": True, "roles": ["app", "replicator"], "databases": ["app"], "slots": SLOTS},
    }
    own = ["replicator", "rewinder"]
    return {"ha": topology("etcd", "postgresql"), "unreachable": None, "probes": probes, "own_roles": own}


def server(name, up):
    return {"name": name, "state": "up" if up else "down", "backup": False}


def balancer(holds):
    pools = [
        {"name": "primary", "servers": [server(name, name == "db1") for name in DATABASES]},
        {"name": "standby", "servers": [server(name, name != "db1") for name in DATABASES]},
    ]
    probes = {
        "haproxy": {"running": True, "pools": pools},
        "vrrp": {"running": True, "filtered": True, "held": ["198.51.100.100/24"] if holds else []},
        "timings": timed.balancer(150 if holds else 110, "primary"),
    }
    return {"ha": topology("haproxy", "keepalived"), "unreachable": None, "probes": probes}


def repository():
    full = {"label": "20260101-000000F", "age": 180, "repository_size": 3 * 2**20}
    stanza = {"name": "lab", "ok": True, "message": "ok", "last": {"full": full, "diff": None, "incr": None}}
    probes = {"backup": {"stanzas": [stanza]}, "archive": {"check": "passed"}}
    return {"ha": topology("backup"), "unreachable": None, "probes": probes}


def verification(result="passed", error="", age=3600, canary_age=None):
    record = {"result": result, "error": error, "backup": "20260101-000000F", "seconds": {"total": 12.3}}
    record["canary_age"] = canary_age
    return {"record": record, "age": age, "passed_age": age}


def queue(age, error=""):
    return {"waiting": 7, "age": age, "error": error}


def lab():
    """Return the reports of a healthy lab."""
    databases = {name: database() for name in DATABASES}
    return databases | {"lb1": balancer(True), "lb2": balancer(False), "backup1": repository()}


def problems(reports, limits=None):
    (cluster,) = observe(reports)
    return [(item.subject, item.text) for item in judge(cluster, limits or LIMITS)]


def set_at(reports, path, value):
    """Set reports[path[0]][path[1]]... to value; the host "db*" means all databases."""
    hosts = DATABASES if path[0] == "db*" else (path[0],)
    for host in hosts:
        place = reports[host]
        for key in path[1:-1]:
            place = place[key]
        place[path[-1]] = copy.deepcopy(value)


def etcd_member(name, number):
    return {"name": name, "peer_urls": [f"https://198.51.100.{number}:2380"]}


ETCD = ("probes", "etcd")
PATRONI = ("probes", "postgresql")
CASES = [
    pytest.param(
        [(("lb1", "unreachable"), "timed out"), (("lb1", "probes"), None)],
        [
            ("lb1", "unreachable: timed out"),
            ("virtual IP 198.51.100.100", "no balancer holds it"),
        ],
        id="balancer dead",
    ),
    pytest.param(
        [(("db*", *ETCD, "endpoints", 2, "healthy"), False), (("db*", *ETCD, "endpoints", 2, "error"), "refused")],
        [
            ("etcd db3", "refused"),
            ("etcd", "one more fault stops writes: 2 of 3 members are known to be healthy, 2 are needed"),
        ],
        id="etcd member dead",
    ),
    pytest.param(
        [(("db*", *ETCD, "endpoints", 1, "leader"), False)], [("etcd", "no leader")], id="etcd without leader"
    ),
    pytest.param(
        [(("db*", *ETCD, "endpoints", 0, "leader"), True)],
        [("etcd", "several leaders: db1, db2")],
        id="two etcd leaders",
    ),
    pytest.param(
        [(("db*", *ETCD, "members"), [etcd_member("db3", 13), etcd_member("db4", 14)])],
        [
            ("etcd db4", "is a member that the inventory lacks, and counts for the quorum"),
            ("etcd", "one more fault stops writes: 3 of 4 members are known to be healthy, 3 are needed"),
        ],
        id="an undeclared etcd member",
    ),
    pytest.param(
        [(("db*", *ETCD, "members"), [etcd_member("", 14), etcd_member("db5", 15), etcd_member("", 12)])],
        [
            ("etcd db5", "is a member that the inventory lacks, and counts for the quorum"),
            ("etcd https://198.51.100.14:2380", "is a member that the inventory lacks, and counts for the quorum"),
            ("etcd", "one more fault stops writes: 3 of 5 members are known to be healthy, 3 are needed"),
        ],
        id="undeclared etcd members, one not started yet",
    ),
    pytest.param(
        [(("lb1", "probes", "vrrp", "strangers"), ["198.51.100.23", "2001:db8::23"])],
        [
            ("198.51.100.23", "sends VRRP adverts to lb1, where it is no peer: it may hold virtual IPs"),
            ("2001:db8::23", "sends VRRP adverts to lb1, where it is no peer: it may hold virtual IPs"),
        ],
        id="balancers that the inventory lacks",
    ),
    pytest.param(
        [(("lb1", "probes", "vrrp", "filtered"), False)],
        [("lb1", "doesn't filter VRRP adverts: a stranger's can take virtual IPs")],
        id="an emptied filter of adverts",
    ),
    pytest.param(
        [(("db*", *PATRONI, "cluster", "members", 2, "name"), "db4")],
        [
            (
                "postgresql",
                "db4 is a member that the inventory lacks: it may become leader, and no pool includes it",
            )
        ],
        id="an undeclared member of Patroni",
    ),
    pytest.param(
        [(("db*", *PATRONI, "cluster", "members", number, "state"), "starting") for number in (1, 2)],
        [("postgresql", "one more fault stops writes: no standby streams")],
        id="no standby streams",
    ),
    pytest.param([(("db*", *ETCD, "auth_enabled"), False)], [("etcd", "authentication is off")], id="etcd open"),
    pytest.param(
        [(("db*", *ETCD, "certificate_required"), False)],
        [
            ("etcd", "clients get in without TLS or certificate"),
        ],
        id="etcd without TLS",
    ),
    pytest.param(
        [(("db*", *PATRONI, "problems"), ["db3 is not a member"])],
        [("postgresql", "db3 is not a member")],
        id="Patroni's own doubt",
    ),
    pytest.param(
        [(("db*", *PATRONI, "cluster", "paused"), True)],
        [("postgresql", "Patroni is paused: no failover")],
        id="paused",
    ),
    pytest.param(
        [(("db*", *PATRONI, "cluster", "members", 2, "lag"), 2**30)],
        [("db3", "1.0 GiB behind the leader, 16.0 MiB is the limit")],
        id="lag",
    ),
    pytest.param(
        [(("db*", *PATRONI, "cluster", "members", 1, "pending_restart"), True)],
        [("db2", "needs a restart for changed parameters")],
        id="pending restart",
    ),
    pytest.param(
        [(("db2", "probes", "timings", "patroni"), {"amended": True, "restart_due": True})],
        [("db2", "Patroni has run since before its files changed")],
        id="Patroni's restart is due",
    ),
    pytest.param(
        [(("db2", "probes", "timings", "patroni"), {"amended": False, "unchanged": True, "restart_due": False})],
        [("db2", "Patroni runs without its amendments")],
        id="Patroni is of another version than its amendments",
    ),
    pytest.param(
        [(("db2", "probes", "timings", "patroni"), {"amended": False, "unchanged": True, "restart_due": True})],
        [("db2", "Patroni has run since before its files changed")],
        id="Patroni has not started with its amendments yet",
    ),
    pytest.param(
        [(("db*", *PATRONI, "cluster"), {}), (("db*", *PATRONI, "problems"), ["no member answers"])],
        [("postgresql", "no member answers")],
        id="no PostgreSQL",
    ),
    pytest.param(
        [(("lb2", "probes", "haproxy"), {"running": False, "pools": []})],
        [("lb2", "haproxy does not run")],
        id="haproxy dead",
    ),
    pytest.param(
        [(("lb2", "probes", "vrrp", "running"), False)], [("lb2", "keepalived does not run")], id="keepalived dead"
    ),
    pytest.param(
        [(("lb2", "probes", "rolling"), {**NOTHING_WAITS, "units": [unit("node_exporter"), unit("prometheus", True)]})],
        [("lb2", "holdfast-node-exporter does not run")],
        id="an exporter dead",
    ),
    pytest.param([(("lb2", "probes", "rolling"), {**NOTHING_WAITS, "units": [unit("etcd")]})], [], id="not a monitor"),
    pytest.param(
        [(("lb2", "probes", "vrrp", "held"), ["198.51.100.100/24"])],
        [("virtual IP 198.51.100.100", "held by lb1 and lb2")],
        id="two holders",
    ),
    pytest.param(
        [(("lb1", "probes", "haproxy", "pools", 0, "servers"), [server(name, name == "db2") for name in DATABASES])],
        [
            ("pool primary on lb1", "db1 is down but should serve"),
            ("pool primary on lb1", "db2 is up but should not serve"),
        ],
        id="wrong primary in the pool",
    ),
    pytest.param(
        [(("lb2", "probes", "haproxy", "pools", 1, "servers", 2, "state"), "maint")],
        [("pool standby on lb2", "db3 is held back but should serve")],
        id="standby in maintenance",
    ),
    pytest.param(
        [(("lb1", "probes", "haproxy", "pools", 1, "servers", 0), {"name": "db1", "state": "up", "backup": True})],
        [],
        id="a backup server that is up is no fault",
    ),
    pytest.param(
        [(("backup1", "probes", "backup", "stanzas"), [])], [("backup on backup1", "no answer")], id="no stanza"
    ),
    pytest.param(
        [(("backup1", "probes", "backup", "stanzas", 0, "last", "full"), None)],
        [("backup on backup1", "no full backup")],
        id="no full backup",
    ),
    pytest.param(
        [(("backup1", "probes", "backup", "stanzas", 0, "last", "full", "age"), 9 * DAY)],
        [("backup on backup1", "last full backup 9 d ago"), ("backup on backup1", "last backup 9 d ago")],
        id="old backup",
    ),
    pytest.param(
        [(("backup1", "probes", "archive", "check"), "WAL segment was not archived")],
        [("archiving", "WAL segment was not archived")],
        id="archiving broken",
    ),
    pytest.param(
        [(("backup1", "probes", "archive"), {"failed": True, "msg": "boom"})],
        [("archiving", "boom")],
        id="archive check failed",
    ),
    pytest.param(
        [(("backup1", "probes", "backup"), {"failed": True, "msg": "boom"})],
        [("backup1", "backup can't be asked: boom"), ("backup on backup1", "boom")],
        id="probe failed",
    ),
    pytest.param([(("backup1", "probes", "verification"), verification())], [], id="a verified backup"),
    pytest.param(
        [(("backup1", "probes", "verification"), {"record": None, "age": None, "passed_age": None})],
        [("restore verification on backup1", "no backup was ever verified")],
        id="never verified",
    ),
    pytest.param(
        [(("backup1", "probes", "verification"), verification("failed", error="WAL is missing"))],
        [("restore verification on backup1", "backup 20260101-000000F: WAL is missing")],
        id="a backup that does not restore",
    ),
    pytest.param(
        [(("backup1", "probes", "verification"), verification(age=3 * DAY))],
        [("restore verification on backup1", "last done 3 d ago")],
        id="a verification that is old",
    ),
    pytest.param([(("db*", "probes", "queue"), queue(299))], [], id="a short queue"),
    pytest.param(
        [(("db*", "probes", "queue"), queue(301, "[103] no repository"))],
        [("archiving on db1", "7 WAL files wait, the oldest for 5 min: [103] no repository")],
        id="an archive queue that does not move",
    ),
    pytest.param([(("db2", "probes", "queue"), queue(9999))], [], id="a former leader's queue"),
    pytest.param(
        [(("db1", "probes", "queue"), {"failed": True, "msg": "no such directory"})], [], id="an unknown queue"
    ),
]


def test_the_healthy_lab_has_no_problems():
    assert problems(lab()) == []


@pytest.mark.parametrize(("changes", "expected"), CASES)
def test_a_fault_is_told(changes, expected):
    reports = lab()
    for path, value in changes:
        set_at(reports, path, value)
    assert problems(reports) == expected


def test_a_missing_pool_has_no_server_up():
    reports = lab()
    reports["lb1"]["probes"]["haproxy"]["pools"].pop(0)
    assert problems(reports) == [("pool primary on lb1", "db1 is down but should serve")]


def test_without_a_leader_pools_are_not_judged():
    reports = lab()
    for name in DATABASES:
        reports[name]["probes"]["postgresql"]["cluster"]["leader"] = None
        reports[name]["probes"]["postgresql"]["problems"] = ["there is no leader"]
    assert problems(reports) == [("postgresql", "there is no leader")]


def test_a_stale_view_does_not_count():
    reports = lab()
    cluster = reports["db1"]["probes"]["postgresql"]["cluster"]
    cluster |= {"agreed": False, "leader": "db3"}
    assert problems(reports) == []


def test_everything_dead_is_told():
    reports = lab()
    for report in reports.values():
        report |= {"unreachable": "no route", "probes": None}
    found = problems(reports)
    assert ("postgresql", "no member answers") in found
    assert ("etcd db1", "no host could ask it") in found
    assert ("backup on backup1", "no answer") in found
    (cluster,) = observe(reports)
    assert "Cluster lab: " in as_text(cluster, judge(cluster, LIMITS))


def test_balancers_alone_are_a_cluster():
    reports = {name: report for name, report in lab().items() if name.startswith("lb")}
    for report in reports.values():
        report["ha"] |= {"postgresql": None, "etcd": None}
        report["ha"]["pools"] = [{"name": "web", "port": 80, "servers": [{"name": "web1"}]}]
        report["probes"]["haproxy"]["pools"] = [{"name": "web", "servers": [server("web1", True)]}]
    assert problems(reports) == []
    (cluster,) = observe(reports)
    assert as_text(cluster, []).splitlines() == [
        "Cluster lab: healthy",
        "  redundancy  balancers       2 of 2 are up  bears 1 fault",
        "  virtual IP  198.51.100.100  on lb1",
        "  pool        web:80          on lb1         up web1",
        "              web:80          on lb2         up web1",
    ]


def test_clusters_are_kept_apart():
    reports = lab()
    other = {f"other-{name}": copy.deepcopy(report) for name, report in reports.items()}
    for report in other.values():
        report["ha"]["cluster"] = "other"
    clusters = observe(reports | other)
    assert [cluster.name for cluster in clusters] == ["lab", "other"]
    assert clusters[0].virtual_ips[0].holders == ("lb1",)
    assert clusters[1].virtual_ips[0].holders == ("other-lb1",)


TABLE = """\
Cluster lab: healthy
  redundancy  etcd            3 of 3 are up           bears 1 fault
              postgresql      3 of 3 are up           bears 2 faults
              balancers       2 of 2 are up           bears 1 fault
  postgresql  db1             leader                  running          timeline 1
              db2             standby (synchronous)   streaming        timeline 1  lag 0 B
              db3             standby (asynchronous)  streaming        timeline 1  lag 512 B
  etcd        db1             follower                healthy          3.5.16
              db2             leader                  healthy          3.5.16
              db3             follower                healthy          3.5.16
              clients         authentication on       TLS on
  virtual IP  198.51.100.100  on lb1
  pool        primary:5000    on lb1                  up db1
              primary:5000    on lb2                  up db1
              standby:5001    on lb1                  up db2, db3
              standby:5001    on lb2                  up db2, db3
  backup      backup1         full                    3 min ago        3.0 MiB     20260101-000000F
              backup1         archive                 archiving works
              db1             archive queue           empty"""


def test_the_table():
    (cluster,) = observe(lab())
    state, prediction = as_text(cluster, []).split("\n\n")
    assert state == TABLE
    assert prediction.splitlines()[2].split()[:3] == ["primary_power_loss", "21.3", "s"]


@pytest.mark.parametrize(
    ("answer", "row"),
    [
        (
            verification(),
            "backup1         restore                 verified 60 min ago  took 12.3 s  20260101-000000F",
        ),
        (
            verification(canary_age=47),
            "backup1         restore                 verified 60 min ago  took 12.3 s, RPO 47 s  20260101-000000F",
        ),
        (verification("failed", error="boom"), "backup1         restore                 FAILED 60 min ago"),
        ({"record": None, "age": None, "passed_age": None}, "backup1         restore                 never verified"),
    ],
)
def test_the_verification_s_row(answer, row):
    reports = lab()
    reports["backup1"]["probes"]["verification"] = answer
    (cluster,) = observe(reports)
    assert row in map(str.strip, as_text(cluster, []).splitlines())


def test_problems_are_sentences_with_a_way_out():
    reports = lab()
    reports["lb1"]["probes"]["haproxy"] = {"running": False, "pools": []}
    (cluster,) = observe(reports)
    text = as_text(cluster, judge(cluster, LIMITS))
    assert text.startswith("Cluster lab: 1 problem\n")
    assert text.endswith("\n\n  1. lb1: haproxy does not run → run playbooks/site.yml")


def test_each_repository_has_its_rows_and_problems():
    reports = lab()
    stanzas = reports["backup1"]["probes"]["backup"]["stanzas"]
    stanzas[0]["repository"] = 1
    stanzas.append({"name": "lab", "repository": 2, "ok": False, "message": "[HostConnectError] no", "last": {}})
    (cluster,) = observe(reports)
    found = [(problem.subject, problem.text) for problem in judge(cluster, LIMITS)]
    assert found == [("backup on backup1 repo2", "[HostConnectError] no")]
    lines = [" ".join(line.split()) for line in as_text(cluster, []).splitlines()]
    assert "backup backup1 repo1 full 3 min ago 3.0 MiB 20260101-000000F" in lines
    assert "backup1 repo2 [HostConnectError] no" in lines
    assert "backup1 archive archiving works" in lines


def test_the_data_is_plain():
    (cluster,) = observe(lab())
    data = json.loads(json.dumps(as_data(cluster, [])))
    assert data["healthy"] is True
    assert data["postgresql"]["leader"] == "db1"
    assert data["virtual_ips"][0]["holders"] == ["lb1"]
    assert data["repository"]["check"] == "passed"
    assert data["prediction"]["faults"]["switchover"]["worst"] == 6.0
    assert data["prediction"]["settings"]["vrrp"]["least_priority"] == 110


def test_timings_that_nobody_can_read_are_no_problem_but_predict_nothing():
    reports = lab()
    for name in ("lb1", "lb2"):
        reports[name]["probes"]["timings"] = {"failed": True, "msg": "haproxy.cfg: no time"}
    assert problems(reports) == []
    (cluster,) = observe(reports)
    told = "Predicted time without writes: unknown, no host reports HAProxy's checks of the pool primary"
    assert as_text(cluster, []).endswith(told)


@pytest.mark.parametrize(
    ("count", "text"), [(None, "?"), (0, "0 B"), (2048, "2.0 KiB"), (5 * 2**30, "5.0 GiB"), (2**60, "1024.0 PiB")]
)
def test_sizes(count, text):
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (DAY * 3, "3 d")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def job(result="success", success_age=600, **changes):
    record = {"result": result, "exit_status": "0" if result == "success" else "1", "seconds": 12.34}
    return {
        "name": "etc",
        "scheduled": True,
        "running": False,
        "age": 60,
        "success_age": success_age,
        "allowed": 4000,
        "record": {**record, "consecutive_failures": 2},
        **changes,
    }


NEVER = {"record": None, "age": None, "success_age": 60}
JOB_CASES = [
    pytest.param(job(), None, ["etc", "succeeded", "60 s ago", "took 12.3 s"], id="succeeded"),
    pytest.param(job("exit-code"), "failed, 2 times in a row: exit-code 1", ["etc", "FAILED (exit-code)"], id="failed"),
    pytest.param(job(success_age=7601), "overdue: no success for 2 h", ["etc", "succeeded"], id="overdue"),
    pytest.param(job(success_age=7600), None, ["etc", "succeeded"], id="barely in time"),
    pytest.param(job(success_age=7601, running=True), None, ["etc", "runs"], id="overdue, but running"),
    pytest.param(job(success_age=7601, allowed=None), None, ["etc", "succeeded"], id="a schedule that ends"),
    pytest.param(job(scheduled=False), "its timer does not run", ["etc", "NOT SCHEDULED"], id="timer dead"),
    pytest.param(job(**NEVER), None, ["etc", "never ran"], id="new"),
    pytest.param(job(**{**NEVER, "success_age": 7601}), "overdue: no success for 2 h", ["etc", "never ran"], id="late"),
]


@pytest.mark.parametrize(("told", "problem", "row"), JOB_CASES)
def test_jobs(told, problem, row):
    reports = lab()
    reports["backup1"]["probes"]["jobs"] = {"jobs": [told]}
    expected = [("job etc on backup1", problem)] if problem else []
    assert problems(reports) == expected
    (cluster,) = observe(reports)
    shown = as_text(cluster, [])
    (line,) = [line for line in shown.splitlines() if line.lstrip().startswith("job ")]
    assert [cell.strip() for cell in line.split("  ") if cell.strip()][2 : 2 + len(row)] == row
    assert as_data(cluster, [])["jobs"][0]["name"] == "etc"


def test_a_limit_of_jobs_is_heeded():
    reports = lab()
    reports["backup1"]["probes"]["jobs"] = {"jobs": [job(success_age=4011)]}
    assert problems(reports, replace(LIMITS, job_margin=10)) == [
        ("job etc on backup1", "overdue: no success for 66 min")
    ]


def test_jobs_that_can_not_be_asked_are_a_problem():
    reports = lab()
    reports["backup1"]["probes"]["jobs"] = {"failed": True, "msg": "boom"}
    assert problems(reports) == [("backup1", "jobs can't be asked: boom")]


@pytest.mark.parametrize(
    ("live", "wrong"),
    [("5", []), ("15", [("lb1", "net.ipv4.tcp_retries2 is 15, not 5")])],
)
def test_a_kernel_without_the_settings_of_its_file_is_a_problem(live, wrong):
    reports = lab()
    reports["lb1"]["probes"]["timings"]["connections"] = {"net.ipv4.tcp_retries2": {"kept": "5", "live": live}}
    assert problems(reports) == wrong


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        ({"loaded": True, "kept": True, "same": True}, []),
        ({"loaded": False, "kept": True, "same": False}, ["its firewall is not loaded, and closes no port"]),
        ({"loaded": True, "kept": False, "same": False}, ["its firewall is lost at the next boot"]),
        ({"loaded": True, "kept": True, "same": False}, ["its firewall has other rules than were confirmed"]),
        ({"failed": True, "msg": "boom"}, ["firewall can't be asked: boom"]),
    ],
)
def test_a_host_without_the_firewall_that_was_confirmed_is_a_problem(found, wrong):
    reports = lab()
    reports["lb1"]["probes"]["firewall"] = found
    assert problems(reports) == [("lb1", text) for text in wrong]


def with_certificates(**days):
    reports = lab()
    for host, remaining in days.items():
        certificate = {"name": "host.crt", "remaining": remaining * DAY, "error": ""}
        reports[host]["probes"]["certificates"] = {"certificates": [certificate]}
    return reports


@pytest.mark.parametrize(
    ("days", "wrong", "ahead"),
    [
        ({"db1": 700, "lb1": 31}, [], []),
        ({"db1": 20, "lb1": 29, "db2": 31}, [], [("certificate host.crt on db1, lb1", "ends in 20 d")]),
        (
            {"db1": 3, "lb1": 20},
            [("certificate host.crt on db1", "ends in 3 d")],
            [("certificate host.crt on lb1", "ends in 20 d")],
        ),
        ({"db1": -3}, [("certificate host.crt on db1", "ended 3 d ago")], []),
    ],
)
def test_certificates_that_end_are_announced_before_they_are_a_problem(days, wrong, ahead):
    reports = with_certificates(**days)
    (cluster,) = observe(reports)
    assert problems(reports) == wrong
    soon = notices(cluster, LIMITS)
    assert [(item.subject, item.text) for item in soon] == ahead
    assert all(subject in as_text(cluster, [], soon) for subject, _text in ahead)
    assert [item["subject"] for item in as_data(cluster, [], soon)["notices"]] == [subject for subject, _text in ahead]


def test_a_certificate_that_cannot_be_read_is_a_problem():
    reports = lab()
    broken = {"name": "client.crt", "remaining": None, "error": "holds no certificate"}
    reports["lb2"]["probes"]["certificates"] = {"certificates": [broken]}
    assert problems(reports) == [("certificate client.crt on lb2", "holds no certificate")]


def test_the_table_shows_the_end_of_each_certificate():
    (cluster,) = observe(with_certificates(db1=700, lb1=300))
    shown = [line.split() for line in as_text(cluster, []).splitlines()]
    assert ["certificate", "db1", "host.crt:", "ends", "in", "700", "d"] in shown
    assert ["lb1", "host.crt:", "ends", "in", "300", "d"] in shown


def test_authorities_share_a_row_and_certificates_that_end_together_a_cell():
    reports = lab()
    for host, end in {"db1": 3000, "lb1": 3000}.items():
        items = [("ca.crt", end * DAY), ("client.crt", -2 * DAY), ("host.crt", -2 * DAY)]
        told = [{"name": name, "remaining": remaining, "error": ""} for name, remaining in items]
        reports[host]["probes"]["certificates"] = {"certificates": told}
    shown = [" ".join(line.split()) for line in as_text(observe(reports)[0], []).splitlines()]
    assert "certificate authority ca.crt: ends in 3000 d" in shown
    assert "db1 client.crt, host.crt: ENDED 2 d ago" in shown


def test_the_table_calls_down_only_what_ought_to_be_up():
    reports = lab()
    assert "DOWN" not in as_text(observe(reports)[0], [])
    set_at(reports, ("lb1", "probes", "haproxy", "pools", 1, "servers", 2, "state"), "down")
    shown = as_text(observe(reports)[0], [])
    assert "up db2           DOWN db3" in shown
    assert shown.count("DOWN") == 1


@pytest.mark.parametrize(
    ("slot", "problem", "notice"),
    [
        ({"name": "ghost", "active": False, "retained": 2**30}, True, False),
        ({"name": "ghost", "active": False, "retained": 2**29}, False, True),
        ({"name": "ghost", "active": False, "retained": None}, False, True),
        ({"name": "ghost", "active": True, "retained": 2**40}, False, False),
        ({"name": "db_3", "active": False, "retained": 2**40}, False, False),
        ({"name": "permanent", "active": False, "retained": 2**40}, False, False),
        ({"name": "ignored", "active": False, "retained": 2**40}, False, False),
    ],
)
def test_a_slot_that_nobody_reads_keeps_wal(slot, problem, notice):
    reports = lab()
    for name in DATABASES:
        probes = reports[name]["probes"]
        probes["objects"] = {**probes["objects"], "primary": name == "db2", "slots": [slot] if name == "db2" else SLOTS}
        more = {"slots": {"permanent": {"type": "physical"}}, "ignore_slots": [{"name": "ignored"}]}
        probes["postgresql"] = {**probes["postgresql"], "config": {**probes["postgresql"]["config"], **more}}
    members = reports["db2"]["ha"]["postgresql"]["members"]
    reports["db2"]["ha"]["postgresql"] = {
        **reports["db2"]["ha"]["postgresql"],
        "members": [*members, {"name": "DB-3", "address": "198.51.100.13"}],
    }
    (cluster,) = observe(reports)
    subject = f"replication slot {slot['name']}"
    assert (subject in [item.subject for item in judge(cluster, LIMITS)]) is problem
    assert (subject in [item.subject for item in notices(cluster, LIMITS)]) is notice


def test_what_is_there_and_declared_nowhere_is_told():
    reports = lab()
    objects = {"primary": True, "roles": ["app", "bob", "replicator"], "databases": ["app", "left"], "slots": []}
    for name in DATABASES:
        reports[name]["probes"]["objects"] = {**objects, "primary": name == "db1"}
    (cluster,) = observe(reports)
    assert problems(reports) == []
    told = [(item.subject, item.text, item.fix) for item in notices(cluster, LIMITS)]
    assert told == [
        ("SQL roles", "not declared: bob", "add them to clusters.lab.roles, or drop them"),
        ("SQL databases", "not declared: left", "add them to clusters.lab.databases, or drop them"),
    ]


def without(name):
    """Return the lab's reports with a database host that is off."""
    reports = lab()
    reports[name] |= {"unreachable": "timed out", "probes": None}
    gone = ("probes", "postgresql", "cluster", "members", DATABASES.index(name))
    for other in set(DATABASES) - {name}:
        set_at(reports, (other, *gone, "state"), "stopped")
        endpoint = (other, *ETCD, "endpoints", DATABASES.index(name))
        set_at(reports, (*endpoint, "healthy"), False)
        set_at(reports, (*endpoint, "error"), "timed out")
    return reports


# changes to the reports -> (name, how many serve of how many, who does not, spare)
REDUNDANCY_CASES = [
    pytest.param([], [("etcd", 3, (), 1), ("postgresql", 3, (), 2), ("balancers", 2, (), 1)], id="all up"),
    pytest.param(
        [(("lb2", "probes", "haproxy", "running"), False)],
        [("etcd", 3, (), 1), ("postgresql", 3, (), 2), ("balancers", 2, ("lb2",), 0)],
        id="a balancer without HAProxy",
    ),
    pytest.param(
        [(("db*", "ha", "postgresql", "members", 1, "failover_priority"), 0)],
        [("etcd", 3, (), 1), ("postgresql", 3, (), 1), ("balancers", 2, (), 1)],
        id="a standby that may not lead",
    ),
    pytest.param(
        [(("db*", *PATRONI, "config", "synchronous_mode_strict"), True)],
        [("etcd", 3, (), 1), ("postgresql", 3, (), 1), ("balancers", 2, (), 1)],
        id="writes wait for the last standby",
    ),
    pytest.param(
        [(("db*", *ETCD, "members"), [etcd_member("old", 19)])],
        [("etcd", 4, ("old",), 0), ("postgresql", 3, (), 2), ("balancers", 2, (), 1)],
        id="an undeclared etcd member",
    ),
    pytest.param(
        [(("db*", *ETCD, "endpoints", 1, "leader"), False)],
        [("etcd", 3, (), -1), ("postgresql", 3, (), 2), ("balancers", 2, (), 1)],
        id="etcd without leader",
    ),
]


@pytest.mark.parametrize(("changes", "expected"), REDUNDANCY_CASES)
def test_redundancy(changes, expected):
    reports = copy.deepcopy(lab())
    for path, value in changes:
        set_at(reports, path, value)
    (cluster,) = observe(reports)
    assert [(part.name, part.total, part.lost, part.spare) for part in cluster.redundancy] == expected


def test_with_a_host_down_the_table_tells_what_is_lost_and_what_is_still_borne():
    (cluster,) = observe(without("db3"))
    lines = [" ".join(line.split()) for line in as_text(cluster, []).splitlines()]
    assert "redundancy etcd 2 of 3 are up bears no further fault LACKS db3" in lines
    assert "postgresql 2 of 3 are up bears 1 fault LACKS db3" in lines
    assert (
        "WITHOUT END primary_power_loss, primary_etcd_leader_power_loss: etcd has no member to spare, 2 of 3 are up"
        in lines
    )
    assert cluster.outlook is not None
    assert "primary_power_loss" not in cluster.outlook.predictions
    assert "switchover" in cluster.outlook.predictions
    assert cluster.outlook.settings.standbys == 1


def test_where_no_standby_streams_nothing_is_predicted_that_needs_one():
    reports = without("db3")
    set_at(reports, ("db1", *PATRONI, "cluster", "members", 1, "state"), "starting")
    set_at(reports, ("db2", *PATRONI, "cluster", "members", 1, "state"), "starting")
    (cluster,) = observe(reports)
    assert "switchover" in cluster.outlook.endless
    assert set(cluster.outlook.predictions) == {
        "patroni_killed",
        "balancer_power_loss",
        "haproxy_killed",
        "keepalived_killed",
        "balancer_isolated",
    }


def test_etcd_apart_from_the_databases_does_not_lose_a_member_with_the_primary():
    reports = lab()
    others = [{"name": name, "address": name} for name in ("e1", "e2", "e3")]
    for report in reports.values():
        report["ha"]["etcd"] = {"members": others, "endpoints": list(DATABASES), "peer_port": 2380}
    set_at(reports, ("db*", *ETCD, "endpoints", 2, "healthy"), False)
    (cluster,) = observe(reports)
    assert cluster.redundancy[0].spare == 0
    assert cluster.outlook.endless == {}


@pytest.mark.parametrize(("reports", "color"), [(lab(), "green"), (without("db3"), "red")])
def test_color_tells_what_is_right(reports, color):
    (cluster,) = observe(reports)
    lines = list(as_lines(cluster, judge(cluster, LIMITS)))
    assert lines[0][1] == color
    assert {shade for text, shade in lines[1:] if "LACKS" in text or text.startswith("  1. ")} == (
        set() if color == "green" else {"red"}
    )


def test_a_silent_pgbackrest_server_is_a_problem_unless_its_host_is():
    text = "its pgBackRest server does not answer the repository host"
    reports = lab()
    reports["backup1"]["probes"]["archive"] = {"check": "passed", "silent": ["198.51.100.13"]}
    assert problems(reports) == [("db3", text)]
    reports["db3"]["unreachable"] = "timed out"
    assert ("db3", text) not in problems(reports)


def protected(**changes):
    return {
        "policy": "own", "unprotected": [], "upgradable": [], "restarts": False, "reboots": False, **changes
    }  # fmt: skip


def rolling(**changes):
    return {"stack": [], "units": [], "reboot": {"required": False, "reasons": []}, **changes}


def package(name, security=False):
    return {"name": name, "installed": "1", "candidate": "2", "security": security}


def service(unit, *reasons, active=True):
    return {"component": "etcd", "unit": unit, "active": active, "reasons": list(reasons)}


FAILED = {"failed": True, "msg": "apt is broken"}
NEWER = "its program was replaced"
UPDATE_CASES = [
    pytest.param({"db1": rolling(), "lb1": rolling()}, {}, [], id="nothing waits"),
    pytest.param(
        {"db1": rolling(stack=[package("etcd-server", security=True), package("patroni")]), "db2": FAILED},
        {},
        [
            ("updates", "2 packages of the stack wait on db1, 1 for security: etcd-server, patroni", "update.yml"),
            ("db2", "rolling can't be asked: apt is broken", "mend apt"),
        ],
        id="packages",
    ),
    pytest.param(
        {host: rolling(stack=[package("haproxy")]) for host in ("lb1", "lb2")},
        {},
        [("updates", "1 package of the stack waits on lb1, lb2: haproxy", "update.yml")],
        id="one package on two hosts",
    ),
    pytest.param(
        {
            "db1": rolling(units=[service("etcd.service", NEWER), service("haproxy.service")]),
            "db2": rolling(units=[service("etcd.service", NEWER), service("patroni.service", "x", active=False)]),
        },
        {},
        [("etcd.service on db1, db2", f"needs a restart: {NEWER}", "restart.yml")],
        id="an older program",
    ),
    pytest.param(
        {"db1": rolling(reboot={"required": True, "reasons": ["linux-image"]})},
        {},
        [("db1", "a reboot is pending: linux-image", "reboot.yml")],
        id="a reboot",
    ),
    pytest.param(
        {},
        {"db1": protected(), "db2": FAILED},
        [("db2", "protection can't be asked: apt is broken", "mend apt")],
        id="protected",
    ),
    pytest.param(
        {},
        {host: protected(policy="absent", unprotected=["etcd.service", "patroni.service"]) for host in ("db1", "db2")},
        [
            (
                "upgrades by others on db1, db2",
                "may restart etcd.service, patroni.service",
                "run playbooks/packages.yml with packages_protection: true",
            )
        ],
        id="no protection",
    ),
    pytest.param(
        {},
        {"lb1": protected(policy="foreign", unprotected=["haproxy.service"], restarts=True)},
        [
            (
                "upgrades by others on lb1",
                "may restart haproxy.service, as its own policy-rc.d allows",
                "let /usr/sbin/policy-rc.d answer 101",
            ),
            ("upgrades by others on lb1", "needrestart may restart services of the stack", "packages.yml"),
        ],
        id="a user's policy",
    ),
    pytest.param(
        {},
        {"lb1": protected(upgradable=[f"p{number}" for number in range(9)], reboots=True)},
        [
            (
                "upgrades by others on lb1",
                "unattended-upgrades replaces p0, p1, p2, p3, p4 and 4 more",
                "packages.yml",
            ),
            ("upgrades by others on lb1", "unattended-upgrades reboots hosts by itself", "reboot.yml"),
        ],
        id="unattended-upgrades",
    ),
]


@pytest.mark.parametrize(("updates", "protection", "expected"), UPDATE_CASES)
def test_what_waits_and_what_others_may_do_are_notices(updates, protection, expected):
    reports = lab()
    before = problems(reports)
    for probe, answers in (("rolling", updates), ("protection", protection)):
        for host, answer in answers.items():
            reports[host]["probes"][probe] = answer
    (cluster,) = observe(reports)
    found = [item for item in notices(cluster, LIMITS) if not item.subject.startswith("replication slot")]
    assert [(item.subject, item.text) for item in found] == [(subject, text) for subject, text, _fix in expected]
    assert all(fix in item.fix for item, (_subject, _text, fix) in zip(found, expected, strict=True))
    assert problems(reports) == before


def test_a_unit_that_a_problem_names_is_no_notice_too():
    reports = lab()
    reports["db1"]["probes"]["timings"] = {**timed.database(), "patroni": {"amended": True, "restart_due": True}}
    reports["db1"]["probes"]["rolling"] = rolling(units=[service("patroni.service", NEWER)])
    (cluster,) = observe(reports)
    assert "Patroni has run since before its files changed" in [item.text for item in judge(cluster, LIMITS)]
    assert not [item for item in notices(cluster, LIMITS) if "patroni.service" in item.subject]


def test_the_document_has_what_waits():
    reports = lab()
    reports["db1"]["probes"]["rolling"] = rolling(stack=[package("patroni")], units=[service("etcd.service", NEWER)])
    reports["db1"]["probes"]["protection"] = protected()
    (cluster,) = observe(reports)
    data = json.loads(json.dumps(as_data(cluster, [])))
    assert data["updates"] == [
        {"host": "db1", "packages": [package("patroni")], "units": {"etcd.service": [NEWER]}, "reboot": []}
    ]
    assert data["protection"] == [{"host": "db1", **protected()}]
