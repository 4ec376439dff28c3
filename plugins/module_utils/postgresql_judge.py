# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validates a configuration with the installed server, and finds what is not in effect on a running one."""

from __future__ import annotations

import hashlib
import json
import pwd
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ansible_collections.holdfast.ha.plugins.module_utils.masking import mask
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import without_nulls
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_dynamic import (
    VARIABLE,
    faults,
    quorum_fault,
    undefined_methods,
)
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_check import (
    Refusal,
    Report,
    Running,
    Setting,
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
    session_settings,
    shorten,
)
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_objects import (
    AVAILABLE,
    NOTHING,
    Existing,
    Statement,
    existing_query,
    existing_refusals,
    extension_refusals,
    is_present,
    object_refusals,
    reserved_refusals,
    statements_of,
    template_refusals,
    unknown_refusals,
)
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_scratch import (
    COMPARE,
    JUDGE,
    Rows,
    Scratch,
    ScratchError,
    Server,
    scratch_directory,
)
from ansible_collections.holdfast.ha.plugins.module_utils.unlogged import UnloggedModule

BASE = Path("/var/lib/holdfast/postgresql-check")
PATRONI = Path("/usr/lib/python3/dist-packages/patroni/version.py")
MEMORY = Path("/proc/meminfo")
DICTS = {"type": "list", "elements": "dict", "default": []}
JUDGED = {
    "bin_directory": {"type": "path", "required": True},
    "sources": {
        **DICTS,
        "options": {
            "parameters": {"type": "dict", "default": {}},
            "variable": {"type": "str", "default": ""},
            "local": {"type": "bool", "default": False},
            "removes": {"type": "bool", "default": False},
            "recovery": {"type": "bool", "default": False},
        },
    },
    "owned": {"type": "dict", "default": {}},
    "dynamic": {"type": "dict", "default": {}},
    "hba": {"type": "str", "no_log": True},  # may hold the password of a directory service
    "ident": {"type": "str", "default": ""},
    "hba_path": {"type": "path", "default": "/etc/patroni/pg_hba.conf"},
    "encoding": {"type": "str", "default": "UTF8"},
    "locale": {"type": "str", "default": "C.UTF-8"},
    "roles": DICTS,
    "databases": DICTS,
    "extensions": DICTS,
}
POLL_SECONDS = 0.5
ROUNDS = 8
HBA = "pg_hba_file_rules"
IDENT = "pg_ident_file_mappings"
READ_BY = {HBA: "pg_hba.conf", IDENT: "pg_ident.conf"}
UNREADABLE = "SELECT line_number AS line, error FROM {view} WHERE error IS NOT NULL"
RUNNING = """
SELECT json_build_object('leads', NOT pg_is_in_recovery(), 'rows', json_agg(json_build_object(
  'name', lower(s.name), 'setting', s.setting, 'unit', s.unit, 'vartype', s.vartype, 'context', s.context,
  'pending_restart', s.pending_restart, 'sourcefile', s.sourcefile, 'file_text', f.setting)))
FROM pg_settings s LEFT JOIN pg_file_settings f ON lower(f.name) = lower(s.name) AND f.applied
"""


def meminfo(name: str) -> int:
    """Return a number of /proc/meminfo, 0 where it is missing."""
    lines = (line.split() for line in MEMORY.read_text(encoding="ascii").splitlines())
    return next((int(words[1]) for words in lines if words[0] == f"{name}:"), 0)


