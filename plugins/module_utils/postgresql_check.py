# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Validation of a PostgreSQL configuration: what to ask the installed server, and what its answers mean.

Nothing here does I/O.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.masking import HIDDEN, mask, mask_text

OWN = "the role's defaults"
NAME = re.compile(r"[a-z_][a-z0-9_$]*(\.[a-z_][a-z0-9_$]*)*")
MESSAGE = re.compile(r"(LOG|WARNING|ERROR|FATAL|PANIC|DETAIL|HINT|STATEMENT):\s+(.*)")
IN_FILE = re.compile(r' in file "[^"]*postgresql\.conf" line \d+')
SUMMARY = re.compile(r'configuration file ".*" contains errors')
SSL_IS_OFF = "because SSL is disabled"
# Settings that concern a session's libraries and the reading of pg_hba.conf; others would only cost memory.
OF_SESSIONS = re.compile(r".*\..*|.*_preload_libraries|dynamic_library_path|ssl.*|krb_.*")
MOST_OF_MEMORY = 0.9
PATRONIS_RECOVERY = re.compile(r"recovery_target.*|primary_conninfo|primary_slot_name")
FOR_RECOVERY = (
    "is for recovery only, which is Patroni's",
    "patroni_dynamic_configuration.postgresql.recovery_conf takes what a standby needs",
)
FILES = {
    "pg_hba.conf": "correct patroni_hba_rules",
    "pg_ident.conf": "correct patroni_superuser_username",
}


@dataclass(frozen=True)
class Refusal:
    """A value that can't take effect: where it was declared, why not, and the fix."""

    where: str
    why: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.why}. Fix: {self.fix}."


@dataclass(frozen=True)
class Source:
    """Parameters by name and the variable that declares them, "" for the role itself.

    A null in a source with ``removes`` removes the parameter. Patroni takes a ``local`` one for this host only, and
    one of ``recovery`` for standbys.
    """

    parameters: Mapping[str, Any]
    variable: str = ""
    local: bool = False
    removes: bool = False
    recovery: bool = False


@dataclass(frozen=True)
class Setting:
    """One parameter, its name in lower case, with the value that is to take effect."""

    name: str
    value: Any
    source: Source

    @property
    def text(self) -> str:
        """The value as Patroni writes it."""
        return str(self.value)

    @property
    def declared(self) -> bool:
        """Whether a user declared it."""
        return bool(self.source.variable)

    @property
    def where(self) -> str:
        """Variable and value, for a message."""
        return f"{self.source.variable or OWN}.{self.name} = {shorten(mask(self.value, self.name))}"

    def hide(self, text: str) -> str:
        """A text without the value, where that holds a secret."""
        secret = bool(self.text) and mask(self.value, self.name) != self.value
        return text.replace(self.text, HIDDEN) if secret else text


@dataclass(frozen=True)
class Report:
    """One message of a server, with its details and the statement that caused it."""

    severity: str
    text: str
    details: tuple[str, ...] = ()
    statement: str = ""

    @property
    def refuses(self) -> bool:
        """Whether it reports a fault, in a session."""
        return self.severity != "LOG"

    def __str__(self) -> str:
        text = IN_FILE.sub("", self.text)
        return f"{text} ({' '.join(self.details).rstrip('.')})" if self.details else text


@dataclass
class Trial:
    """The remaining settings, the refused ones, and those that could not be checked."""

    settings: dict[str, Setting] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, setting: Setting, why: str, fix: str) -> None:
        """Take a setting out, and say why."""
        self.settings.pop(setting.name, None)
        self.refusals.append(Refusal(setting.where, setting.hide(why), setting.hide(fix)))


