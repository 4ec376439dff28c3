# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a host's dpkg and apt, and has them upgrade packages."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import apt_plan
from ansible_collections.holdfast.ha.plugins.module_utils.apt_plan import Known, Package, Simulation, Upgrade
from ansible_collections.holdfast.ha.plugins.module_utils.packages import QUERY as STATES
from ansible_collections.holdfast.ha.plugins.module_utils.packages import judge

Run = Callable[[Sequence[str]], tuple[int, str, str]]

LOCALE = {"LC_ALL": "C", "LANGUAGE": "C"}
QUIET = {
    "DEBIAN_FRONTEND": "noninteractive",
    "APT_LISTCHANGES_FRONTEND": "none",
    "NEEDRESTART_SUSPEND": "1",
}
CONSERVATIVE = (
    "--quiet",
    "--no-install-recommends",
    "--no-install-suggests",
    *("-o", "APT::Get::AutomaticRemove=false"),
)
KEEP_CONFFILES = ("-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Use-Pty=0")
COMPLETE = ("dpkg", "--configure", "--pending", "--force-confold")
LOCKED = ("lock was locked by", "Could not get lock", "Unable to lock", "Unable to acquire")
SPEC: dict[str, Any] = {
    "names": {"type": "list", "elements": "str", "default": []},
    "versions": {"type": "dict", "default": {}},
    "allow_downgrade": {"type": "bool", "default": False},
    "lock_timeout": {"type": "int", "default": 60},
}
"""The options of the documentation fragment holdfast.ha.upgrade."""
POLL_SECONDS = 0.2
LAST_LINES = 15


class AptError(Exception):
    """A program failed; the message has its last words."""


