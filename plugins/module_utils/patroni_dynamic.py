# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds additions to Patroni's dynamic configuration that Patroni would ignore or misread.

Nothing here does I/O. The rules are those of Patroni 3.0 to 4.1 alike.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import TIMING_FLOOR

VARIABLE = "patroni_dynamic_configuration"
QUORUM_SINCE = (4, 0)
WHOLE = re.compile(r"\s*[+-]?\d+\s*")
SECONDS = re.compile(r"\s*\d+\s*(us|ms|s|min|h|d)?\s*")
PORTS = re.compile(r"\d+(,\d+)*")
SLOT = re.compile(r"[a-z0-9_]{1,63}")
YES = ("on", "true", "yes", "1")
NO = ("off", "false", "no", "0")


@dataclass(frozen=True)
class Fault:
    """A declared value: its path, the value or None where it need not be shown, what is wrong and the fix."""

    path: str
    value: Any
    what: str
    fix: str

    @property
    def where(self) -> str:
        """Path from the variable on."""
        return f"{VARIABLE}.{self.path}"


@dataclass(frozen=True)
class Kind:
    """The required kind of a value, as a description and as a test."""

    name: str
    fits: Callable[[Any], bool]


def is_whole(value: Any) -> bool:
    """Whether all versions read it as a number; with a unit they use a default instead."""
    return not isinstance(value, bool) and (isinstance(value, (int, float)) or bool(WHOLE.fullmatch(str(value))))


def whole(least: int, unit: str = "") -> Kind:
    """Return the kind of whole numbers that are not below ``least``."""
    of_unit = f" of {unit}, without the unit" if unit else ""
    return Kind(f"a whole number{of_unit}, at least {least}", lambda value: is_whole(value) and float(value) >= least)


def is_truth(value: Any) -> bool:
    """Whether Python reads it as the boolean that it names: Patroni takes any text for true."""
    return isinstance(value, (bool, int)) or str(value).lower() in YES


BYTES = whole(0, "bytes")
DURATION = whole(0, "seconds")
TIME = Kind("a number of seconds, or one with a unit", lambda value: bool(SECONDS.fullmatch(str(value))))
SWITCH = Kind("true or false", lambda value: str(value).lower() in (*YES, *NO))
TRUTH = Kind("true or false, not as a text", is_truth)
MODE = Kind("true, false or quorum", lambda value: str(value).lower() in (*YES, *NO, "quorum"))
MAPPING = Kind("a mapping", lambda value: isinstance(value, Mapping))
LIST = Kind("a list", lambda value: isinstance(value, list))
LIST_OF_MAPPINGS = Kind(
    "a list of mappings", lambda value: isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
)
OPTIONS = Kind("a mapping or a list", lambda value: isinstance(value, (Mapping, list)))
TEXT = Kind("a text", lambda value: not isinstance(value, (Mapping, list)))
PORT = Kind("a port", lambda value: bool(PORTS.fullmatch(str(value))))

CLUSTER = {
    "check_timeline": SWITCH,
    "failsafe_mode": SWITCH,
    "ignore_slots": LIST_OF_MAPPINGS,
    "loop_wait": whole(TIMING_FLOOR["loop_wait"], "seconds"),
    "master_start_timeout": DURATION,
    "master_stop_timeout": DURATION,
    "max_timelines_history": whole(0),
    "maximum_lag_on_failover": BYTES,
    "maximum_lag_on_syncnode": whole(-1, "bytes"),
    "member_slots_ttl": TIME,
    "pause": SWITCH,
    "postgresql": MAPPING,
    "primary_race_backoff": TEXT,
    "primary_start_timeout": DURATION,
    "primary_stop_timeout": DURATION,
    "retry_timeout": whole(TIMING_FLOOR["retry_timeout"], "seconds"),
    "slots": MAPPING,
    "standby_cluster": MAPPING,
    "synchronous_mode": MODE,
    "synchronous_mode_strict": SWITCH,
    "synchronous_node_count": whole(1),
    "ttl": whole(TIMING_FLOOR["ttl"], "seconds"),
}
"""What Patroni reads there; it ignores anything else."""

POSTGRESQL = {
    "basebackup": OPTIONS,
    "before_stop": TEXT,
    "bin_name": MAPPING,
    "callbacks": MAPPING,
    "config_base_name": TEXT,
    "create_replica_method": LIST,
    "create_replica_methods": LIST,
    "custom_conf": TEXT,
    "database": TEXT,
    "krbsrvname": TEXT,
    "parameters": MAPPING,
    "pg_ctl_timeout": DURATION,
    "pre_promote": TEXT,
    "recovery_conf": MAPPING,
    "remove_data_directory_on_diverged_timelines": TRUTH,
    "remove_data_directory_on_rewind_failure": TRUTH,
    "use_pg_rewind": TRUTH,
    "use_slots": SWITCH,
}
"""What Patroni reads below C(postgresql), beside the options of methods that create replicas."""

STANDBY_CLUSTER = {
    "archive_cleanup_command": TEXT,
    "create_replica_methods": LIST,
    "host": TEXT,
    "port": PORT,
    "primary_slot_name": TEXT,
    "recovery_min_apply_delay": TEXT,
    "restore_command": TEXT,
}
"""What Patroni reads below C(standby_cluster)."""

CALLBACKS = dict.fromkeys(("on_reload", "on_restart", "on_role_change", "on_start", "on_stop"), TEXT)

