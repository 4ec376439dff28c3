# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks' options and hosts: what is refused, and that nothing is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.playbooks import (
    INVENTORY_ONLY,
    Inventory,
    Wanted,
    default_of,
    extra_problems,
    interface,
    inventory_problems,
    play_problems,
    running,
    target_problems,
    targets,
    value_of,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    PACKAGE_ROLES,
    ROLES,
    packages_variable,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import load_roles
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.variables import refused

ROOT = Path(__file__).resolve().parents[4]
PLAYBOOKS = sorted((ROOT / "playbooks").glob("*.yml"))
PLAYS = [
    pytest.param(path, play, id=f"{path.relative_to(ROOT)}: {play['name']}")
    for path in [*PLAYBOOKS, *sorted((ROOT / "lab").glob("*.yml"))]
    for play in yaml.safe_load(path.read_text())
    if "hosts" in play
]
ROLLING = (
    "switchover_to",
    "rolling_host",
    "rolling_plan",
    "rolling_step",
    "rolling_verb",
    "certificates_authority_result",
)
"""What the plays of rolling work, and of another authority, give each other."""
INCLUDED = r"(?:include|import)_tasks: (?:\"{{ rolling__tasks }}/)?([^\s\"]+\.yml)"
LOOKED_UP = re.compile(r"lookup\('holdfast\.ha\.option', '(\w+)'\)")
READ = re.compile(r"(?<![.\w])([a-z]+(?:_[a-z]+)+)\b(?= *(?:\||is (?:not )?defined))")


@pytest.mark.parametrize(("path", "play"), PLAYS)
def test_every_play_keeps_its_hosts_in_step(path, play):
    """But one that measures some hosts while another works."""
    assert play.get("strategy") == ("free" if play["hosts"] == "holdfast:client" else "linear")


@pytest.mark.parametrize(("path", "play"), [case for case in PLAYS if case.values[0].parent.name == "playbooks"])
def test_every_play_asks_for_its_hosts(path, play):
    assert "lookup('holdfast.ha.targets'," in play["hosts"]
    assert f"playbook='{path.stem}'" in play["hosts"]


def read_names(path):
    """Return what a playbook and the tasks that it includes read and may be absent."""
    text = re.sub(r"(?m)#.*$", "", path.read_text())
    included = re.findall(INCLUDED, text)
    return set(READ.findall(text) + LOOKED_UP.findall(text)).union(
        *(read_names(path.parent / name) for name in included)
    )


def importing(path):
    """Return the playbooks that import a playbook."""
    return [book.stem for book in PLAYBOOKS if f"import_playbook: {path.name}" in book.read_text()]


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_every_extra_variable_of_a_playbook_is_declared(path):
    roles = {name for role in interface().roles.values() for name in role.options}
    own = {name for name in read_names(path) if "__" not in name and not name.startswith(("ansible_", "ha_"))}
    plays = yaml.safe_load(path.read_text())
    local = {name for play in plays for name in play.get("vars", {})}
    facts = yaml.safe_load((ROOT / "playbooks" / "vars" / "run.yml").read_text())
    known = {
        *interface().playbooks[path.stem],
        *(name for book in importing(path) for name in interface().playbooks[book]),
        *roles,
        *facts,
        "preflight_goes_on",
        *local,
        "inventory_hostname",
        "start_from",
        "start_from_timeout",
        *ROLLING,
    }
    assert own <= known


def whole(path):
    """Return the text of a playbook with what it imports, includes and reads."""
    text = re.sub(r"(?m)#.*$", "", path.read_text())
    named = [*re.findall(INCLUDED, text), *re.findall(r"import_playbook: (\S+\.yml)", text)]
    listed = [name for names in re.findall(r"vars_files: \[(.*)\]", text) for name in names.split(", ")]
    return text + "".join(whole(path.parent / name) for name in [*named, *listed])


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.stem)
def test_every_declared_extra_variable_is_read(path):
    declared = yaml.safe_load((ROOT / "meta" / "playbooks.yml").read_text()).get(path.stem, {}).get("options", {})
    text = whole(path) + "".join(role.read_text() for role in (ROOT / "roles" / "clone").rglob("*.yml"))
    unread = {name for name in declared if not re.search(rf"[{{('~ ]{name}\b(?!=)", re.sub("#.*", "", text))}
    assert not unread


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").rglob("*.yml")), ids=lambda path: path.stem)
def test_no_playbook_repeats_a_default(path):
    defaults = re.findall(r"\b(\w+) \| default\(([^)]*)\)", path.read_text())
    declared = {name for name, option in interface().options.items() if "default" in option}
    assert [name for name, default in defaults if name in declared and not default.startswith("omit")] == []


