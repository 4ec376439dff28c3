# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When a configuration is given to the installed server, and when its former word counts."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import postgresql_judge, postgresql_scratch
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_scratch import Scratch, Server

REFUSED = 'LOG:  invalid value for parameter "work_mem": "16XB"\nFATAL:  configuration file "x" contains errors\n'
NO_ROWS = "".join(f'\t 1: {name} = "5b5d"\n' for name in ("pg_hba_file_rules", "pg_ident_file_mappings"))


class Host:
    """A host with a PostgreSQL 17 that knows one bad value, and a line that it can't read if there is a 33 in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs: list[str] = []
        self.warnings: list[str] = []
        self.existing = ""
        self.patroni: dict[str, Any] = {}
        self.available: list[str] = []

    def __call__(self, argv: list[str], data: str = "", **_options: Any) -> tuple[int, str, str]:
        program = Path(argv[6]).name
        self.programs.append(" ".join([program, *argv[7:8]]))
        if program == "python3":
            unlike = (1, "", "Traceback\nAttributeError: no such thing in this version\n")
            return (0, json.dumps(self.patroni), "") if self.patroni else unlike
        if program == "psql":
            return (0, self.existing, "") if self.existing else (2, "", "connection failed")
        if argv[7:8] == ["--version"]:
            return 0, "postgres (PostgreSQL) 17.12 (Debian 17.12-0+deb13u1)\n", ""
        if argv[7:8] == ["--single"]:
            hba = self._read("pg_hba.conf")
            rows = b'[{"line": 1, "error": "invalid CIDR mask"}]'.hex() if "/33" in hba else "5b5d"
            available = json.dumps([{"name": name, "version": "1"} for name in self.available]).encode().hex()
            no_rows = f'{NO_ROWS}\t 1: available = "{available}"\n'
            return 0, no_rows.replace('pg_hba_file_rules = "5b5d"', f'pg_hba_file_rules = "{rows}"'), ""
        if argv[7:8] == ["-C"]:
            return (1, "", REFUSED) if "16XB" in self._read("postgresql.conf") else (0, "143\n", "")
        return 0, "", ""

    def _read(self, name: str) -> str:
        return (self.directory / "scratch" / name).read_text(encoding="utf-8")


class Exit(Exception):  # noqa: N818 - what a module ends with
    """What the module told, as failure or not."""


class Module:
    """What the module asks of Ansible."""

    def __init__(self, host: Host, params: dict[str, Any], check_mode: bool = False) -> None:
        self.run_command = host
        self.check_mode = check_mode
        defaults = {"sources": [], "owned": {}, "hba": None, "ident": "", "hba_path": "/nowhere/pg_hba.conf"}
        objects: dict[str, Any] = {"roles": [], "databases": [], "extensions": [], "privileges": []}
        objects |= {"socket_directory": "/run", "port": 5432, "superuser": "postgres"}
        patroni = {"dynamic": {}, "synchronous_mode": None, "patroni_version": "4.0"}
        rest = {**patroni, "reserved": {}, "encoding": "UTF8", "locale": "C", "member": "db1", "record": "server"}
        self.params = {**defaults, **objects, **rest, **params}

    def warn(self, message: str) -> None:
        self.run_command.warnings.append(message)

    def fail_json(self, msg: str) -> None:
        raise Exit(msg)


Judge = Callable[..., Any]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: Host) -> Judge:
    """Judge parameters and return whether the server accepted, or why not."""
    monkeypatch.setattr(postgresql_judge, "BASE", tmp_path)
    monkeypatch.setattr(postgresql_judge, "PATRONI", tmp_path / "none")
    monkeypatch.setattr(postgresql_scratch.os, "chown", lambda *_arguments: None)
    monkeypatch.setattr(postgresql_judge.pwd, "getpwnam", lambda _name: pwd.getpwuid(os.getuid()))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "postgres").touch()

    def run(parameters: dict[str, Any], *, check_mode: bool = False, **params: Any) -> str | bool:
        source = {"parameters": parameters, "variable": "patroni_parameters"}
        module = Module(host, {"bin_directory": tmp_path / "bin", "sources": [source], **params}, check_mode)
        trial = postgresql_judge.trial_of(module.params)
        server = Server(host, Path(module.params["bin_directory"]))
        try:
            accepted = postgresql_judge.accept(module, server, trial)  # type: ignore[arg-type]
            postgresql_judge.refuse(module, trial)  # type: ignore[arg-type]
        except Exit as told:
            return str(told)
        return accepted

    return run


def test_what_the_server_refuses_fails_with_variable_and_value(judge: Judge) -> None:
    told = judge({"work_mem": "16XB"}, hba="host all all 10.0.0.0/33 md5\n")
    assert "2 values can't take effect on db1; nothing was replaced" in str(told)
    assert "patroni_parameters.work_mem = '16XB'" in str(told)
    assert "line 1 of /nowhere/pg_hba.conf, 'host all all 10.0.0.0/33 md5': invalid CIDR mask" in str(told)


def test_what_was_accepted_is_not_asked_again_until_it_changes(judge: Judge, host: Host) -> None:
    assert judge({"work_mem": "16MB"}) is True
    host.programs.clear()
    assert judge({"work_mem": "16MB"}) is True
    assert not host.programs
    assert judge({"work_mem": "17MB"}) is True
    assert host.programs


def test_what_was_refused_is_asked_again(judge: Judge) -> None:
    assert judge({"work_mem": "16XB"}) == judge({"work_mem": "16XB"})


def test_check_mode_judges_too_and_keeps_nothing(judge: Judge, tmp_path: Path) -> None:
    assert "16XB" in str(judge({"work_mem": "16XB"}, check_mode=True))
    assert judge({"work_mem": "16MB"}, check_mode=True) is True
    assert not list(tmp_path.glob("*.accepted"))


def test_a_bare_host_refuses_what_needs_no_server(judge: Judge, tmp_path: Path, host: Host) -> None:
    assert judge({"work_mem": "16XB"}, bin_directory=tmp_path / "not there") is False
    assert "has no value" in str(judge({"work_mem": None}, bin_directory=tmp_path / "not there"))
    assert not host.programs


def test_nothing_is_left_of_the_trial_nor_of_one_that_was_killed(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "scratch" / "data" / "base").mkdir(parents=True)
    judge({"work_mem": "16MB"})
    assert not (tmp_path / "scratch").exists()


def test_root_writes_nothing_where_the_server_may(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_scratch.os, "chown", lambda *_arguments: None)
    with postgresql_scratch.scratch_directory(tmp_path, 0, 0) as directory:
        path = Scratch(Server(host, tmp_path), directory).put("postgresql.conf", "")
        assert path.parent == directory
        assert (directory.stat().st_mode & 0o777, (directory / "data").stat().st_mode & 0o777) == (0o750, 0o700)


def test_a_name_of_the_collections_own_is_refused_whatever_it_was_set_to(judge: Judge) -> None:
    reserved = {"copier": "patroni_replication_username"}
    told = judge({}, roles=[{"name": "Copier", "state": "absent"}, {"name": "app"}], reserved=reserved)
    assert "the name 'Copier': is the collection's own (patroni_replication_username). Fix: choose another one" in str(
        told
    )


def test_a_patroni_that_can_not_be_asked_is_told_and_asked_again(
    judge: Judge, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_judge, "PATRONI", tmp_path / "bin" / "postgres")
    assert judge({"work_mem": "16MB"}) is True
    assert "no such thing in this version" in host.warnings[0]
    assert not list(tmp_path.glob("*.accepted"))


QUORUM = [
    (
        {"synchronous_mode": "quorum", "patroni_version": "3.0"},
        "",
        "patroni_synchronous_mode = 'quorum': is for Patroni 4.0; 3.0",
    ),
    ({"synchronous_mode": "quorum"}, "3.0.2", "; 3.0.2 would take it for off"),
    ({"dynamic": {"synchronous_mode": "Quorum"}}, "3.3.2", "patroni_dynamic_configuration.synchronous_mode = 'Quorum'"),
    ({"synchronous_mode": "quorum", "dynamic": {"synchronous_mode": True}}, "3.0.2", None),
    ({"synchronous_mode": "quorum", "patroni_version": "4.0"}, "3.3", "and take back patroni_version = '4.0'"),
    ({"synchronous_mode": True}, "3.0.2", None),
    ({"synchronous_mode": "quorum", "patroni_version": "3.0"}, "4.0.7", None),
    ({"synchronous_mode": "quorum"}, "10.1", None),
]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Install a version of Patroni, whose version.py is all there is of it."""

    def install(version: str) -> None:
        path = tmp_path / "version.py"
        path.write_text(f'"""Version."""\n__version__ = \'{version}\'\n', encoding="utf-8")
        monkeypatch.setattr(postgresql_judge, "PATRONI", path)

    return install


