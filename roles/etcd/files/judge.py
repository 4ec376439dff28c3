# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let the installed etcd check its settings: judge.py FILE GROUP, the environment file and the group of the TLS key.

Exits with 1, the setting and etcd's message on an error. etcd has no option for a check. With a data directory that it
can't create, it reads all settings, listens on a free port of the loopback interface, and ends.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

PROGRAM = "/usr/bin/etcd"
USER = "etcd"
SECONDS = 60
LISTENS = ("ETCD_LISTEN_PEER_URLS", "ETCD_LISTEN_CLIENT_URLS", "ETCD_LISTEN_METRICS_URLS")
CONFIG_FILE = "ETCD_CONFIG_FILE"
NOT_TRIED = (CONFIG_FILE, "ETCD_WAL_DIR", "ETCD_DISCOVERY", "ETCD_DISCOVERY_SRV", "ETCD_ENABLE_LOG_ROTATION")
"""Settings that refer to other settings, directories, hosts and logs."""
NO_FLAGS = frozenset({"ETCD_UNSUPPORTED_ARCH", "ETCD_VERIFY"})
"""Variables that etcd reads but does not list as settings."""

Settings = Mapping[str, str]
Trial = Callable[[Settings], str]


def settings_of(text: str) -> dict[str, str]:
    """Return the settings of an environment file as systemd reads them; ValueError for a quote without its end."""
    lines = (line.strip().partition("=") for line in text.splitlines())
    return {name: _value(value.strip()) for name, found, value in lines if found and not name.startswith(("#", ";"))}


def _value(text: str) -> str:
    return " ".join(shlex.split(text)) if set(text) & set("'\"\\") else text


def loopback(url: str) -> str:
    """Return a URL on a free port of the loopback interface, or unchanged if etcd would refuse it."""
    try:
        parts = urlsplit(url)
        listens = parts.hostname == "localhost" or bool(ipaddress.ip_address(parts.hostname or ""))
        listens = listens and parts.scheme in ("http", "https") and parts.port is not None and not parts.path
    except ValueError:
        listens = False
    if not listens and not url.startswith(("unix://", "unixs://")):
        return url
    return f"http{'s' if url.startswith(('https', 'unixs')) else ''}://127.0.0.1:0"


def tried(settings: Settings, directory: str) -> dict[str, str]:
    """Return the settings for a trial with its own data directory, addresses and log only."""
    kept = {name: value for name, value in settings.items() if name not in NOT_TRIED}
    here = {name: ",".join(map(loopback, kept[name].split(","))) for name in LISTENS if kept.get(name)}
    return {**kept, **here, "ETCD_DATA_DIR": directory, "ETCD_LOG_OUTPUTS": "stderr"}


def complaint(output: str, directory: str) -> str:
    """Return why etcd refused its settings, "" when it read them all."""
    unknown = re.findall(r'unrecognized environment variable(?:","environment-variable":"| )(ETCD_\w+)', output)
    names = sorted(set(unknown) - NO_FLAGS)
    if names:
        return f"this etcd does not know {', '.join(names)}"
    if f"mkdir {directory}/member: not a directory" in output:
        return ""
    said = [words for line in output.splitlines() if (words := _words(line))]
    return said[-1] if said else "etcd refuses its settings without a reason"


def _words(line: str) -> str:
    if line.startswith("{"):
        return str(json.loads(line).get("error", ""))
    start = r"(?:.* [EC] \| (?:etcdmain: error verifying flags, )?|panic: |runuser: )"
    found = re.match(start + r"(.*?)(?:\. See 'etcd --help'\.)?$", line)
    return found[1] if found else ""


def judge(settings: Settings, trial: Trial) -> str:
    """Return the problem and its setting, "" without one."""
    if settings.get(CONFIG_FILE):
        return f"{CONFIG_FILE}: with it, etcd ignores all other settings. Fix: remove it from etcd_settings"
    why = trial(settings)
    if not why:
        return ""
    named = [name for name in settings if name in why] or [
        name for name in settings if not trial({key: settings[key] for key in settings if key != name})
    ]
    which = "".join(f"{name}={settings[name]}: " for name in named)
    fix = f"correct {' or '.join(named)} in etcd_settings" if named else "correct etcd_settings"
    return f"{which}{why}. Fix: {fix}, or the role's variable for it"


def run(settings: Settings, group: str) -> str:
    """Return the error of the installed etcd, run as its own user."""
    with tempfile.TemporaryDirectory(prefix="holdfast-etcd-", dir="/run") as directory:
        (Path(directory) / "member").touch()
        shutil.chown(directory, USER)
        user = ["runuser", "-u", USER, "-g", USER, "-G", group, "--"]
        argv = [*user, "timeout", str(SECONDS), PROGRAM]
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **tried(settings, directory)}
        done = subprocess.run(
            argv, env=env, capture_output=True, text=True, check=False, cwd="/", stdin=subprocess.DEVNULL
        )
        return complaint(done.stdout + done.stderr, directory)


def main() -> None:
    """Judge the file."""
    path, group = sys.argv[1:]
    try:
        declared = settings_of(Path(path).read_text(encoding="utf-8"))
        refused = judge(declared, lambda settings: run(settings, group))
    except ValueError as error:
        refused = f"{error}. Fix: correct etcd_settings"
    if refused:
        sys.exit(refused)


if __name__ == "__main__":
    main()