def role_reads(role):
    """Return the names in what the playbooks run of a role."""
    folder = ROOT / "roles" / role
    books = "".join(path.read_text() for path in PLAYBOOKS)
    runs_main = re.search(rf"name: holdfast\.ha\.{role}\n(?! *tasks_from)", books)
    tasks = [path for path in folder.glob("tasks/*.yml") if runs_main or path.name != "main.yml"]
    files = [*tasks, *folder.glob("vars/*.yml"), *folder.glob("templates/*")]
    text = re.sub(r"(?m)^ *#.*$", "", "\n".join(path.read_text() for path in files))
    defaults = yaml.safe_load((folder / "defaults" / "main.yml").read_text()) or {}
    return set(re.findall(r"[a-z][a-z0-9_]+", text + " ".join(map(str, defaults.values()))))


@pytest.mark.parametrize("role", [path.parent.name for path in sorted((ROOT / "roles").glob("*/tasks"))])
def test_every_variable_of_a_role_is_read_where_the_playbooks_run_it(role):
    spec = load_roles(ROOT, [role])[role]
    by_topology = {*map(packages_variable, PACKAGE_ROLES)}
    assert set(spec.options) - spec.wired - role_reads(role) - by_topology == set()


def test_declared_playbooks_exist():
    declared = yaml.safe_load((ROOT / "meta" / "playbooks.yml").read_text())
    assert set(declared) <= {*(path.stem for path in PLAYBOOKS), "tasks/evidence", "tasks/status", "tasks/switchover"}


@pytest.mark.parametrize(
    ("extra", "run", "expected"),
    [
        ({"restore_typ": "time"}, ["restore"], "restore_typ: is an unknown variable. Fix: did you mean 'restore_type'"),
        ({"resotre_type": "time"}, ["restore"], "did you mean 'restore_type'"),
        ({"restore_typ": "time"}, None, "did you mean 'restore_type'"),
        ({"wait": "3"}, ["status"], "Fix: use one of status_wait; if it is"),
        (
            {"postgresql_version": "15"},
            ["site"],
            "is a key of the topology, and no variable. Fix: write it in topology",
        ),
        ({"patroni_postgresql_version": "15"}, ["site"], "declare it in clusters.<name>.postgresql_version"),
        ({"packages_repositories": "[]"}, ["site"], "write a list: as YAML in group_vars"),
        ({"confirm": "a"}, ["drill"], "did you mean 'drill_confirm'"),
        (
            {"_raw_params": "drill_plan_only"},
            ["drill"],
            "-e = 'drill_plan_only': has words that are no NAME=value. Fix:",
        ),
        ({"_raw_params": "06:00:00+00"}, None, "write NAME=true, or quote a value with blanks inside"),
        ({"ha": 3}, ["status"], "ha: is set by the topology plugin. Fix: remove it."),
        ({"ha": 3}, None, "ha: is set by the topology plugin. Fix: remove it."),
        ({"restore_type": "tim"}, ["restore"], "restore_type = 'tim': is not what the playbook takes"),
        ({"restore_exclusive": "maybe"}, ["restore"], "restore_exclusive = 'maybe': is not what the playbook takes"),
        ({"restore_type": "time"}, ["status"], "is an option of restore.yml, not of what runs"),
        ({"status_wait": "soon"}, ["status"], "status_wait = 'soon'"),
        ({"patroni_timeout": "soon"}, ["haproxy"], "patroni_timeout = 'soon': is not what the role takes"),
        ({"haproxy_maxcon": "1"}, ["site"], "did you mean 'haproxy_maxconn'"),
        ({"haproxy_monitor_pools": "a,b"}, ["site"], "a text in place of a list"),
        ({"patroni_parameters": "{}"}, ["site"], "a text in place of a dict"),
        ({"clone_parameters": "{}"}, ["clone"], "a text in place of a dict"),
        ({"patroni_port": "1"}, ["site"], "ports.postgresql"),
        ({"ha_zone": "a"}, ["site"], "is read from the inventory only"),
        ({"patroni_packages": ["postgresql-17-postgis-3"]}, ["site"], "is read from the inventory only"),
        ({"ha_zon": "a"}, ["site"], "did you mean 'ha_zone'"),
        ({"backup_jobs": [{"name": "a"}]}, ["backup_jobs"], "is read from the inventory only"),
        ({"restore_verify_state": "maybe"}, ["restore_verify"], "restore_verify_state = 'maybe'"),
    ],
)
def test_refused_extra_variables(extra, run, expected):
    [problem] = extra_problems(extra, interface(), run, ())
    assert expected in str(problem)