OF_HOSTS = {
    **dict.fromkeys(("authentication", "pgpass", "use_unix_socket", "use_unix_socket_repl"), "remove it"),
    "bin_dir": "set patroni_bin_directory",
    "config_dir": "remove it",
    "connect_address": "set ansible_host or ha_address of the host",
    "data_dir": "set patroni_data_directory",
    "listen": "set ansible_host or ha_address of the host",
    "pg_hba": "add the lines to patroni_hba_rules",
    "pg_ident": "remove it; the role writes pg_ident.conf",
    "proxy_address": "remove it",
}
"""Keys of C(postgresql) that Patroni ignores: they belong to a host's own configuration, or are never allowed."""


def faults(configuration: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what Patroni would ignore or misread. A null removes a key, which few places forbid."""
    postgresql = _mapping(configuration.get("postgresql"))
    yield from _emptied(configuration, postgresql)
    methods = {method for _path, method in replica_methods(configuration)} - POSTGRESQL.keys()
    yield from _section("", configuration, CLUSTER)
    yield from _section("postgresql.", postgresql, {**POSTGRESQL, **dict.fromkeys(methods, MAPPING)})
    yield from _section("postgresql.callbacks.", _mapping(postgresql.get("callbacks")), CALLBACKS)
    yield from _section("standby_cluster.", _mapping(configuration.get("standby_cluster")), STANDBY_CLUSTER)
    for name, slot in _mapping(configuration.get("slots")).items():
        yield from _slot(str(name), slot)


def _emptied(configuration: Mapping[str, Any], postgresql: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield nulls that remove what a cluster needs; a key whose lines are all comments is one."""
    if configuration.get("synchronous_mode", True) is None:
        what = "is null, after which replication is asynchronous"
        yield Fault("synchronous_mode", None, what, "write false, if that is meant, or remove the line")
    for path, values, key in (
        ("postgresql", configuration, "postgresql"),
        ("postgresql.parameters", postgresql, "parameters"),
    ):
        if values.get(key, {}) is None:
            what = "is null, which removes what the role declares there, such as archive_mode"
            yield Fault(path, None, what, "remove the line, or set single keys to null")


def _section(prefix: str, values: Mapping[str, Any], known: Mapping[str, Kind]) -> Iterator[Fault]:
    for key, value in values.items():
        path = f"{prefix}{key}"
        if prefix == "postgresql." and key in OF_HOSTS:
            yield Fault(path, None, "is ignored by Patroni", OF_HOSTS[key])
        elif key not in known:
            is_method = prefix == "postgresql." and "command" in _mapping(value)
            fix = "name it in create_replica_methods, or remove it" if is_method else suggestion(str(key), known)
            yield Fault(path, None, "is ignored by Patroni", fix)
        elif is_known(value) and not known[key].fits(value):
            yield Fault(path, value, f"is not {known[key].name}", f"write {known[key].name}")


def _slot(name: str, slot: Any) -> Iterator[Fault]:
    path = f"slots.{name}"
    if slot is not None and not SLOT.fullmatch(name):
        fix = "use small letters, digits and _, at most 63"
        yield Fault(path, None, "is no name of a replication slot; Patroni makes none of it", fix)
    if not is_known(slot) or not slot:
        return
    if not isinstance(slot, Mapping):
        yield Fault(path, slot, "is not a mapping", "write {type: physical}")
        return
    kind = slot.get("type")
    if is_known(kind) and kind not in ("physical", "logical"):
        yield Fault(f"{path}.type", kind, "is no type of a slot", "write physical or logical")
    if kind == "logical" and not (slot.get("database") and slot.get("plugin")):
        yield Fault(path, None, "is logical without a database and a plugin; Patroni makes none of it", "name both")


def replica_methods(configuration: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the methods for creating replicas, each after its path."""
    for section in ("postgresql", "standby_cluster"):
        for key in ("create_replica_methods", "create_replica_method"):
            methods = _mapping(configuration.get(section)).get(key)
            for method in methods if isinstance(methods, list) else ():
                yield f"{section}.{key}", str(method)


def undefined_methods(configuration: Mapping[str, Any], is_program: Callable[[str], bool]) -> Iterator[Fault]:
    """Yield the methods that can't create a replica: Patroni runs one without a command of its own as a program."""
    defined = {"basebackup", *_mapping(configuration.get("postgresql"))}
    for path, method in replica_methods(configuration):
        if method not in defined and not is_program(method):
            fix = f"add {VARIABLE}.postgresql.{method}.command, or take it out"
            yield Fault(path, method, "is neither basebackup nor a declared method nor a program of this host", fix)


def quorum_fault(mode: Any, version: str) -> tuple[str, str] | None:
    """Return why a mode is asynchronous with a version of Patroni although it asks for a quorum, and the fix."""
    numbers = tuple(map(int, re.findall(r"\d+", version)[:2]))
    if str(mode).lower() != "quorum" or not numbers or numbers >= QUORUM_SINCE:
        return None
    why = f"is for Patroni 4.0; {version} would take it for off, and a failover would lose acknowledged transactions"
    return why, "set patroni_synchronous_mode to auto, which is right for every version"


def is_known(value: Any) -> bool:
    """Whether a value can be looked at: not a null, and neither vaulted nor a template."""
    return isinstance(value, (Mapping, list, str, int, float))


def suggestion(word: str, known: Collection[str]) -> str:
    """Return the known word that is most like another one."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean {near[0]!r}" if near else f"use one of {', '.join(sorted(known))}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