def shorten(value: object, limit: int = 80) -> str:
    """The value as Python writes it, cut to a line's length."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def collect(sources: Iterable[Source], owned: Mapping[str, str]) -> Trial:
    """Return the settings of the sources, of which later ones win, and refusals that need no server.

    ``owned`` has by name what to use instead of a parameter that a user declares.
    """
    trial = Trial()
    for source in sources:
        seen: set[str] = set()
        for key, value in source.parameters.items():
            setting = Setting(str(key).lower(), value, source)
            former = trial.settings.get(setting.name)
            if value is None and source.removes and not (former and setting.name in owned):
                trial.settings.pop(setting.name, None)
                continue
            if former and source.recovery and not former.source.recovery:
                trial.refuse(former, *FOR_RECOVERY)
            problem = typed_problem(setting, seen, owned)
            seen.add(setting.name)
            if problem:
                trial.refuse(setting, *problem)
            else:
                trial.settings[setting.name] = setting
    return trial


def typed_problem(setting: Setting, seen: set[str], owned: Mapping[str, str]) -> tuple[str, str] | None:
    """Return why a setting is refused without asking the server, and the fix."""
    value = setting.value
    refused: tuple[tuple[bool, str, str], ...] = (
        (not NAME.fullmatch(setting.name), "is no name of a parameter", "write it as PostgreSQL's documentation does"),
        (setting.name in seen, "stands twice, in other letters", "keep one of the two"),
        (setting.declared and setting.name in owned, "is set by the role", owned.get(setting.name, "")),
        (
            setting.source.recovery and bool(PATRONIS_RECOVERY.fullmatch(setting.name)),
            "is ignored by Patroni, which sets it itself",
            "remove it",
        ),
        (value is None, "has no value", "write a value, or remove the line"),
        (
            isinstance(value, (dict, list)),
            f"is a {type(value).__name__}, not one value",
            "write 'a,b' instead of a list",
        ),
        (bool(re.search(r"[\n\r\0]", str(value))), "has more than one line", "write it as one line"),
    )
    return next(((why, fix) for applies, why, fix in refused if applies), None)


def config_text(settings: Iterable[Setting]) -> str:
    """Return a configuration file with one setting a line, written as Patroni writes it."""
    return "".join(f"{setting.name} = '{escape(setting.text)}'\n" for setting in settings)


def escape(text: str) -> str:
    """Return a text as it stands between the quotes of a configuration file."""
    return re.sub(r"(['\\])", r"\1\1", text)


def reports(output: str) -> list[Report]:
    """Return the messages in what a server wrote, each with its details and hints."""
    found: list[Report] = []
    for line in output.splitlines():
        match = MESSAGE.search(line)
        if not match:
            continue
        kind, text = match.groups()
        if kind == "STATEMENT" and found:
            found[-1] = replace(found[-1], statement=text)
        elif kind in {"DETAIL", "HINT"} and found:
            found[-1] = replace(found[-1], details=(*found[-1].details, text))
        else:
            found.append(Report(kind, text))
    return [report for report in found if len(found) == 1 or not SUMMARY.match(report.text)]


def culprit(report: Report, settings: Mapping[str, Setting]) -> Setting | None:
    """Return the setting that a message names, by line, name or value; a user's rather than the role's."""
    text = f"{report.text} {report}"
    by_line = re.search(r'postgresql\.conf" line (\d+)', text)
    ordered = list(settings.values())
    if by_line and 0 < int(by_line[1]) <= len(ordered):
        return ordered[int(by_line[1]) - 1]
    quoted = re.findall(r'"([^"]+)"', text)
    named = [settings[word.lower()] for word in quoted if word.lower() in settings]
    valued = [setting for word in quoted for setting in ordered if word in setting.text]
    candidates = [*sorted(named, key=lambda setting: not setting.declared), *filter(_is_declared, valued)]
    return candidates[0] if candidates else None


def _is_declared(setting: Setting) -> bool:
    return setting.declared


def nobody(_report: Report) -> Setting | None:
    """Return no setting for a message that names none."""
    return None


def apply_reports(
    trial: Trial,
    found: Sequence[Report],
    known: Sequence[str],
    blame: Callable[[Report], Setting | None] = nobody,
) -> bool:
    """Refuse the settings in a server's messages. Return whether each message has its setting, so that asking again
    helps.

    ``blame`` finds the setting of a message that names none.
    """
    before = dict(trial.settings)
    left = 0
    for report in found:
        setting = culprit(report, before) or blame(report)
        if setting is None:
            left += 1
            why = functools.reduce(lambda text, one: one.hide(text), before.values(), str(report))
            trial.refusals.append(Refusal("PostgreSQL's parameters", why, "correct patroni_parameters"))
        else:
            trial.refuse(setting, str(report), fix_of(setting, report, known))
    return bool(found) and not left


def fix_of(setting: Setting, report: Report, known: Sequence[str]) -> str:
    """Return the fix of a refused setting."""
    if "unrecognized" in report.text:
        near = difflib.get_close_matches(setting.name, known, 1)
        return f"write {near[0]}, if that is meant" if near else "remove it; this version has no such parameter"
    if "could not access file" in report.text:
        return "install the library's package on all members first, or take it out"
    return "correct the value"


def memory_refusals(trial: Trial, shared_mb: int | None, total_mb: int, huge: tuple[int, int] | None) -> None:
    """Refuse shared memory that this host can't give.

    ``huge`` are the numbers of huge pages needed and there, None where the server does without.
    """
    if shared_mb is not None and shared_mb > MOST_OF_MEMORY * total_mb:
        setting = _largest(trial)
        why = f"takes {shared_mb} MB of shared memory; this host has {total_mb} MB in all"
        if setting is not None:
            trial.refuse(setting, why, f"keep shared memory below {int(MOST_OF_MEMORY * total_mb)} MB")
    if huge is not None and huge[0] > huge[1] and "huge_pages" in trial.settings:
        why = f"needs {huge[0]} huge pages; this host has {huge[1]} (vm.nr_hugepages)"
        trial.refuse(trial.settings["huge_pages"], why, "reserve them, or use try")


def _largest(trial: Trial) -> Setting | None:
    """The setting that most likely makes shared memory so large."""
    names = ("shared_buffers", "max_connections", "max_locks_per_transaction", "wal_buffers")
    found = [trial.settings[name] for name in names if name in trial.settings]
    return next(filter(_is_declared, found), found[0] if found else None)


def session_settings(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return the settings that matter to a session that only reads files and loads libraries."""
    return {name: setting for name, setting in settings.items() if OF_SESSIONS.fullmatch(name)}


