# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration that all members of Patroni share, as the role renders it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.unit.roles.render import render
from tests.unit.roles.test_wiring import evaluate

LOGS = Path(__file__).resolve().parents[3] / "docs/logs.md"
FACTS = {"distribution": "Debian", "distribution_major_version": "13", "memtotal_mb": 2048}
GIVEN = {
    "ansible_facts": FACTS,
    "patroni__local_parameters": {},  # a filter of the collection makes them
    "patroni_scope": "main",
    "patroni_name": "db1",
    "patroni_address": "10.0.0.1",
    "patroni_members": [{"name": "db1", "address": "10.0.0.1"}],
    "patroni_etcd_hosts": ["10.0.0.1:2379"],
    "patroni_etcd_username": "patroni",
    **{f"patroni_{name}_password": "secret" for name in ("etcd", "rest", "superuser", "replication", "rewind")},
}


def shared(**variables):
    return yaml.safe_load(render("patroni", "config.yml.j2", GIVEN | variables))["bootstrap"]["dcs"]


@pytest.mark.parametrize("mode", ["auto", "on", "quorum", "off"])
@pytest.mark.parametrize("given", [None, True, "quorum", "on", False, "off", "no", 0])
def test_a_data_directory_may_be_removed_while_replication_is_synchronous(mode, given):
    """What a user declares for the cluster wins, in whatever way it says no."""
    dynamic = {} if given is None else {"synchronous_mode": given}
    found = shared(patroni_synchronous_mode=mode, patroni_dynamic_configuration=dynamic)
    synchronous = mode != "off" if given is None else given in (True, "quorum", "on")
    assert found["postgresql"]["remove_data_directory_on_rewind_failure"] is synchronous


def test_a_user_decides_it_all_the_same():
    dynamic = {"postgresql": {"remove_data_directory_on_rewind_failure": False}}
    assert not shared(patroni_dynamic_configuration=dynamic)["postgresql"]["remove_data_directory_on_rewind_failure"]


def test_pgbadger_is_given_the_prefix_that_the_server_logs_with():
    prefix = shared()["postgresql"]["parameters"]["log_line_prefix"]
    assert f"--format stderr --prefix '{prefix}' " in LOGS.read_text()
    assert f"| `log_line_prefix` | `{prefix}` |" in LOGS.read_text()


def test_a_user_s_log_settings_win():
    found = shared(patroni_parameters={"log_temp_files": 0})["postgresql"]["parameters"]
    assert (found["log_temp_files"], found["log_lock_waits"]) == (0, "on")


@pytest.mark.parametrize(
    ("dynamic", "expected"),
    [
        ({}, [{}, {}, {}]),
        ({"postgresql": {"recovery_conf": {"a": 1}}}, [{}, {"a": 1}, {}]),
        ({"postgresql": {"recovery_conf": "text"}, "standby_cluster": "text"}, [{}, {}, {}]),
        (
            {"standby_cluster": {"host": "b", "recovery_min_apply_delay": "5min"}},
            [{}, {}, {"recovery_min_apply_delay": "5min"}],
        ),
    ],
)
def test_the_server_judges_what_a_standby_recovers_with(tmp_path, dynamic, expected):
    sources = "patroni__sources | selectattr('recovery', 'defined') | map(attribute='parameters') | list"
    inputs = GIVEN | {"patroni_dynamic_configuration": dynamic}
    assert evaluate(tmp_path, "patroni", sources, inputs) == expected


def test_who_has_backups_restores_from_them(tmp_path):
    given = "[patroni__owned_parameters.restore_command, patroni__sources[4].parameters.restore_command]"
    owned, command = evaluate(tmp_path, "patroni", given, GIVEN | {"patroni_restore_command": "get %f"})
    assert owned == "pgBackRest restores; remove it"
    assert command.endswith("patroni-may-restore %f && get %f")


@pytest.mark.parametrize("dynamic", [{"postgresql": "text"}, {"postgresql": {"parameters": "text"}}])
def test_what_is_no_mapping_is_left_to_the_judge(tmp_path, dynamic):
    inputs = GIVEN | {"patroni_dynamic_configuration": dynamic}
    assert evaluate(tmp_path, "patroni", "patroni__sources[3].parameters", inputs) == {}
