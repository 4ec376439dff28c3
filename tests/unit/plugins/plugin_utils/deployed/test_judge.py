# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed import judge as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.declared import host_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import UNITS

from tests.unit.plugins.plugin_utils.conftest import merge

ROOT = Path(__file__).resolve().parents[5]
CASES = yaml.safe_load((ROOT / "tests" / "unit" / "data" / "deployed_cases.yml").read_text(encoding="utf-8"))
USERS = {"superuser": "postgres", "replication": "replicator", "rewind": "rewinder"}
NOTHING = {
    "patroni": None,
    "postgresql": None,
    "etcd": None,
    "pgbackrest": None,
    "components": [],
    "patroni_members": None,
    "secrets": {},
    "system": "Debian 13",
    "vrrp_peers": [],
    "taken": {},
    "kept": {},
    "emptied": [],
    "trusted": "",
    "keeps": None,
}
SAME = {"stored": True, "accepted": True}


def add_database(found, ha):
    """Add what a database host has."""
    directory = ha["postgresql"]["data_directory"]
    found["patroni"] = {
        **{key: ha[key] for key in ("name", "address")},
        "scope": ha["cluster"],
        "namespace": "/service/",
        "data_directory": directory,
        "port": 5432,
        "rest_port": 8008,
        "users": USERS,
        "stores": ["198.51.100.11", "198.51.100.12", "198.51.100.13"],
    }
    archive = f"/usr/local/lib/holdfast/pgbackrest-push {ha['cluster']} %p"
    found["postgresql"] = {"data_directory": directory, "version": "17", "archive_command": archive}
    found["postgresql"] |= {"archive_mode": "on", "encoding": "UTF8", "locale": "C.UTF-8", "idle": False}
    found["patroni_members"] = [member["name"] for member in ha["postgresql"]["members"]]
    found["secrets"] = found["secrets"] | {
        **{f"postgresql_{kind}": SAME for kind in USERS},
        **dict.fromkeys(("etcd_patroni", "patroni_rest"), SAME),
    }


def deployed(ha):
    """Return what holdfast.ha.deployed_info tells of a host once the cluster stands."""
    found = NOTHING | {"components": [name for name in sorted(UNITS) if name in ha["components"]]}
    if "etcd" in ha["components"]:
        found["etcd"] = {
            "name": ha["name"],
            "data_directory": f"/var/lib/etcd/{ha['etcd']['token']}",
            "wal_directory": f"/var/lib/etcd/{ha['etcd']['token']}/member/wal",
            "client_url": f"https://{ha['address']}:2379",
            "peer_url": f"https://{ha['address']}:2380",
            "members": {f"https://{member['address']}:2380": member["name"] for member in ha["etcd"]["members"]},
        }
        found["secrets"] = dict.fromkeys(("etcd_root", "etcd_lease_watcher"), SAME)
    if "postgresql" in ha["components"]:
        add_database(found, ha)
    if (ha["backup"] or {}).get("kinds"):
        keeps = "repository" in ha["backup"]["kinds"]
        hosts, places = ([], ["/var/lib/pgbackrest"]) if keeps else (["198.51.100.31"], [])
        found["pgbackrest"] = {"stanza": ha["cluster"], "hosts": hosts, "places": places, "retention": {}}
        if keeps:
            found["pgbackrest"]["retention"] = {places[0]: {"full-type": "count", "full": "2", "diff": "7"}}
            found["secrets"] = {"pgbackrest_cipher": SAME}
    return found


@pytest.fixture
def judged(build_case):
    """Judges a case: the base cluster as it was deployed, changed in what is found and in what is wished."""

    def judge(case):
        before = {name: deployed(ha) for name, ha in build_case({}).hosts.items()}
        hosts = []
        for name, ha in build_case(case).hosts.items():
            seen = before.get(case.get("machines", {}).get(name, name), NOTHING)
            changes = merge(case.get("found_everywhere", {}), case.get("found", {}).get(name, {}))
            told = {"deployed": altered(seen, changes)} if name not in case.get("absent", ()) else None
            hosts.append(host_of(name, {"ha": ha, **case.get("variables", {})}, ROOT, told))
        accept = sut.words_of(case.get("accept"))
        return sut.judge(hosts, whole=not case.get("part", False), accept=accept, without=case.get("without", ()))

    return judge