@dataclass(frozen=True)
class Apt:
    """The apt of a host. ``lock_timeout``: how long to wait for others, in seconds."""

    run: Run
    lock_timeout: float = 60
    root: Path = Path("/")
    _simulated: dict[tuple[str, ...], Simulation] = field(default_factory=dict)

    @property
    def _options(self) -> tuple[str, ...]:
        return ("-o", f"DPkg::Lock::Timeout={self.lock_timeout:.0f}", *CONSERVATIVE)

    def refresh(self) -> None:
        """Fetch the package lists; unlike apt-get alone, fail when one can't be fetched."""
        command = ["apt-get", "update", "--quiet", "--error-on=any"]
        deadline = time.monotonic() + self.lock_timeout
        while True:
            rc, out, err = self.run(command)
            if not rc:
                return
            if not any(words in err for words in LOCKED) or time.monotonic() > deadline:
                raise AptError(_told(command, rc, out + err))
            time.sleep(POLL_SECONDS)

    def look(self) -> Known:
        """Read what is installed, and what apt has for it."""
        packages = self.installed()
        policies = apt_plan.parse_policies(self._read("apt-cache", "policy", *packages))
        files = apt_plan.parse_security_files(self._read("apt-cache", "policy"))
        moving = any(policy.candidate not in ("", policy.installed) for policy in policies.values())
        upgrade = self._simulate("--with-new-pkgs", "upgrade") if moving else Simulation()
        return Known(packages, policies, files, upgrade)

    def candidates(self, names: Collection[str]) -> dict[str, str]:
        """Return the versions that apt would install of packages, "" for none; an unknown package has no key."""
        policies = apt_plan.parse_policies(self._read("apt-cache", "policy", *names)) if names else {}
        return {name: policy.candidate for name, policy in policies.items()}

    def listed(self) -> set[str]:
        """Return the files of sources whose package lists are there."""
        told = self._read("apt-get", "indextargets", "--format", "$(SOURCESENTRY)", "Identifier: Packages")
        return {line.rpartition(":")[0] for line in told.splitlines()}

    def names(self, prefix: str) -> list[str]:
        """Return the names of the packages that apt knows, which begin with a prefix."""
        return self._read("apt-cache", "pkgnames", prefix).split()

    def installed(self) -> dict[str, Package]:
        """Return the installed packages by the names that apt prints."""
        return apt_plan.parse_installed(self._read(*apt_plan.QUERY))

    def stack(self, known: Known, names: Collection[str]) -> set[str]:
        """Return the installed packages that belong to these packages."""
        return apt_plan.stack(known.packages, names, self.is_empty)

    def is_empty(self, package: Package) -> bool:
        """Whether a package has nothing but documentation."""
        paths = list_file(self.root, package).read_text(encoding="utf-8").split()
        own = [path for path in paths if not path.startswith("/usr/share/doc/")]
        return all(path in ("/.", "/usr", "/usr/share", "/usr/share/doc") for path in own)

    def plans(
        self,
        known: Known,
        scopes: Collection[str],
        names: Collection[str],
        versions: Mapping[str, str],
        downgrade: bool,
    ) -> dict[str, list[Upgrade]]:
        """Return the plan of each scope; raises RefusedError for a version that can't be had, AptError.

        names: the stack's packages. versions: exact ones. downgrade: whether they may be older than the installed ones.
        """
        refused = apt_plan.unavailable(known, versions, downgrade)
        if refused:
            raise apt_plan.RefusedError("; ".join(refused))
        stack = self.stack(known, names)
        return {scope: self._plan(known, apt_plan.wanted(known, scope, stack, versions), versions) for scope in scopes}

    def _plan(self, known: Known, wanted: Mapping[str, str], versions: Mapping[str, str]) -> list[Upgrade]:
        if not wanted:
            return []
        if wanted == known.upgrade.versions:
            return apt_plan.upgrades(known, known.upgrade, versions)
        return apt_plan.upgrades(known, self._simulate(*_install(wanted, downgrade=True)), versions)

    def _simulate(self, *words: str) -> Simulation:
        if words not in self._simulated:
            self._simulated[words] = apt_plan.parse_simulation(
                self._read("apt-get", "--simulate", *self._options, *words)
            )
        return self._simulated[words]

    def _read(self, *command: str) -> str:
        rc, out, err = self.run(command)
        if rc:
            raise AptError(_told(command, rc, out + err))
        return out

    def is_interrupted(self) -> bool:
        """Whether an installation was interrupted, of whichever package."""
        return bool(self._broken()) or any((self.root / "var/lib/dpkg/updates").glob("[0-9]*"))

    def _broken(self) -> list[str]:
        return judge(self._read(*STATES), []).broken

    def complete(self, environment: Mapping[str, str]) -> None:
        """Complete an interrupted installation; raises AptError."""
        rc, printed = transact(COMPLETE, environment)
        broken = self._broken()
        if broken:
            # One that was unpacked by half must be fetched again.
            self._transact(("--fix-broken", "--only-upgrade", "--reinstall", "install", *broken), environment)
        elif rc:
            raise AptError(_told(COMPLETE, rc, printed))

    def apply(self, plan: Sequence[Upgrade], environment: Mapping[str, str], downgrade: bool) -> None:
        """Carry out a plan in one transaction; raises AptError."""
        self._transact(_install({step.name: step.candidate for step in plan if step.installed}, downgrade), environment)

    def _transact(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        command = ("apt-get", "--yes", "--no-remove", *self._options, *KEEP_CONFFILES, *words)
        rc, printed = transact(command, environment)
        if rc:
            raise AptError(_told(("apt-get", *words), rc, printed))

    def wait_for_others(self) -> None:
        """Wait until no other package manager works, such as the apt of a run that was killed; raises AptError."""
        deadline = time.monotonic() + self.lock_timeout
        path = self.root / "var/lib/dpkg/lock-frontend"
        with path.open("a", encoding="utf-8") as file:
            while not _locked(file.fileno()):
                if time.monotonic() > deadline:
                    raise AptError(
                        f"another package manager holds {path} for {self.lock_timeout:.0f} s; wait until it is done"
                    )
                time.sleep(POLL_SECONDS)


def _locked(descriptor: int) -> bool:
    """Whether dpkg's lock could be had; it is released with its file."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _install(versions: Mapping[str, str], downgrade: bool) -> tuple[str, ...]:
    """The words that install these versions; apt then leaves alone who asked for a package, the user or another one."""
    allowed = ("--allow-downgrades",) if downgrade else ()
    return ("--only-upgrade", *allowed, "install", *apt_plan.asked(versions))


def _told(command: Sequence[str], rc: int, printed: str) -> str:
    said = [line for line in printed.splitlines() if line.strip()]
    errors = [line for line in said if line.startswith(("E:", "Err:", "dpkg: error"))]
    return f"{' '.join(command[:4])} … exited with {rc}: {' | '.join((errors or said)[-LAST_LINES:])}"


def list_file(root: Path, package: Package) -> Path:
    """The file with a package's paths, which dpkg writes when it unpacks the package."""
    info = root / "var/lib/dpkg/info"
    qualified = info / f"{package.name}:{package.architecture}.list"
    return qualified if qualified.exists() else info / f"{package.name}.list"


def lists_age(root: Path, now: float) -> int | None:
    """How long ago the package lists were fetched, in seconds; None without any."""
    lists = root / "var/lib/apt/lists"
    if not any(lists.glob("*_Packages*")):
        return None
    # When nothing is new, only the directory for what is being fetched is touched.
    times = [path.stat().st_mtime for path in (lists, lists / "partial") if path.exists()]
    return max(0, int(now - max(times)))


def transact(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Run a program to its end, whatever happens to the connection; return its exit code and what it printed.

    Its output goes to a file, and it has a session of its own, so that it ends well even if this process is killed.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **LOCALE, **QUIET, **environment},
            start_new_session=True,
        )
        rc = process.wait()
        output.seek(0)
        return rc, output.read().decode(errors="replace")


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let no signal that can be held off end this process, such as a closed connection's."""
    signals = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
    # An ignored signal would stay ignored in the programs that run.
    before = {number: signal.signal(number, lambda *_: None) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
