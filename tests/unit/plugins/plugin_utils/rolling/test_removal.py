# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that left the inventory: what is still known of it, what is refused and what is planned."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling import removal

ROOT = Path(__file__).resolve().parents[5]
CASES = yaml.safe_load((ROOT / "tests" / "unit" / "data" / "removal_cases.yml").read_text(encoding="utf-8"))
ADDRESSES = {f"db{number}": f"198.51.100.1{number}" for number in range(1, 6)}
ADDRESSES |= {"lb1": "198.51.100.21", "lb2": "198.51.100.22", "backup1": "198.51.100.31"}
COMPONENTS = {name: ["etcd", "postgresql"] for name in ("db1", "db2", "db3")}
COMPONENTS |= {"lb1": ["haproxy", "keepalived"], "lb2": ["haproxy", "keepalived"], "backup1": ["backup"]}
VIRTUAL = "198.51.100.100/24"
SYNCHRONOUS = {"synchronous_mode": "quorum"}


def members(components, part):
    return [{"name": name, "address": ADDRESSES[name]} for name in components if part in components[name]]


def peer(name):
    return {"name": name, "peer_urls": [f"https://{ADDRESSES[name]}:2380"], "learner": False}


def view_of(case, declared):
    """Return Patroni's cluster: declared members stream behind db1, unless the case says otherwise."""
    leader = case.get("leader", "db1")
    states = {item["name"]: "streaming" for item in declared} | case.get("patroni", {})
    roles = {name: "leader" if name == leader else "quorum_standby" for name in states}
    found = [
        {"name": name, "role": roles[name], "state": state, "host": ADDRESSES[name], "lag": 0 if name == "db2" else 9}
        for name, state in states.items()
    ]
    return {"leader": leader, "paused": case.get("paused", False), "agreed": True, "members": found}


def probes_of(case, parts, ha):
    """Return what a host answers."""
    etcd = [peer(name) for name in case.get("etcd", [item["name"] for item in ha["etcd"]["members"]])]
    healthy = {item["name"]: item["name"] not in case.get("unhealthy", ()) for item in ha["etcd"]["members"]}
    endpoints = [{"name": name, "healthy": is_healthy, "leader": name == "db1"} for name, is_healthy in healthy.items()]
    pooled = case.get("pooled", ())
    answers = {
        "etcd": {"leader": "db1", "endpoints": endpoints, "members": etcd},
        "postgresql": {"cluster": view_of(case, ha["postgresql"]["members"]), "config": SYNCHRONOUS},
        "haproxy": {"pools": [{"servers": [{"name": one, "address": f"{ADDRESSES[one]}:6432"} for one in pooled]}]},
        "backup": {"stanzas": [{"locked": case.get("locked", False), "backups": []}]},
    }
    found = {part: answers[part] for part in answers if part in parts}
    if "postgresql" in parts:
        found["objects"] = {"slots": [{"name": name, "active": False} for name in case.get("slots", ())]}
    return found


def lab(case):
    """Return the hosts that stay."""
    components = {name: case.get("keeps", {}).get(name, parts) for name, parts in COMPONENTS.items()}
    components = {name: parts for name, parts in components.items() if name not in case.get("without", ())}
    if "declared" in case:
        stay = {*case["declared"], "lb1", "lb2", "backup1"}
        components = {name: parts for name, parts in components.items() if name in stay}
    hosts = []
    for name, parts in components.items():
        ha = {"cluster": "lab", "name": name, "address": ADDRESSES[name], "components": parts}
        ha |= {"vrrp": {"instances": [{"addresses": [VIRTUAL]}]} if "keepalived" in parts else None}
        ha |= {"etcd": {"members": members(components, "etcd"), "peer_port": 2380}}
        ha |= {"postgresql": {"members": members(components, "postgresql"), "scope": "lab", "rest_port": 8008}}
        found = {"components": case.get("runs", {}).get(name, parts)}
        found["vrrp_peers"] = [ADDRESSES["lb2" if name == "lb1" else "lb1"]] if "keepalived" in parts else []
        found["pgbackrest"] = {"hosts": [ADDRESSES["backup1"]]} if "postgresql" in parts else None
        found |= case.get("deployed", {}).get(name, {})
        hosts.append(removal.Host(name, ha, False, probes_of(case, parts, ha), found))
    return hosts


def leaving_of(case, hosts):
    """Return the host that leaves: one of the inventory, what answers at its address, or nothing."""
    own = next((host for host in hosts if host.name == case["remove"]), None)
    name = case.get("alive")
    if own or not name:
        return removal.Leaving(own.deployed if own else None, {}, case.get("error", ""))
    store = {"name": name, "data_directory": "/var/lib/etcd/holdfast-lab"}
    store["wal_directory"] = f"{store['data_directory']}/member/wal"
    patroni = {"name": name, "scope": case.get("scope", "lab")}
    data = {"data_directory": "/var/lib/postgresql/lab"}
    backup = {"stanza": case.get("scope", "lab"), "places": case.get("repository", [])}
    found = {"patroni": patroni, "etcd": store, "postgresql": data, "pgbackrest": backup}
    return removal.Leaving(found | {"components": case.get("own", [])})


