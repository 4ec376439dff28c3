# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.module_utils.pgbackrest import (
    PgBackRestError,
    describe_stanza,
    find_stanzas,
    of_repository,
    parse_info,
    parse_listing,
    parse_version,
    plan_backup,
    plan_stanza,
    scratch_config,
)

NOW = 1_800_000_000
CASES = yaml.safe_load(Path(__file__).with_name("pgbackrest_cases.yml").read_text(encoding="utf-8"))
MESSAGES = {
    0: "ok",
    1: "missing stanza path",
    2: "no valid backups",
    3: "missing stanza data",
    99: "other",
}


def cases(name: str) -> Any:
    return [pytest.param(case, id=case["name"]) for case in CASES[name]]


def backup(short: str) -> dict[str, Any]:
    """A backup from "TYPE AGE"; the type "former" is a full backup of database 1, all others are of database 2."""
    kind, age = short.split()
    return {
        "label": f"{kind}-{age}",
        "type": "full" if kind == "former" else kind,
        "timestamp": {"start": NOW - int(age) - 30, "stop": NOW - int(age)},
        "info": {"size": 1000, "delta": 1000, "repository": {"delta": 100}},
        "database": {"id": 1 if kind == "former" else 2, "repo-key": 1},
        "archive": {"start": "000000010000000000000002", "stop": "000000010000000000000003"},
        "error": False,
    }


def answer(status: int = 0, backups: list[str] | None = None, locked: bool = False) -> str:
    """What pgBackRest prints for a stanza that served database 1 and serves database 2 now."""
    repository_message = "[CryptoError] unable to flush" if status == 99 else MESSAGES[status]
    stanza = {
        "name": "lab",
        "status": {"code": status, "message": MESSAGES[status], "lock": {"backup": {"held": locked}}},
        "repo": [{"key": 1, "cipher": "aes-256-cbc", "status": {"code": status, "message": repository_message}}],
        "cipher": "aes-256-cbc",
        "db": [
            {"id": 1, "repo-key": 1, "system-id": 7711348628574305300, "version": "15"},
            {"id": 2, "repo-key": 1, "system-id": 7711349134174907664, "version": "17"},
        ],
        "backup": [backup(short) for short in backups or []],
        "archive": [{"id": "17-2", "min": "000000010000000000000001", "max": "000000010000000000000007"}],
    }
    return json.dumps([stanza])


@pytest.mark.parametrize("case", cases("plan_stanza"))
def test_plan_stanza(case: dict[str, Any]) -> None:
    (stanza,) = parse_info(answer(case["status"]))
    leftovers = case.get("leftovers", ())
    if "error" in case:
        with pytest.raises(PgBackRestError) as caught:
            plan_stanza(stanza, leftovers)
        assert case["error"] in str(caught.value)
    else:
        assert list(plan_stanza(stanza, leftovers)) == case["steps"]


@pytest.mark.parametrize("case", cases("plan_backup"))
def test_plan_backup(case: dict[str, Any]) -> None:
    (stanza,) = parse_info(answer(0, case["backups"], case.get("locked", False)))
    plan = plan_backup(stanza, case["type"], case.get("max_age"), NOW)
    assert plan.step == case["step"]
    if "label" in case:
        assert plan.backup is not None
        assert plan.backup.label == case["label"]


def test_describe_stanza_reports_ages_and_sizes_of_the_newest_backups() -> None:
    (stanza,) = parse_info(answer(0, ["former 9000", "full 8000", "full 7000", "incr 50"]))
    described = describe_stanza(stanza, NOW)
    assert described["ok"]
    assert described["system_id"] == "7711349134174907664"
    assert described["postgresql_version"] == "17"
    assert described["last"]["full"]["label"] == "full-7000"
    assert described["last"]["full"]["age"] == 7000
    assert described["last"]["full"]["duration"] == 30
    assert described["last"]["full"]["repository_size"] == 100
    assert described["last"]["diff"] is None
    assert described["last"]["incr"]["age"] == 50
    assert len(described["backups"]) == 4
    assert described["wal"] == [
        {"archive_id": "17-2", "min": "000000010000000000000001", "max": "000000010000000000000007"}
    ]


def test_an_unknown_stanza_is_missing() -> None:
    (stanza,) = find_stanzas(parse_info(answer()), "other")
    assert not stanza.exists
    assert describe_stanza(stanza, NOW)["last"] == {"full": None, "diff": None, "incr": None}