@pytest.mark.parametrize(("params", "version", "says"), QUORUM)
def test_a_quorum_is_refused_of_a_patroni_that_replicates_asynchronously_then(
    judge: Judge, installed: Callable[[str], None], params: Any, version: str, says: str | None
) -> None:
    if version:
        installed(version)
    told = judge({}, bin_directory="/nowhere", **params)
    assert told is False if says is None else says in str(told)
    assert says is None or "patroni_synchronous_mode to auto" in str(told)


def test_a_dynamic_configuration_that_patroni_would_ignore_is_refused_on_a_bare_host(
    judge: Judge, tmp_path: Path
) -> None:
    dynamic = {"primary_start_timeout": "soon", "postgresql": {"create_replica_methods": ["nosuch", "sh"]}}
    told = str(judge({}, bin_directory=tmp_path / "not there", dynamic=dynamic))
    assert "patroni_dynamic_configuration.primary_start_timeout = 'soon': is not a whole number of seconds" in told
    assert "postgresql.create_replica_methods = 'nosuch': is neither basebackup nor" in told
    assert "'sh'" not in told


THERE = {
    "databases": {"app": {"encoding": "UTF8", "LC_COLLATE": "C.UTF-8", "LC_CTYPE": "C.UTF-8"}},
    "roles": ["boss", "pg_monitor"],
    "encodings": {"LATIN1": "LATIN1"},
}
OBJECTS = [
    ({"databases": [{"name": "app", "encoding": "LATIN1"}]}, "has encoding UTF8, not LATIN1"),
    ({"extensions": [{"name": "x", "database": "app"}]}, None),
    (
        {"extensions": [{"name": "x", "database": "appp"}]},
        "name the database 'appp', which is neither declared nor there",
    ),
    ({"databases": [{"name": "app", "state": "absent"}], "extensions": [{"name": "x", "database": "app"}]}, "neither"),
    (
        {
            "databases": [{"name": "new"}],
            "privileges": [{"database": "new", "roles": "boss,me"}],
            "roles": [{"name": "me"}],
        },
        None,
    ),
    ({"privileges": [{"database": "app", "roles": "public,pg_monitor,pgbouncer"}]}, None),
    ({"privileges": [{"database": "app", "roles": "boss,bos"}]}, "name the role 'bos'"),
    ({"privileges": [{"database": "app", "roles": "boss", "target_roles": "bos"}]}, "name the role 'bos'"),
]


