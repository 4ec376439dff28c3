# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server's words about a configuration mean for the variables that it was declared in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_check import (
    Running,
    Source,
    Trial,
    apply_reports,
    collect,
    config_text,
    effect_problem,
    file_refusals,
    memory_refusals,
    not_in_effect,
    patroni_refusals,
    reports,
)

CASES = yaml.safe_load(Path(__file__).with_name("postgresql_check_cases.yml").read_text(encoding="utf-8"))
KNOWN = ("max_connections", "work_mem", "wal_level")


def cases(kind: str) -> Any:
    return pytest.mark.parametrize("case", CASES[kind], ids=[case["name"] for case in CASES[kind]])


def trial_of(case: dict[str, Any]) -> Trial:
    declared = Source(case["parameters"], "patroni_parameters")
    return collect([Source(case.get("own", {})), declared], {"hba_file": "use patroni_hba_rules"})


def told(trial: Trial) -> str:
    return "\n".join(map(str, trial.refusals))


@cases("typed")
def test_what_no_server_need_be_asked_about(case: dict[str, Any]) -> None:
    assert case["says"] in told(trial_of(case))


@cases("accepted")
def test_values_are_written_as_patroni_writes_them(case: dict[str, Any]) -> None:
    trial = trial_of(case)
    assert not trial.refusals
    assert config_text(trial.settings.values()) == case["text"]


def test_a_null_removes_where_that_is_meant() -> None:
    trial = collect([Source({"work_mem": "1MB"}), Source({"work_mem": None}, "dynamic", removes=True)], {})
    assert not trial.settings
    assert not trial.refusals


def test_the_last_source_wins() -> None:
    trial = collect([Source({"work_mem": "1MB"}, local=True), Source({"WORK_MEM": "2MB"}, "dynamic")], {})
    assert trial.settings["work_mem"].where == "dynamic.work_mem = '2MB'"


@cases("server")
def test_the_servers_words_name_the_variable(case: dict[str, Any]) -> None:
    trial = trial_of(case)
    assert apply_reports(trial, reports(case["output"]), KNOWN) is case.get("retry", True)
    assert list(map(str, trial.refusals)) == case["refused"]


def test_a_fault_that_names_nothing_is_pinned_on_what_causes_it() -> None:
    trial = collect([Source({"ssl_ciphers": "FOO"}, "patroni_parameters")], {})
    culprit = trial.settings["ssl_ciphers"]
    assert apply_reports(trial, reports("FATAL:  could not set the cipher list"), KNOWN, lambda _report: culprit)
    assert told(trial).startswith("patroni_parameters.ssl_ciphers = 'FOO': could not set")


@cases("memory")
def test_memory_that_the_host_can_give(case: dict[str, Any]) -> None:
    trial = collect([Source({"shared_buffers": "64GB", "huge_pages": "on"}, "patroni_parameters")], {})
    huge = case.get("huge")
    memory_refusals(trial, case["shared"], case["total"], (huge[0], huge[1]) if huge else None)
    assert case["says"] in told(trial) if "says" in case else not trial.refusals


@cases("patroni")
def test_what_patroni_leaves_out_is_refused(case: dict[str, Any]) -> None:
    trial = collect([Source({"work_mem": "16MB"}, "patroni_parameters")], {})
    patroni_refusals(trial, case["kept"], case.get("recovery", []))
    assert case["says"] in told(trial) if "says" in case else not trial.refusals


RECOVERY = "patroni_dynamic_configuration.postgresql.recovery_conf"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"recovery_min_apply_delay": "5min"}, None),
        ({"archive_cleanup_command": None}, None),
        ({"work_mem": "1MB"}, f"{RECOVERY}.work_mem = '1MB': is ignored by Patroni"),
        ({"recovery_target_time": "now"}, f"{RECOVERY}.recovery_target_time = 'now': is ignored by Patroni"),
        ({"Primary_Conninfo": "host=x"}, "is ignored by Patroni, which sets it itself. Fix: remove it"),
        ({"restore_command": "/bin/false"}, "is set by the role. Fix: pgBackRest restores"),
        ({"restore_command": None}, f"{RECOVERY}.restore_command = None: is set by the role"),
    ],
)
def test_recovery_parameters_are_judged_where_they_belong(given: dict[str, Any], says: str | None) -> None:
    own = Source({"restore_command": "get %f"}, recovery=True)
    owned = {"restore_command": "pgBackRest restores; remove it"}
    trial = collect([own, Source(given, RECOVERY, removes=True, recovery=True)], owned)
    kept = {"restore_command": "get %f", "recovery_min_apply_delay": "5min"}
    patroni_refusals(trial, kept, [*kept, "archive_cleanup_command"])
    assert not trial.refusals if says is None else says in told(trial)


def test_a_recovery_parameter_among_the_others_is_refused_beside_one_in_its_place() -> None:
    delay = {"recovery_min_apply_delay": 5}
    trial = collect([Source(delay, "patroni_parameters"), Source(delay, RECOVERY, recovery=True)], {})
    assert told(trial).startswith("patroni_parameters.recovery_min_apply_delay = 5: is for recovery only")
    assert trial.settings["recovery_min_apply_delay"].source.recovery


@cases("files")
def test_the_line_of_a_file_is_shown_without_secrets(case: dict[str, Any]) -> None:
    rows = [{"line": 2, "error": case["error"]}]
    [refusal] = file_refusals(f"# one\n{case['line']}\n", rows, "/etc/patroni/pg_hba.conf", "/scratch")
    assert str(refusal).startswith("line 2 of /etc/patroni/pg_hba.conf, ")
    assert case.get("says", case["error"]) in str(refusal)
    assert case.get("hidden", "\0") not in str(refusal)


def test_tls_that_is_not_there_yet_is_no_fault_of_a_line() -> None:
    rows = [{"line": 1, "error": "hostssl record cannot match because SSL is disabled"}]
    assert not list(file_refusals("hostssl", rows, "/etc/patroni/pg_hba.conf", "/scratch", with_ssl=False))
    assert list(file_refusals("hostssl", rows, "/etc/patroni/pg_hba.conf", "/scratch"))


@cases("effect")
def test_what_is_wished_is_in_effect_or_told(case: dict[str, Any]) -> None:
    settings = collect([Source({"work_mem": "16MB"}, "patroni_parameters")], {}).settings
    row = {"name": "work_mem", "unit": None, "vartype": "integer", "context": "user", **case["there"]}
    running = {"work_mem": Running(**row)}
    missing = not_in_effect(settings, running, {"work_mem": case.get("same", False)})
    assert bool(missing) is ("says" in case)
    if missing:
        assert case["says"] in effect_problem(missing["work_mem"], running["work_mem"])