def fingerprint(params: Mapping[str, Any]) -> str:
    """Return a fingerprint of everything that the validation depends on."""
    programs = (Path(params["bin_directory"]) / "postgres", PATRONI)
    times = [path.stat().st_mtime if path.exists() else 0 for path in programs]
    text = json.dumps([[params[key] for key in JUDGED], times, meminfo("MemTotal")], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def trial_of(params: Mapping[str, Any]) -> Trial:
    """Return the settings of the parameters, and those that are refused without asking a server."""
    trial = collect([Source(**item) for item in params["sources"]], params["owned"])
    trial.refusals += dynamic_refusals(params)
    trial.refusals += reserved_refusals([*params["roles"], *params["databases"]], params["reserved"])
    return trial


def dynamic_refusals(params: Mapping[str, Any]) -> Iterator[Refusal]:
    """Yield what is refused of Patroni's dynamic configuration."""
    dynamic = params["dynamic"]
    for fault in (*faults(dynamic), *undefined_methods(dynamic, lambda method: shutil.which(method) is not None)):
        value = "" if fault.value is None else f" = {shorten(fault.value)}"
        yield Refusal(f"{fault.where}{value}", fault.what, fault.fix)
    restore, section = params["owned"].get("restore_command"), dynamic.get("postgresql")
    if restore and isinstance(section, Mapping) and section.get("recovery_conf", {}) is None:
        yield Refusal(f"{VARIABLE}.postgresql.recovery_conf", "is null, which removes restore_command", restore)
    given = "synchronous_mode" in dynamic
    mode = dynamic["synchronous_mode"] if given else params["synchronous_mode"]
    expected = params["patroni_version"]
    installed = patroni_version() or expected
    why = quorum_fault(mode, installed)
    if why and not quorum_fault(mode, expected) and not given:
        why = (why[0], f"{why[1]}, and take back patroni_version = {expected!r}")
    if why:
        yield Refusal(f"{f'{VARIABLE}.' if given else 'patroni_'}synchronous_mode = {mode!r}", *why)


def patroni_version() -> str:
    """Return the version of the installed Patroni, empty without one."""
    found = re.search(r"__version__ = '([^']*)'", PATRONI.read_text(encoding="utf-8")) if PATRONI.exists() else None
    return found[1] if found else ""


def without_missing_certificates(trial: Trial) -> bool:
    """Leave out the role's TLS settings if its certificates don't exist yet; return whether they exist."""
    names = [name for name, setting in trial.settings.items() if name.startswith("ssl") and not setting.declared]
    if all(Path(trial.settings[name].text).exists() for name in names if name.endswith("_file")):
        return True
    for name in names:
        del trial.settings[name]
    return False


@dataclass
class Judge:
    """The validation of one configuration by the installed server."""

    params: Mapping[str, Any]
    scratch: Scratch
    trial: Trial
    major: int
    known: list[str]
    existing: Existing = NOTHING

    def run(self) -> None:
        """Find everything that is refused."""
        failure = self.scratch.create(f"--encoding={self.params['encoding']}", f"--locale={self.params['locale']}")
        if failure:
            where = f"patroni_locale = {self.params['locale']!r}, patroni_encoding = {self.params['encoding']!r}"
            self.trial.refusals.append(Refusal(where, failure, "name what this host has (locale -a)"))
            return
        self.scratch.link_from(Path(self.params["hba_path"]).parent)
        self.scratch.put("pg_hba.conf", self.params["hba"] or "local all all reject\n")
        self.scratch.put("pg_ident.conf", self.params["ident"])
        with_ssl = without_missing_certificates(self.trial)
        if self.trial.settings:
            self._parameters()
            self._patroni()
        self._session(with_ssl)

    def _parameters(self) -> None:
        """Have the server read the parameters, each time without the refused ones, until it has named all of these."""
        probe = "shared_memory_size" if self.major >= 15 else "shared_buffers"  # MB, or pages of 8 kB
        for _round in range(ROUNDS):
            self.scratch.put("postgresql.conf", config_text(self.trial.settings.values()))
            rc, out, err = self.scratch.ask(probe)
            if not rc:
                self._memory(int(out.split()[-1]) // (1 if self.major >= 15 else 128))
                return
            if not apply_reports(self.trial, reports(err), self.known, lambda report: self._blame(report, probe)):
                break
        self.trial.settings = {name: one for name, one in self.trial.settings.items() if not one.declared}

    def _blame(self, report: Report, probe: str) -> Setting | None:
        """Return the user's setting that causes the server's message."""
        for setting in [one for one in self.trial.settings.values() if one.declared]:
            self.scratch.put(
                "postgresql.conf", config_text(one for one in self.trial.settings.values() if one != setting)
            )
            _rc, _out, err = self.scratch.ask(probe)
            if report.text not in err:
                return setting
        return None

    def _memory(self, shared_mb: int) -> None:
        setting = self.trial.settings.get("huge_pages")
        huge = None
        if setting is not None and setting.text.lower() == "on" and self.major >= 15:
            _rc, out, _err = self.scratch.ask("shared_memory_size_in_huge_pages")
            huge = (int(out.split()[-1]), meminfo("HugePages_Total"))
        memory_refusals(self.trial, shared_mb, meminfo("MemTotal") // 1024, huge)

    def _patroni(self) -> None:
        if not PATRONI.exists():
            return
        try:
            answer = ask_patroni(
                self.scratch.server, self.trial.settings.values(), self.params["dynamic"], self.major, self.known
            )
        except ScratchError as error:
            self.trial.warnings.append(f"{error}; what it would drop is seen afterwards only")
        else:
            patroni_refusals(self.trial, answer["kept"], answer["recovery"])
            if answer["unread"]:
                why = f"Patroni would ignore all of it ({answer['unread']})"
                self.trial.refusals.append(Refusal(VARIABLE, why, "write numbers and true or false without quotes"))

    def _session(self, with_ssl: bool) -> None:
        """Have a stand-alone backend load the libraries, read the files and make the objects."""
        params = self.params
        statements = statements_of(params["roles"], params["databases"], self.existing)
        views = [view for view in READ_BY if params["hba"] is not None and (view == HBA or self.major >= 15)]
        rows = self._rows(
            {**{view: UNREADABLE.format(view=view) for view in views}, "available": AVAILABLE}, statements
        )
        self.trial.refusals += extension_refusals(params["extensions"], rows.get("available", []))
        contents, scratch = {HBA: params["hba"], IDENT: params["ident"]}, str(self.scratch.directory)
        for view in views:
            path = str(Path(params["hba_path"]).with_name(READ_BY[view]))
            self.trial.refusals += file_refusals(contents[view], rows[view], path, scratch, with_ssl=with_ssl)

    def _rows(self, queries: Mapping[str, str], statements: list[Statement]) -> dict[str, Rows]:
        """Return what a session answers, one without the settings with which none begins, and refuse these."""
        tried = {one.sql for one in statements}
        for _round in range(ROUNDS):
            settings = session_settings(self.trial.settings)
            self.scratch.put("postgresql.conf", config_text(settings.values()))
            rows, log = self.scratch.session(queries, [one.sql for one in statements])
            found = [report for report in reports(log) if report.refuses]
            apply_reports(self.trial, [one for one in found if one.statement not in tried], self.known)
            if queries.keys() <= rows.keys():
                self.trial.refusals += object_refusals(statements, found)
                return rows
        raise ScratchError(f"the scratch cluster gave no answer: {log.strip()[-500:]}")


def ask_patroni(
    server: Server, settings: Iterable[Setting], dynamic: Mapping[str, Any], major: int, known: list[str]
) -> dict[str, Any]:
    """Return what the installed Patroni would keep of the settings, the names of recovery parameters, and what it makes
    of the dynamic configuration."""
    asked: dict[str, Any] = {"local": {}, "cluster": {}, "recovery": {}}
    for setting in settings:
        kind = "recovery" if setting.source.recovery else "local" if setting.source.local else "cluster"
        asked[kind][setting.name] = setting.value
    asked |= {"dynamic": without_nulls(dynamic), "version": major * 10000, "known": known}
    return server.patroni(JUDGE, asked)


def ask_existing(server: Server, params: Mapping[str, Any]) -> Existing | None:
    """Return what the running server has, as far as that matters to what is declared; None without a running server."""
    if not any(params[kind] for kind in ("databases", "extensions", "privileges")):
        return NOTHING
    answer = ask_server(server, params, existing_query(params["databases"]))
    return None if answer is None else Existing(**{key: value or {} for key, value in answer.items()})


def misfits(params: Mapping[str, Any], existing: Existing) -> Iterator[Refusal]:
    """Yield the declared objects that are refused because of the existing ones."""
    yield from existing_refusals(params["databases"], existing)
    yield from template_refusals(params["databases"], existing)
    declared = {kind: {str(one["name"]): is_present(one) for one in params[kind]} for kind in ("databases", "roles")}
    databases, roles = (
        {name for name in {*there, *declared[kind]} if declared[kind].get(name, True)}
        for kind, there in (("databases", existing.databases), ("roles", existing.roles))
    )
    yield from unknown_refusals(params["extensions"], params["privileges"], databases, roles | set(params["reserved"]))


def accept(module: UnloggedModule, server: Server, trial: Trial) -> bool:
    """Validate, unless the same was accepted before. Return whether the installed server has checked everything."""
    if not (server.bin / "postgres").exists():
        return False
    existing = ask_existing(server, module.params)
    trial.refusals += misfits(module.params, existing) if existing else ()
    record = BASE / f"{module.params['record']}.accepted"
    mark = fingerprint(module.params)
    if record.is_file() and record.read_text(encoding="ascii") == mark and not trial.refusals:
        return existing is not None
    user = pwd.getpwnam(server.user)
    with scratch_directory(BASE, user.pw_uid, user.pw_gid) as directory:
        major = int((re.match(r"\d+", server.version()) or ["0"])[0])
        Judge(module.params, Scratch(server, directory), trial, major, server.known(), existing or NOTHING).run()
    for warning in trial.warnings:
        module.warn(warning)
    if not (trial.refusals or trial.warnings or module.check_mode):
        record.write_text(mark, encoding="ascii")
    return existing is not None


@dataclass(frozen=True)
class Effect:
    """The settings that are not in effect on a running server."""

    running: Mapping[str, Running]
    missing: Mapping[str, Setting]
    leads: bool = False

    @property
    def restart(self) -> list[str]:
        """Names of the settings that need a restart."""
        return [name for name in self.missing if self.running[name].restarts]


def ask_server(server: Server, params: Mapping[str, Any], query: str) -> dict[str, Any] | None:
    """Return the one JSON object that the running server answers with, None without a running server."""
    target = ("-h", params["socket_directory"], "-p", str(params["port"]), "-U", params["superuser"], "-d", "postgres")
    rc, out, _err = server.call(str(server.bin / "psql"), "-XAtq", *target, "-c", query)
    return None if rc else cast("dict[str, Any]", json.loads(out))


def effect(server: Server, params: Mapping[str, Any], trial: Trial) -> Effect | None:
    """Return what is not in effect, None without a running server."""
    answer = ask_server(server, params, RUNNING)
    if answer is None:
        return None
    running = {row["name"]: Running(**row) for row in answer["rows"]}
    # A primary has none of the recovery configuration.
    wanted = {name: setting for name, setting in trial.settings.items() if not setting.source.recovery}
    missing = not_in_effect(wanted, running, {})
    return Effect(running, not_in_effect(missing, running, compared(server, missing, running)), answer["leads"])


def compared(server: Server, settings: Mapping[str, Setting], running: Mapping[str, Running]) -> dict[str, bool]:
    """Return by name whether Patroni takes a value for the running one, which may be in another unit."""
    pairs = [
        {"name": name, "wanted": setting.value, "unit": there.unit, "vartype": there.vartype, "setting": there.setting}
        for name, setting in settings.items()
        for there in (running[name],)
    ]
    if not pairs or not PATRONI.exists():
        return {}
    return server.patroni(COMPARE, pairs)


def await_effect(server: Server, params: Mapping[str, Any], trial: Trial) -> Effect | None:
    """Return what is not in effect when the time is up."""
    deadline = time.monotonic() + params["timeout"]
    while True:
        found = effect(server, params, trial)
        if found is None or not found.missing or time.monotonic() > deadline:
            return found
        time.sleep(POLL_SECONDS)


def predict(module: UnloggedModule, found: Effect | None) -> None:
    """Report the parameters that restart this host's server, and its member."""
    if found is None or not found.restart:
        return
    changes = {
        name: (mask(found.running[name].setting, name), mask(found.missing[name].text, name)) for name in found.restart
    }
    member = f"{module.params['member']}, {'the leader' if found.leads else 'a standby'}"
    if not module.params["restarts"]:
        module.warn(f"{member}: a restart will be pending for {', '.join(found.restart)}")
        return
    told = ", ".join(f"{name} {now} -> {then}" for name, (now, then) in changes.items())
    module.warn(f"PostgreSQL restarts on {member}: {told}")
    diff = [{"before": f"{name} = {now}\n", "after": f"{name} = {then}\n"} for name, (now, then) in changes.items()]
    for entry in diff:
        entry["before_header"] = entry["after_header"] = f"PostgreSQL on {member}, restarts"
    module.exit_json(changed=True, restart=found.restart, diff=diff)


def tell_effect(module: UnloggedModule, found: Effect | None) -> None:
    """Fail if settings are not in effect."""
    if found is None:
        return
    problems = {name: effect_problem(setting, found.running[name]) for name, setting in found.missing.items()}
    for name in () if module.params["restarts"] else found.restart:
        module.warn(problems.pop(name))
    if problems:
        told = "\n".join(f"- {problem}" for problem in problems.values())
        module.fail_json(msg=f"{len(problems)} values are not in effect on {module.params['member']}:\n{told}")


def refuse(module: UnloggedModule, trial: Trial) -> None:
    """Fail if settings are refused."""
    if trial.refusals:
        told = "\n".join(f"- {text}" for text in dict.fromkeys(map(str, trial.refusals)))
        number = told.count("\n- ") + 1
        module.fail_json(
            msg=f"{number} values can't take effect on {module.params['member']}; nothing was replaced:\n{told}"
        )