WORDS_OF_A_USER = ("version", "target", "host", "state", "user", "port", "name", "timeout", "cluster", "backup")


@pytest.mark.parametrize(
    ("extra", "run"),
    [
        ({"restore_type": "time", "restore_exclusive": "true"}, ["restore"]),
        ({"restore_type": "time", "status_wait": "5"}, ["restore", "status"]),
        ({"restore_type": "time", "status_wait": "5"}, None),
        ({"drill_faults": "a,b", "drill_budgets": '{"switchover": 3}', "status_lag": "1"}, ["drill"]),
        ({"backup_type": "full", "preflight_memory": "1"}, ["site"]),
        ({"restore_verify_state": "present", "haproxy_maxconn": "9"}, ["status"]),
        ({"patroni_timeout": "60", "ha_secrets": {}}, ["site"]),
        ({"clone_port": "5433", "clone_clients": "192.0.2.0/24,192.0.2.1/32", "clone_type": "latest"}, ["clone"]),
        ({"environment_name": "test", "foo": 1, "ansible_user": "x"}, ["site"]),
        ({"backup_server": "x"}, None),
        (dict.fromkeys(WORDS_OF_A_USER, "x"), None),
        ({"status_wait": None}, ["status"]),
    ],
)
def test_accepted_extra_variables(extra, run):
    assert extra_problems(extra, interface(), run, ()) == []


def test_foreign_variables_are_let_pass_by_name_or_pattern():
    extra = {"backup_server": "x", "patroni_exporter_port": 1}
    assert len(extra_problems(extra, interface(), ["site"], ())) == 2
    assert extra_problems(extra, interface(), ["site"], ["backup_server", "patroni_exporter_*"]) == []


@pytest.mark.parametrize("name", ["patroni_timeout", "backup_repository"])
def test_a_known_name_is_never_foreign(name):
    [problem] = extra_problems({name: "soon"}, interface(), ["site"], ["patroni_*", name])
    assert str(problem).endswith("; the name is Holdfast's, so ha_foreign_variables can't list it.")
    assert problem.what.startswith("is not what the ")


@pytest.mark.parametrize("foreign", [["patroni_*"], "patroni_*"])
def test_a_role_s_variable_is_never_foreign_in_the_inventory(foreign):
    variables = {"ha_foreign_variables": foreign, "patroni_timeout": "soon", "patroni_exporter_port": 1}
    assert [problem.where for problem in refused(variables, interface().roles)] == ["patroni_timeout"]


@pytest.mark.parametrize(
    ("variables", "playbook", "expected"),
    [
        (
            {"drill_planonly": True},
            "drill",
            "drill_planonly: is an unknown variable. Fix: did you mean 'drill_plan_only'",
        ),
        ({"drill_plan": True}, "drill", "did you mean 'drill_plan_only'"),
        ({"drill_planonly": True}, "guard", "did you mean 'drill_plan_only'"),
        ({"drill_plan_only": "perhaps"}, "drill", "drill_plan_only = 'perhaps': is not what the playbook takes"),
        ({"ha_zone": "a"}, "site", "is read from the inventory only"),
        ({"ha": {}}, "site", "ha: is set by the topology plugin"),
    ],
)
def test_refused_variables_of_a_play(variables, playbook, expected):
    [problem] = play_problems(variables, interface(), playbook, ())
    assert expected in str(problem)


@pytest.mark.parametrize(
    ("variables", "playbook", "foreign"),
    [
        ({"restore_confirm": "lab", "status_wait": 90, "backup_jobs": [], "client": "client1"}, "status", ()),
        ({"backup_server": "x", "wait": 1, "confirm": "a", "drill_plan_only": OPAQUE}, "drill", ()),
        ({"drill_room": "x"}, "drill", ["drill_r*"]),
        ({"patroni_etcd_hosts": [], "patroni__x": 1}, "postgresql", ()),
        ({"drill_room": "x"}, "a_user_s_own", ()),
    ],
)
def test_accepted_variables_of_a_play(variables, playbook, foreign):
    assert play_problems(variables, interface(), playbook, foreign) == []