def request_of(case):
    return removal.Request(
        name=case["remove"],
        address=case.get("address", ""),
        by=case.get("by", ""),
        joined=case.get("joined", False),
        places=case.get("places", ()),
        data=case.get("data", ""),
        accept=case.get("accept", ()),
        hosts=list(COMPONENTS),
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_removal(case):
    hosts, request = lab(case), request_of(case)
    name, seen, problems = removal.judge_name(request, {"lab": hosts})
    assert bool(name) is not case.get("nothing", False) or problems
    if name and not problems:
        leaving = leaving_of(case, hosts)
        problems = removal.judge_removal(request, hosts, seen, leaving)
        plan = removal.make_plan(request, hosts, seen, leaving)
        assert {key: listed(getattr(plan, key)) for key in case.get("plan", {})} == case.get("plan", {})
        assert removal.describe(request, plan)
    text = "\n".join(map(str, problems))
    assert bool(problems) is ("refused" in case), text
    assert [part for part in case.get("refused", ()) if part not in text] == [], text


def listed(value):
    return list(value) if isinstance(value, tuple) else value


def test_the_journal_s_settings_are_removed_where_the_role_writes_them():
    role = yaml.safe_load((ROOT / "roles/journal/vars/main.yml").read_text(encoding="utf-8"))
    assert role["journal__drop_in"] in removal.OF_ANY_MEMBER


def test_a_host_of_two_clusters_is_refused():
    case = {"remove": "db3", "without": ["db3"], "etcd": ["db1", "db2", "db3"]}
    _name, _seen, problems = removal.judge_name(request_of(case), {"lab": lab(case), "shop": lab(case)})
    assert "is known in lab, shop" in str(problems[0])


def test_nothing_is_known_where_no_host_answers():
    case = {"remove": "db3", "without": ["db3"]}
    silent = [removal.Host(host.name, host.ha, True) for host in lab(case)]
    _name, _seen, problems = removal.judge_name(request_of(case), {"lab": silent})
    assert "no host answers" in str(problems[0])


def test_a_host_whose_address_is_unknown_needs_one():
    case = {"remove": "db3", "without": ["db3"], "slots": ["db3"]}
    _name, _seen, problems = removal.judge_name(request_of(case), {"lab": lab(case)})
    assert "add -e remove_address=ADDRESS" in str(problems[0])


def test_the_repository_s_backups_are_named():
    backups = {"stanzas": [{"locked": False, "backups": [{"label": "20260101F"}, {"label": "20260102F"}]}]}
    told = removal.describe_backups(removal.Leaving({"components": []}, backups))
    assert told.startswith("2 backups (20260101F to 20260102F)")


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (0, "switch over to db2, because db3 leads"),
        (1, "stop and disable on db3: keepalived.service"),
        (3, "delete Patroni's key members/db3"),
        (-1, "site.yml: take it off"),
    ],
)
def test_the_steps_are_told(step, text):
    case = next(item for item in CASES if item["name"] == "a live primary")
    hosts = lab(case)
    _name, seen, _problems = removal.judge_name(request_of(case), {"lab": hosts})
    plan = removal.make_plan(request_of(case), hosts, seen, leaving_of(case, hosts))
    assert removal.describe(request_of(case), plan)[step].startswith(text)
    assert removal.rest_endpoint(seen, hosts) == "https://198.51.100.13:8008"


def test_a_replacement_says_who_joins_before():
    case = next(item for item in CASES if item["name"] == "a living host is replaced")
    hosts = lab(case)
    _name, seen, _problems = removal.judge_name(request_of(case), {"lab": hosts})
    told = removal.describe(request_of(case), removal.make_plan(request_of(case), hosts, seen, leaving_of(case, hosts)))
    assert told[0].startswith("db2 joins: with a vote in etcd")
    assert "joins" not in told[-1]


@pytest.mark.parametrize(
    ("own", "repository", "scope", "runs"),
    [
        (["haproxy", "keepalived"], [], "lab", ("haproxy", "keepalived")),
        ([], ["/var/lib/pgbackrest"], "lab", ("backup",)),
        (["haproxy"], [], "shop", None),
        ([], [], "lab", None),
    ],
)
def test_a_host_that_only_its_own_units_tell_of(own, repository, scope, runs):
    case = {"remove": "db9", "address": "198.51.100.99", "alive": "db9", "own": own}
    case |= {"repository": repository, "scope": scope}
    name, seen = removal.stray(request_of(case), {"lab": lab(case)}, leaving_of(case, []))
    assert (name, seen.runs) == (("lab", runs) if runs else ("", ()))


def test_whose_a_stray_balancer_is_must_be_clear():
    case = {"remove": "lb9", "address": "198.51.100.99"}
    leaving = removal.Leaving({"components": ["haproxy"]})
    assert removal.stray(request_of(case), {"lab": lab(case), "shop": lab(case)}, leaving)[0] == ""