def in_two_repositories() -> str:
    """The stanza in repository 1, which lacks it, and in 3, where it serves another database by the same number."""
    (stanza,) = json.loads(answer(0, ["full 50"]))
    second = {"key": 3, "cipher": "none", "status": {"code": 0, "message": "ok"}}
    stanza["status"] |= {"code": 4, "message": "different across repos"}
    stanza["cipher"] = "mixed"
    stanza["repo"] = [{"key": 1, "cipher": "aes-256-cbc", "status": {"code": 1, "message": MESSAGES[1]}}, second]
    stanza["db"] = [{"id": 1, "repo-key": 3, "system-id": 9, "version": "17"}]
    stanza["backup"][0]["database"] = {"id": 1, "repo-key": 3}
    stanza["archive"][0]["database"] = {"id": 1, "repo-key": 3}
    return json.dumps([stanza])


def test_each_repository_has_its_own_state() -> None:
    first, third = parse_info(in_two_repositories())
    assert (first.repository, first.exists, first.cipher) == (1, False, "aes-256-cbc")
    assert (first.system_id, first.backups, first.wal) == (None, (), ())
    assert (third.repository, third.exists, third.cipher, third.system_id) == (3, True, "none", "9")
    assert [backup.label for backup in third.current_backups] == ["full-50"]
    assert [wal.archive_id for wal in third.wal] == ["17-2"]
    assert describe_stanza(third, NOW)["repository"] == 3


def test_a_repository_is_chosen() -> None:
    stanzas = find_stanzas(parse_info(in_two_repositories()), "lab")
    assert of_repository(stanzas, None) == stanzas
    assert [stanza.repository for stanza in of_repository(stanzas, 3)] == [3]
    with pytest.raises(PgBackRestError, match="repository 2 is not configured on this host; choose one of 1, 3"):
        of_repository(stanzas, 2)


def test_a_stanza_without_a_database_is_read() -> None:
    document = [{"name": "lab", "status": {"code": 1, "message": "missing stanza path"}, "db": [], "backup": []}]
    (stanza,) = parse_info(json.dumps(document))
    assert stanza.system_id is None
    assert stanza.current_backups == ()


@pytest.mark.parametrize("text", ["", "{}}", "[{}]", '{"name": 1}', "[1]", '[{"name": "lab"}]'])
def test_an_unreadable_answer_is_an_error(text: str) -> None:
    with pytest.raises(PgBackRestError, match="unreadable answer"):
        parse_info(text)


@pytest.mark.parametrize(
    ("text", "version"),
    [("pgBackRest 2.55.1\n", "2.55.1"), ("pgBackRest 2.45", "2.45"), ("pgBackRest 2.56dev", "2.56")],
)
def test_parse_version(text: str, version: str) -> None:
    assert parse_version(text) == version


def test_parse_version_without_one() -> None:
    with pytest.raises(PgBackRestError, match="no version"):
        parse_version("command not found")


@pytest.mark.parametrize(
    ("text", "names"),
    [("{}", ()), ('{".":{"type":"path"},"backup.info":{"type":"file"},"a":{"type":"path"}}', ("a", "backup.info"))],
)
def test_parse_listing(text: str, names: tuple[str, ...]) -> None:
    assert parse_listing(text) == names


def test_an_unreadable_listing_is_an_error() -> None:
    with pytest.raises(PgBackRestError, match="repo-ls"):
        parse_listing("no JSON")


CONFIG = """\
# Managed by Ansible
[global]
lock-path=/run/pgbackrest
tls-server-address=*
tls-server-auth=db1=lab
repo1-path=/var/lib/pgbackrest
repo1-cipher-pass=s3cr=t%x

[global:restore]
delta=y

[lab]
pg1-path=/var/lib/postgresql/17/lab
pg1-host=192.0.2.11
"""


def test_a_scratch_configuration_reads_the_repository_only() -> None:
    text = scratch_config(CONFIG, "lab", "/scratch", "/run/x")
    assert "repo1-cipher-pass=s3cr=t%x\n" in text
    assert "[global:restore]\ndelta=y\n" in text
    assert "[lab]\npg1-path=/scratch\n" in text
    assert "lock-path=/run/x/lock\n" in text
    assert "pg1-host" not in text
    assert "tls-server" not in text


def test_a_message_that_a_wrong_passphrase_made() -> None:
    status = '{"code":99,"message":"[FormatError] unable to load info file:\x07\x01"}'
    repository = f'{{"cipher":"aes-256-cbc","key":1,"status":{status}}}'
    lists = '"archive":[],"backup":[],"db":[]'
    text = f'[{{{lists},"cipher":"aes-256-cbc","name":"lab","repo":[{repository}],"status":{status}}}]'
    assert "FormatError" in parse_info(text)[0].message