def altered(seen, changes):
    """Mappings are merged, anything else replaces, None too; what a host has none of stays so."""
    if not isinstance(seen, dict) or not isinstance(changes, dict):
        return changes
    known = {key: value for key, value in changes.items() if seen.get(key) is not None or not isinstance(value, dict)}
    return {**seen, **{key: altered(seen.get(key), value) for key, value in known.items()}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_is_deployed_against_what_is_wished(case, judged):
    told = [
        (one.host, one.finding.check, one.finding.level, one.finding.value + one.finding.fix) for one in judged(case)
    ]
    expected = case.get("expect", [])
    assert len(told) == len(expected), told
    for item in expected:
        where = (item["host"], item["check"], item.get("level", "error"))
        assert any(where == tuple(one) and all(part in text for part in item["tells"]) for *one, text in told), told
    assert "never-show-me" not in str(told)


NO_OPS = [
    *("/bin/true", "/usr/bin/true", "/bin/true %p", " true", "true # %p", ":", ": %p", "exit 0", "exit", "cd .", "cd"),
    *(
        "test -n %p",
        "[ -n %p ]",
        "test 1",
        "echo",
        "echo %p",
        "printf ''",
        "",
        "  ",
        "sleep 0",
        "/usr/bin/env true",
        None,
    ),
    *("cp %p /dev/null", "true %p >/dev/null 2>&1"),
]
KEEPERS = [
    *(
        "cp %p /mnt/%f",
        "test ! -f /mnt/%f && cp %p /mnt/%f",
        "true; cp %p /m",
        "env WALG_S3_PREFIX=x wal-g wal-push %p",
    ),
    *("cp %p /mnt/%f >/dev/null 2>&1", "scp %p nas:/mnt/%f < /dev/null", "/etc/archive.sh %p"),
]


@pytest.mark.parametrize("group_left", [True, False], ids=["pgbackrest", "own"])
@pytest.mark.parametrize("command", [*NO_OPS, *KEEPERS])
def test_what_archives_nothing_is_asked_about(judged, command, group_left):
    case = {
        "cluster": {"groups": {"backup": None}},
        "variables": {"patroni_parameters": {"archive_command": command}},
        "absent": ["db2", "db3"],
    }
    if not group_left:
        case["found"] = {"db1": {"postgresql": {"archive_command": "cp %p /srv/%f"}}}
    told = judged(case)
    assert [one.host for one in told] == (["db1"] if group_left or command in NO_OPS else [])
    assert all("preflight_accept=no_archiving:lab" in one.finding.fix for one in told)


def test_every_playbook_that_changes_a_part_compares_first():
    verbs = {
        "alert_test",
        "authority_step",
        "clone",
        "drill",
        "etcd_lost",
        "explore",
        "guard",
        "maintenance",
        "monitoring_files",
        "preflight",
        "reboot",
        "remove_host",
        "replace_host",
        "restart",
        "restore",
        "rolling",
        "rotate",
        "rotate_passwords",
        "secrets",
        "site",
        "soak",
        "status",
        "switchover",
        "update",
    }
    for path in (ROOT / "playbooks").glob("*.yml"):
        first = yaml.safe_load(path.read_text(encoding="utf-8"))[0]
        compares = first.get("import_playbook") == "guard.yml"
        assert compares == (path.stem not in {*verbs, "guard", "preflight", "site"}), path.name


STORE = {"name": "db1", "data_directory": "/d", "wal_directory": "/d/member/wal", "client_url": "", "peer_url": ""}
SERVES, STOPPED = {**STORE, "members": {}}, {**STORE, "members": None}
DATA = {
    "data_directory": "/d",
    "version": "17",
    "archive_command": "push %p",
    "encoding": "UTF8",
    "locale": "C",
    "idle": False,
}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        # whoever is not named is down
        ({"db1": {"etcd": SERVES, "postgresql": DATA}, "db2": {"etcd": SERVES, "postgresql": DATA}}, ""),
        ({"db1": {"etcd": STOPPED, "postgresql": DATA}, "db2": {"etcd": STOPPED, "postgresql": DATA}}, ""),
        # those that can't be reached serve all the same
        ({"db1": {"etcd": SERVES, "postgresql": DATA}}, ""),
        ({"db1": {"etcd": STOPPED, "postgresql": DATA}}, "quorum is 2 of 3 members, of which 1 with data"),
        ({"db1": {"components": []}, "db2": {"components": []}}, "nothing is deployed yet"),
        ({}, "nothing is deployed yet"),
        ({"db1": {}, "db2": {}}, "quorum is 2 of 3 members, of which 0 with data"),
        ({"db1": {"etcd": SERVES}, "db2": {"etcd": SERVES}}, "no database host with data"),
        ({"lb1": {"components": ["haproxy"]}, "lb2": {"components": ["haproxy"]}}, "of which 0 with data"),
    ],
)
def test_whether_a_cluster_can_be_worked_on_without_hosts_that_are_down(build_case, found, expected):
    hosts = []
    for name, ha in build_case({}).hosts.items():
        told = (
            {"deployed": NOTHING | {"components": ["etcd"]} | found[name]} if name in found else {"unreachable": True}
        )
        hosts.append(host_of(name, {"ha": ha}, ROOT, told))
    why = sut.why_not_without(hosts, {host.name for host in hosts} - {*found})
    assert expected in why
    assert bool(expected) is bool(why)


def test_balancers_alone_need_no_quorum():
    ha = {"cluster": "x", "name": "lb1", "components": ["haproxy"], "etcd": None, "postgresql": None}
    told = {"deployed": NOTHING | {"components": ["haproxy"]}}
    hosts = [host_of("lb1", {"ha": ha}, ROOT, told), host_of("lb2", {"ha": ha}, ROOT, {"unreachable": True})]
    assert sut.why_not_without(hosts, ["lb2"]) == ""
    assert sut.why_not_without(hosts[1:], ["lb2"]) != ""


@pytest.mark.parametrize(
    ("seen", "down", "expected"),
    [
        (["lb2"], ["lb1"], ""),
        (["backup1"], ["lb1"], ""),
        (["lb2", "db1"], ["lb1"], ""),
        (["db2"], ["db1"], ""),
        (["lb1"], ["db1", "db2"], "quorum is 2 of 3 members, of which 1 with data"),
    ],
)
def test_hosts_that_the_limit_leaves_out_are_taken_for_running(build_case, seen, down, expected):
    known = []
    for name, ha in build_case({}).hosts.items():
        told = {"deployed": NOTHING | {"components": ha["components"]}} if name in seen else {}
        if name in seen and name.startswith("db"):
            told["deployed"] |= {"etcd": STOPPED, "postgresql": DATA}
        known.append(host_of(name, {"ha": ha}, ROOT, {"unreachable": True} if name in down else told))
    why = sut.why_not_without(known, down)
    assert expected in why
    assert bool(expected) is bool(why)