def file_refusals(
    content: str, rows: Iterable[Mapping[str, Any]], path: str, scratch: str, *, with_ssl: bool = True
) -> Iterator[Refusal]:
    """Yield a refusal for each line of a file that the server can't read. Secrets in a line are not shown.

    ``path`` is where the file will be, ``scratch`` the directory in which the server read it.
    """
    lines, masked = content.splitlines(), mask_text(content).splitlines()
    directory, _slash, name = path.rpartition("/")
    for row in rows:
        number, error = int(row["line"]), str(row["error"]).replace(scratch, directory)
        if not with_ssl and SSL_IS_OFF in error:
            continue
        shown = masked[number - 1].strip() if 0 < number <= len(lines) else ""
        last = next((at for at in range(number - 1, len(lines)) if not lines[at].endswith("\\")), number)
        if lines[number - 1 : last + 1] != masked[number - 1 : last + 1]:
            error = _without_words(error)
        yield Refusal(f"line {number} of {path}, {shown!r}", error, FILES[name])


def _without_words(error: str) -> str:
    """An error without the words of the line, which may be part of a secret that is not quoted as it should be."""
    said, quotes, _words = re.match(r"([^\":]*)([\":]?)(.*)", error, re.DOTALL).groups()  # type: ignore[union-attr]
    return f"{said.rstrip()} {HIDDEN}" if quotes else error


def patroni_refusals(trial: Trial, kept: Mapping[str, Any], recovery: Sequence[str]) -> None:
    """Refuse what Patroni would leave out or write differently; ``kept`` is what it would write."""
    for setting in list(trial.settings.values()):
        if setting.name in recovery and not setting.source.recovery:
            trial.refuse(setting, *FOR_RECOVERY)
        elif setting.name not in kept:
            trial.refuse(setting, "is ignored by Patroni, or too small for it", "remove it, or write a value it takes")
        elif str(kept[setting.name]).lower() != setting.text.lower():
            trial.refuse(setting, f"becomes {mask(kept[setting.name], setting.name)} in Patroni", "write that")


@dataclass(frozen=True)
class Running:
    """A parameter of a running server: its value, the unit, when a change takes effect, and what set it."""

    name: str
    setting: str
    unit: str | None
    vartype: str
    context: str
    pending_restart: bool = False
    sourcefile: str | None = None
    file_text: str | None = None

    @property
    def restarts(self) -> bool:
        """Whether a change takes a restart."""
        return self.context == "postmaster"


def not_in_effect(
    settings: Mapping[str, Setting], running: Mapping[str, Running], same: Mapping[str, bool]
) -> dict[str, Setting]:
    """Return the settings whose value the running server doesn't have; ``same`` says how its values compare."""
    missing = {}
    for name, setting in settings.items():
        there = running.get(name)
        if there is None:
            continue  # of a library that is not loaded, or removed from the session's view
        texts = {setting.text.lower()} & {there.setting.lower(), (there.file_text or "").lower()}
        if there.pending_restart or not (same.get(name, False) or texts):
            missing[name] = setting
    return missing


def effect_problem(setting: Setting, there: Running) -> str:
    """Return why a setting is not in effect, and the fix."""
    unit = f" (in {there.unit})" if there.unit else ""
    now = mask(there.setting, setting.name)
    if (there.sourcefile or "").endswith("postgresql.auto.conf"):
        why, fix = f"ALTER SYSTEM has set {now!r}{unit}", f"ALTER SYSTEM RESET {setting.name}"
    elif there.pending_restart:
        why, fix = f"{now!r}{unit} is in effect until a restart", "restart the member"
    else:
        why, fix = f"{now!r}{unit} is in effect", "see Patroni's journal on this host"
    return str(Refusal(setting.where, why, fix))