@pytest.mark.parametrize(("objects", "says"), OBJECTS)
def test_what_is_declared_fits_what_there_is(
    judge: Judge, host: Host, objects: dict[str, Any], says: str | None
) -> None:
    reserved = {"pgbouncer": "pooler"}
    objects.setdefault("extensions", [])
    host.available = [extension["name"] for extension in objects["extensions"]]
    assert judge({}, **objects, reserved=reserved) is False, "without a running server nobody knows yet"
    host.existing = json.dumps(THERE)
    told = judge({}, **objects, reserved=reserved)
    assert told is True if says is None else says in str(told)


@pytest.mark.parametrize("owned", [{}, {"restore_command": "pgBackRest restores; remove it"}])
def test_an_emptied_recovery_configuration_would_end_restoring(judge: Judge, owned: dict[str, str]) -> None:
    told = judge({}, bin_directory="/nowhere", owned=owned, dynamic={"postgresql": {"recovery_conf": None}})
    assert (
        "recovery_conf: is null, which removes restore_command. Fix: pgBackRest restores" in str(told)
        if owned
        else not told
    )


def test_a_dynamic_configuration_that_the_installed_patroni_can_not_read_is_refused(
    judge: Judge, host: Host, installed: Callable[[str], None]
) -> None:
    installed("3.0.2")
    answer = {"kept": {"work_mem": "16MB"}, "recovery": []}
    host.patroni = {**answer, "unread": "invalid literal for int() with base 10: 'on'"}
    told = judge({"work_mem": "16MB"}, dynamic={"check_timeline": "on"})
    assert "patroni_dynamic_configuration: Patroni would ignore all of it (invalid literal" in str(told)
    host.patroni = {**answer, "unread": ""}
    assert judge({"work_mem": "16MB"}, dynamic={"check_timeline": True}) is True
