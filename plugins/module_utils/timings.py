# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The timings in the files that a host's services run with: HAProxy, keepalived, lease watcher, etcd, Patroni's unit.

Parsed on the host, because two of the files hold secrets: only numbers leave it. All times are in seconds. For Patroni,
also whether it runs with the present files, because nothing restarts it when they change, and with its amendments. For
the kernel's settings, also whether they are those of their file.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import kernel_settings
from ansible_collections.holdfast.ha.plugins.module_utils.haproxy import CHECKS

Timings = dict[str, Any]

HAPROXY = "/etc/haproxy/haproxy.cfg"
KEEPALIVED = "/etc/keepalived/keepalived.conf"
LEASE_WATCHER = "/etc/holdfast/lease-watcher.json"
LEASE_WATCHER_UNIT = "holdfast-lease-watcher.service"
ETCD = "/etc/default/etcd"
PATRONI = "/etc/systemd/system/patroni.service.d/holdfast.conf"
AMENDED = "/usr/local/lib/holdfast/patroni"
RECORD = "/run/postgresql/patroni-amended"
"""Where AMENDED, as the user postgres, writes its process id if it has amended Patroni."""
LONGEST = 20
"""Bytes of a process id, at most."""
PATRONI_UNIT = "patroni.service"

UNITS = {"us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
"""Seconds; HAProxy writes m and PostgreSQL min."""
COUNTS = ("fall", "rise")
INTERVALS = ("inter", "fastinter", "downinter")
CHECKED = {"inter": 2.0, "fall": 3, "rise": 2}
"""HAProxy's own defaults."""
SECTIONS = ("global", "defaults", "frontend", "backend", "listen", "userlist", "peers", "resolvers")


def seconds(text: str) -> float:
    """Return a time of HAProxy's, 500ms, 2s or a number of milliseconds, in seconds; ValueError when it is none."""
    found = re.fullmatch(r"(\d+)(us|ms|s|m|h|d|)", text)
    if not found:
        raise ValueError(f"{text!r} is no time of HAProxy's")
    return int(found[1]) * UNITS[found[2]]


def parse_haproxy(text: str) -> Timings:
    """Return {backend: {inter, fastinter, downinter, fall, rise, timeout_check, timeout_connect}} of a configuration.

    A backend's servers are merged into one: of each setting the largest. The timeouts are None where there is none. A
    backend that only checks for another is left out; its checks count for the other.
    """
    defaults: Timings = {}
    backends: dict[str, Timings] = {}
    current: Timings = {}
    servers: dict[str, list[Timings]] = {}
    name = ""
    for words in meaningful(text):
        if words[0] in SECTIONS:
            name = words[1] if words[0] in ("backend", "listen") else ""
            current = defaults if words[0] == "defaults" else {}
            if name:
                current = backends[name] = dict(defaults)
        elif words[0] == "timeout" and words[1] in ("check", "connect"):
            current[f"timeout_{words[1]}"] = seconds(words[2])
        elif words[0] == "default-server":
            current.update(check_options(words))
        elif words[0] == "server" and name:
            servers.setdefault(name, []).append({**current, **check_options(words)})
    told = {name: slowest([complete(server) for server in servers.get(name, [own])]) for name, own in backends.items()}
    elsewhere = {name: told.pop(name + CHECKS) for name in backends if name + CHECKS in told}
    limits = {name: {"timeout_connect": told[name]["timeout_connect"]} for name in elsewhere}
    return {name: {**own, **elsewhere.get(name, {}), **limits.get(name, {})} for name, own in told.items()}


def meaningful(text: str) -> Iterator[list[str]]:
    """Yield the words of each line that is neither empty nor a comment."""
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if words:
            yield words


def check_options(words: list[str]) -> Timings:
    """Return the check's settings among a server line's words."""
    found: Timings = {}
    for name, value in pairwise(words):
        if name in COUNTS:
            found[name] = int(value)
        elif name in INTERVALS:
            found[name] = seconds(value)
    return found


def complete(given: Timings) -> Timings:
    """Return a server's settings with HAProxy's defaults."""
    inter = given.get("inter", CHECKED["inter"])
    rest = {"fastinter": inter, "downinter": inter, "timeout_check": None, "timeout_connect": None}
    return {**CHECKED, **rest, **given}


def slowest(timings: Sequence[Mapping[str, Any]]) -> Timings:
    """Return the largest value of each setting, None where all are None."""
    return {name: max((one[name] for one in timings if one[name] is not None), default=None) for name in timings[0]}


def parse_keepalived(text: str) -> Timings:
    """Return {instances: {name: {advert_int, priority}}, scripts: {name: {interval, timeout, fall}}}."""
    instances: dict[str, Timings] = {}
    scripts: dict[str, Timings] = {}
    depth, block = 0, {}
    for words in meaningful(text):
        if depth == 0 and words[0] == "vrrp_instance":
            block = instances[words[1]] = {"advert_int": 1.0, "priority": 100}
        elif depth == 0 and words[0] == "vrrp_script":
            block = scripts[words[1]] = {"interval": 1.0, "timeout": 0.0, "fall": 1}
        elif depth == 0:
            block = {}
        elif depth == 1 and words[0] in block and len(words) > 1:
            block[words[0]] = type(block[words[0]])(words[1])
        depth += ("{" in words[-1]) - (words[0] == "}")
    for script in scripts.values():
        script["timeout"] = script["timeout"] or script["interval"]
    return {"instances": instances, "scripts": scripts}


def parse_lease_watcher(text: str) -> Timings:
    """Return {seconds, interval, fencing_after}, fencing_after None where nothing fences."""
    rules = json.loads(text)["rules"]
    return {name: rules[name] for name in ("seconds", "interval", "fencing_after")}


def parse_etcd(text: str) -> Timings:
    """Return {heartbeat_interval, election_timeout} of an environment file."""
    given = dict(line.split("=", 1) for line in text.splitlines() if re.match(r"\w+=", line))
    return {
        "heartbeat_interval": int(given.get("ETCD_HEARTBEAT_INTERVAL", 100)) / 1000,
        "election_timeout": int(given.get("ETCD_ELECTION_TIMEOUT", 1000)) / 1000,
    }


def parse_patroni(text: str) -> Timings:
    """Return {amended, unchanged} of Patroni's drop-in: whether it is to run with its amendments, and False."""
    return {"amended": re.search(rf"^ExecStart={AMENDED} ", text, re.MULTILINE) is not None, "unchanged": False}


PARSERS: Mapping[str, tuple[str, Callable[[str], Timings]]] = {
    "haproxy": (HAPROXY, parse_haproxy),
    "keepalived": (KEEPALIVED, parse_keepalived),
    "lease_watcher": (LEASE_WATCHER, parse_lease_watcher),
    "etcd": (ETCD, parse_etcd),
    "patroni": (PATRONI, parse_patroni),
    "connections": (kernel_settings.PATH, kernel_settings.parse),
}


def read(runs: Callable[[str], bool], root: str = "/") -> Timings:
    """Return {part: its timings} of this host, None for a part that it does not run; ValueError for a broken file.

    runs: whether a unit runs; a lease watcher that does not counts as none.
    """
    found = {part: read_part(Path(root, path.lstrip("/")), parse) for part, (path, parse) in PARSERS.items()}
    if found["lease_watcher"] and not runs(LEASE_WATCHER_UNIT):
        found["lease_watcher"] = None
    if found["patroni"] and runs(PATRONI_UNIT):
        amended = is_amended(root)
        found["patroni"] = {"amended": amended, "unchanged": found["patroni"]["amended"] and not amended}
    if kept := found["connections"]:
        live = kernel_settings.live(kept, root)
        found["connections"] = {name: {"kept": value, "live": live.get(name)} for name, value in kept.items()}
    return found


def is_amended(root: str = "/") -> bool:
    """Return whether the Patroni that runs was amended at its start.

    The user postgres could say so of another process than Patroni. Then the status is wrong, and a changed authority is
    not read at a reload; holdfast.ha.certificate_probe finds that.
    """
    process = read_number(Path(root, RECORD.lstrip("/")))
    with suppress(OSError):
        return AMENDED.encode() in Path(root, "proc", str(process), "cmdline").read_bytes().split(b"\0")
    return False


def read_number(path: Path) -> int | None:
    """Return the number in a file that another user may have put there, None for anything else."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(LONGEST).strip() if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
            return int(text) if text.isdigit() else None
    return None


def restart_due(started_at: float, root: str = "/") -> bool:
    """Return whether a Patroni that was started then (epoch seconds) runs with outdated files."""
    drop_in, start = (Path(root, path.lstrip("/")) for path in (PATRONI, AMENDED))
    return any(file.stat().st_mtime > started_at for file in [drop_in, *script_files(start)] if file.exists())


def script_files(script: Path) -> list[Path]:
    """Return a script, and the modules of the Python packages beside it that it imports."""
    try:
        text = script.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    names = re.findall(r"^\s*(?:from|import) (\w+)", text, re.MULTILINE) if text.startswith("#!") else []
    return [script, *(file for name in sorted(set(names)) for file in sorted(script.with_name(name).glob("*.py")))]


def read_part(path: Path, parse: Callable[[str], Timings]) -> Timings | None:
    """Return the timings in a file, None where there is none; ValueError names a file that can't be understood."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