def passed(data):
    """Yield the names below every C(vars) of a playbook: those of an imported role are the next play's, too."""
    if isinstance(data, dict):
        yield from data["vars"] if isinstance(data.get("vars"), dict) else ()
    for part in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from passed(part)


def test_the_playbooks_pass_only_accepted_variables():
    given = dict.fromkeys((name for path in PLAYBOOKS for name in passed(yaml.safe_load(path.read_text()))), OPAQUE)
    assert "clone_point" in given
    facts = yaml.safe_load((ROOT / "playbooks" / "vars" / "run.yml").read_text())
    assert "preflight_goes_on" in given
    for path in PLAYBOOKS:
        assert play_problems(given | dict.fromkeys(facts, OPAQUE), interface(), path.stem, ()) == []


FOR_ONE_RUN = (
    *("backup_type", "backup_repository", "switchover_to", "switchover_force", "drill_without_backup"),
    *(f"clone_{name}" for name in ("type", "target", "exclusive", "timeline")),
    *(f"restore_{name}" for name in ("type", "target", "exclusive", "set", "repository", "timeline", "host", "anew")),
)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"status_lagg": 1}, "status_lagg: is an unknown variable. Fix: did you mean 'status_lag'"),
        ({"dril_provider": "containers"}, "did you mean 'drill_provider'"),
        ({"status_lag": "16M"}, "status_lag = '16M': is not what the playbook takes"),
        ({"drill_provider": "vms"}, "drill_provider = 'vms': is not what the playbook takes"),
        ({"drill_confirm": "lab"}, "remove it there; give -e drill_confirm=VALUE"),
        ({"restore_confirm": "{{ x }}"}, "remove it there; give -e restore_confirm=VALUE"),
        ({"ha": {"x": 1}}, "ha: is set by the topology plugin. Fix: remove it."),
        *(({name: "x"}, f"give -e {name}=VALUE") for name in FOR_ONE_RUN),
    ],
)
def test_refused_options_in_the_inventory(variables, expected):
    [problem] = inventory_problems(variables, ())
    assert expected in str(problem)


@pytest.mark.parametrize(
    ("variables", "foreign"),
    [
        ({"drill_provider": "containers", "drill_container": "x", "status_lag": "5", "preflight_memory": 256}, ()),
        ({"backup_server": "x", "type": "a", "roles": [], "host": "b", "status_page": "c", "ha_zone": "a"}, ()),
        ({"patroni_timeout": 5, "ha_secrets": {}, "restore_verify_state": "present", "ansible_user": "x"}, ()),
        ({"status_lags": 1}, ("status_l*",)),
        ({"status_wait": None, "restore_type": None}, ()),
        ({"restore_keep": False, "restore_timeout": 9, "restore_backup_type": "full", "switchover_timeout": 5}, ()),
    ],
)
def test_accepted_variables_in_the_inventory(variables, foreign):
    assert list(inventory_problems(variables, foreign)) == []


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("restore_keep", "no", False),
        ("restore_timeline", 3, "3"),
        ("switchover_timeout", "7", 7.0),
        ("restore_target", None, None),
        ("drill_dead_man", None, None),
        ("drill_faults", "switchover,standby_lost", ["switchover", "standby_lost"]),
        ("patroni_timeout", "300", 300),
        ("haproxy_monitor_port", "8000", 8000),
    ],
)
def test_the_value_of_an_option_has_its_declared_type(name, given, value):
    found = value_of(name, given, interface())
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("name", "default"), [("drill_dead_man", 300), ("patroni_timeout", 300), ("restore_set", None)]
)
def test_the_default_of_an_option_or_a_role_s_variable(name, default):
    assert default_of(name, interface()) == default


@pytest.mark.parametrize("name", ["restore_tipe", "patroni_timeoutt", "nothing"])
def test_an_unknown_option_is_refused_with_a_suggestion(name):
    with pytest.raises(ValueError, match=f"{name}: is no option of a playbook or a role. Fix: ") as refusal:
        default_of(name, interface())
    assert name == "nothing" or "did you mean" in str(refusal.value)


@pytest.mark.parametrize(("name", "value"), [("verify_now", "hidden"), ("restore_type", "hidden")])
def test_a_hidden_value_is_not_in_the_error(name, value):
    for is_shown in (True, False):
        with pytest.raises(ValueError, match=f"{name}.*: is not what the playbook takes") as refusal:
            value_of(name, value, interface(), is_shown=is_shown)
        assert str(refusal.value).count(value) == is_shown


def test_a_value_of_the_wrong_type_is_refused_where_it_is_read():
    with pytest.raises(ValueError, match="verify_now = 'maybe': is not what the playbook takes"):
        value_of("verify_now", "maybe", interface())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([str(ROOT / "playbooks" / "site.yml"), "holdfast.ha.status"], ["site", "status"]),
        (["/etc/mine/site.yml"], None),
        ([str(ROOT / "playbooks" / "site.yml"), "/etc/mine/site.yml"], None),
    ],
)
def test_running_playbooks(arguments, expected):
    assert running(arguments, ROOT, "holdfast.ha") == expected


GROUPS = {
    "holdfast": ["db1", "db2", "lb1", "x1"],
    "holdfast_postgresql": ["db1", "db2", "x1"],
    "holdfast_haproxy": ["lb1"],
    "holdfast_backup": [],
    "holdfast_cluster_a": ["db1", "db2", "lb1"],
    "holdfast_cluster_b": ["x1"],
}
DATABASES = "holdfast_postgresql"


@pytest.mark.parametrize(
    ("wanted", "kept", "expected"),
    [
        (Wanted(DATABASES), None, None),
        (Wanted(DATABASES), ["db1"], None),
        (Wanted(DATABASES), ["lb1"], "leaves none of db1, db2, x1"),
        (Wanted("holdfast_haproxy:holdfast_backup"), ["lb1"], None),
        (Wanted("holdfast_backup"), None, "there is no host in holdfast_backup"),
        (Wanted(DATABASES, "confirm"), None, "confirm: is missing; this inventory has a, b"),
        (Wanted(DATABASES, "confirm", "c"), None, "confirm = 'c': is no cluster"),
        (Wanted(DATABASES, "confirm", "a", whole=True), ["db1", "db2"], None),
        (Wanted(DATABASES, "confirm", "a", whole=True), ["db1"], "leaves out db2"),
        (Wanted("holdfast_haproxy", "confirm", "b"), None, "no host of the cluster b in holdfast_haproxy"),
        (Wanted("db2", "source", "a", "host"), ["db2"], None),
        (Wanted("db2", "source", "a", "host"), ["db1"], "leaves none of db2"),
        (Wanted("db2", "source", "b", "host"), None, "host = 'db2': names no host of the cluster b, which has x1"),
        (Wanted("", "source", "b", "host"), None, "host: names no host of the cluster b, which has x1"),
    ],
)
def test_targets(wanted, kept, expected):
    inventory = Inventory(GROUPS, GROUPS["holdfast"] if kept is None else kept, "the limit")
    problems = target_problems(wanted, inventory)
    assert ([expected in str(problem) for problem in problems] or None) == (expected and [True])
    assert expected or targets(wanted, inventory)


@pytest.mark.parametrize("groups", [{}, {"holdfast": []}, {"db": ["db1"]}])
def test_an_inventory_without_a_topology_is_refused(groups):
    [problem] = target_problems(Wanted(DATABASES), Inventory(groups, ["db1"], ""))
    assert "no host has a cluster" in str(problem)


TEXTS = {"bool": "true", "int": "7", "float": "1.5"}
SETTABLE = [
    pytest.param(name, option, id=name)
    for spec in load_roles(ROOT, ROLES).values()
    for name, option in spec.options.items()
    if name not in spec.wired and name not in INVENTORY_ONLY and option.get("type", "str") not in ("str", "path")
]


@pytest.mark.parametrize(("name", "option"), SETTABLE)
def test_every_variable_of_the_wrong_type_is_refused_by_name(name, option):
    for value in ("maybe", "{"):
        problems = extra_problems({name: value}, interface(), ["site"], ())
        assert [problem.where for problem in problems] == [name]


@pytest.mark.parametrize(("name", "option"), [case for case in SETTABLE if case.values[1]["type"] in TEXTS])
def test_every_boolean_and_number_may_come_as_a_text(name, option):
    assert extra_problems({name: TEXTS[option["type"]]}, interface(), ["site"], ()) == []
