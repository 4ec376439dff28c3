# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which packages of a host would be upgraded, from what dpkg and apt print in the locale C. Nothing here does I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ansible_collections.holdfast.ha.plugins.module_utils.packages import INSTALLED
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_version import of_installed

STACK, SYSTEM, SECURITY = "stack", "system", "security"
SCOPES = (STACK, SYSTEM, SECURITY)
HOLD = "hold"
_FIELDS = ("Package", "Architecture", "db:Status-Want", "db:Status-Status", "Version", "source:Package", "Depends")
QUERY = ("dpkg-query", "--show", "--showformat=" + "\\t".join(f"${{{name}}}" for name in _FIELDS) + "\\n")
DPKG_STATUS = "/var/lib/dpkg/status"
DEFAULT_PRIORITY = 500
"""What apt gives a release that is neither pinned nor, as backports, to be asked for."""

_INST = re.compile(r"Inst (\S+) (?:\[(\S+)\] )?\((\S+) (.*?) ?\[\S+\]\)")
_REMV = re.compile(r"(?:Remv|Purg) (\S+)")
_VERSION = re.compile(r"(?: \*\*\* | {5})(\S+) (-?\d+)")
_SOURCE = re.compile(r" {5,}(-?\d+) (.+)")
_FILE = re.compile(r" *-?\d+ (.+)")


class RefusedError(Exception):
    """A version that was asked for can't be installed; the message names it and the fix."""


@dataclass(frozen=True)
class Package:
    """An installed package. ``depends``: the names it depends on, all alternatives among them."""

    name: str
    version: str
    source: str
    architecture: str = "all"
    depends: tuple[str, ...] = ()
    held: bool = False


@dataclass(frozen=True)
class Offer:
    """A version that apt knows, its priority, and the package files that have it, with their priorities."""

    version: str
    priority: int
    files: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """What apt knows of a package: versions, "" for none, and all offers, the newest first."""

    installed: str = ""
    candidate: str = ""
    offers: tuple[Offer, ...] = ()

    @property
    def newer(self) -> tuple[Offer, ...]:
        """The offers above the installed version."""
        return self.offers[: self._rank(self.installed)]

    @property
    def available(self) -> list[str]:
        """The versions that can be fetched, and the installed one; the newest first."""
        return [offer.version for offer in self.offers if offer.version == self.installed or _fetched(offer)]

    def is_newer(self, version: str) -> bool:
        """Whether an offered version is newer than the installed one."""
        return version in [offer.version for offer in self.newer]

    def up_to(self, version: str) -> tuple[Offer, ...]:
        """The offers above the installed version that are not newer than another one."""
        return self.newer[self._rank(version) :]

    def _rank(self, version: str) -> int:
        return next((at for at, offer in enumerate(self.offers) if offer.version == version), len(self.offers))


def _fetched(offer: Offer) -> bool:
    return any(name != DPKG_STATUS for name in offer.files)


@dataclass(frozen=True)
class Step:
    """What apt would do with a package: versions before ("" when it is new) and after, and where the latter is from."""

    name: str
    installed: str
    candidate: str
    origins: str = ""


@dataclass(frozen=True)
class Simulation:
    """What apt would do, and the packages that it would remove."""

    steps: tuple[Step, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def versions(self) -> dict[str, str]:
        """The new versions of the packages that are installed already."""
        return {step.name: step.candidate for step in self.steps if step.installed}


@dataclass(frozen=True)
class Upgrade:
    """A package, its versions before ("" when it is new) and after, and whether it has a fix from a security suite."""

    name: str
    installed: str
    candidate: str
    security: bool


@dataclass(frozen=True)
class Known:
    """What apt and dpkg know of a host: ``policies`` of the packages that are installed, ``security``: the package
    files of security suites, ``upgrade``: the upgrade of all packages."""

    packages: Mapping[str, Package]
    policies: Mapping[str, Policy] = field(default_factory=dict)
    security: frozenset[str] = frozenset()
    upgrade: Simulation = Simulation()


def parse_installed(listing: str) -> dict[str, Package]:
    """Packages by the names that apt prints, from the lines of QUERY; those of other architectures end in theirs."""
    rows = [line.split("\t") for line in listing.splitlines()]
    found = [
        Package(name, version, source, architecture, depends_on(depends), want == HOLD)
        for name, architecture, want, status, version, source, depends in rows
        if status == INSTALLED
    ]
    native = {"all", *(package.architecture for package in found if package.name == "dpkg")}
    return {
        package.name if package.architecture in native else f"{package.name}:{package.architecture}": package
        for package in found
    }


def depends_on(field_text: str) -> tuple[str, ...]:
    """The names in a field such as `libc6 (>= 2.38), python3:any, a | b`."""
    parts = (part.strip() for part in re.split(r"[,|]", field_text))
    return tuple(re.split(r"[ (:]", part, maxsplit=1)[0] for part in parts if part)


def parse_policies(printed: str) -> dict[str, Policy]:
    """Policies by package, from `apt-cache policy NAME…`."""
    found: dict[str, Policy] = {}
    for block in re.split(r"\n(?=\S)", printed):
        head, _newline, body = block.partition("\n")
        if head.endswith(":"):
            found[head[:-1]] = _policy(body.splitlines())
    return found


def _policy(lines: list[str]) -> Policy:
    heads = {"Installed": "", "Candidate": ""}
    offers: list[Offer] = []
    for line in lines:
        name, _colon, value = line.strip().partition(": ")
        version, source = _VERSION.match(line), _SOURCE.match(line)
        if name in heads:
            heads[name] = "" if value == "(none)" else value
        elif version:
            offers.append(Offer(version[1], int(version[2])))
        elif source and offers:
            last = offers[-1]
            offers[-1] = Offer(last.version, last.priority, {**last.files, source[2]: int(source[1])})
    return Policy(heads["Installed"], heads["Candidate"], tuple(offers))


def parse_security_files(printed: str) -> frozenset[str]:
    """The package files of security suites, as policies name them, from `apt-cache policy` without a name."""
    found: set[str] = set()
    name = ""
    for line in printed.splitlines():
        words = line.strip()
        if words.startswith("release "):
            facts = dict(part.split("=", 1) for part in words.removeprefix("release ").split(",") if "=" in part)
            if is_security(facts.get("l", ""), facts.get("a", ""), facts.get("n", "")):
                found.add(name)
        elif file := _FILE.fullmatch(line):
            name = file[1]
    return frozenset(found)


def is_security(label: str, *suites: str) -> bool:
    """Whether a release is a security one, by its label, or the names of its suite."""
    return any(name.lower().endswith("-security") for name in (label, *suites))


def parse_simulation(printed: str) -> Simulation:
    """What `apt-get --simulate` printed."""
    steps = (_INST.match(line) for line in printed.splitlines())
    removed = (_REMV.match(line) for line in printed.splitlines())
    return Simulation(
        tuple(Step(step[1], step[2] or "", step[3], step[4]) for step in steps if step),
        tuple(line[1] for line in removed if line),
    )


def stack(packages: Mapping[str, Package], names: Collection[str], is_empty: Callable[[Package], bool]) -> set[str]:
    """The installed packages of the sources of these packages.

    A package that only brings others, such as postgresql, counts with those that it names after itself.

    is_empty: whether a package has no files of its own.
    """
    own = [packages[name] for name in of_installed(names, packages) if name in packages]
    brought = [
        packages[name]
        for package in own
        if is_empty(package)
        for name in package.depends
        if name.startswith(f"{package.name}-") and name in packages
    ]
    sources = {package.source for package in (*own, *brought)}
    return {name for name, package in packages.items() if package.source in sources}


def wanted(known: Known, scope: str, names: Collection[str], versions: Mapping[str, str]) -> dict[str, str]:
    """The versions to ask apt for.

    names: the stack's packages. versions: exact ones of packages, wherever they belong; of those not installed, none.
    """
    moving = {name: version for name, version in known.upgrade.versions.items() if _rises(known, name, version)}
    if scope == SECURITY:
        moving = {name: fix for name, version in moving.items() if (fix := _fix(known, name, version))}
    elif scope == STACK:
        moving = {name: version for name, version in moving.items() if name in names}
    moving |= {name: version for name, version in versions.items() if name in known.packages}
    return {name: moving[name] for name in sorted(moving) if known.packages[name].version != moving[name]}


def _rises(known: Known, name: str, version: str) -> bool:
    """Whether a version is newer than the installed one; a pin may make apt prefer an older one."""
    return name in known.packages and known.policies.get(name, Policy()).is_newer(version)


def _fix(known: Known, name: str, version: str) -> str:
    """The newest of the versions that a security suite has, above the installed one and up to another; "" without
    one."""
    offers = known.policies.get(name, Policy()).up_to(version)
    return next((offer.version for offer in offers if offer.priority > 0 and known.security & offer.files.keys()), "")


def held(known: Known) -> list[str]:
    """The packages that stay although a newer version is there: on hold, pinned, or others would have to go."""
    return sorted(name for name in known.packages if _stays(known, name))


def _stays(known: Known, name: str) -> bool:
    policy = known.policies.get(name, Policy())
    if policy.is_newer(policy.candidate):
        return name not in known.upgrade.versions
    return any(max(offer.files.values(), default=0) >= DEFAULT_PRIORITY for offer in policy.newer)


def unavailable(known: Known, versions: Mapping[str, str], downgrade: bool) -> list[str]:
    """Why versions can't be installed, one text for each."""
    told = (_obstacle(known, name, versions[name], downgrade) for name in sorted(versions) if name in known.packages)
    return [text for text in told if text]


def _obstacle(known: Known, name: str, version: str, downgrade: bool) -> str:
    package, policy = known.packages[name], known.policies.get(name, Policy())
    if version == package.version:
        return ""
    if version not in policy.available:
        there = ", ".join(policy.available) or "none"
        return f"versions: {name} {version} is not available here; there is {there}: choose one of them, or refresh"
    if package.held:
        return f"versions: {name} is on hold, and stays {package.version}; apt-mark unhold {name}, or leave it out"
    if not policy.is_newer(version) and not downgrade:
        return (
            f"versions: {name} {version} is older than the installed {package.version}; "
            "leave it out, or set allow_downgrade to true"
        )
    return ""


def upgrades(known: Known, simulated: Simulation, versions: Mapping[str, str]) -> list[Upgrade]:
    """What a simulated transaction does; raises RefusedError if it removes a package, or takes one to an older version
    that *versions* does not name."""
    if simulated.removed:
        raise RefusedError(f"the upgrade would remove {', '.join(simulated.removed)}; do this with apt yourself")
    falling = [step.name for step in simulated.steps if _falls(known, step) and step.name not in versions]
    if falling:
        raise RefusedError(f"the upgrade would downgrade {', '.join(falling)}; name their versions in versions")
    steps = sorted(simulated.steps, key=lambda step: step.name)
    return [Upgrade(step.name, step.installed, step.candidate, _has_fix(known, step)) for step in steps]


def _falls(known: Known, step: Step) -> bool:
    return step.name in known.packages and not known.policies.get(step.name, Policy()).is_newer(step.candidate)


def _has_fix(known: Known, step: Step) -> bool:
    policy = known.policies.get(step.name)
    if policy is None or not step.installed:
        return any(is_security(*re.split(r"[:/]", origin)) for origin in step.origins.split(", "))
    return any(known.security & offer.files.keys() for offer in policy.up_to(step.candidate))


def asked(versions: Mapping[str, str]) -> list[str]:
    """apt's words for exact versions."""
    return [f"{name}={version}" for name, version in versions.items()]


def unknown(known: Known, versions: Iterable[str]) -> list[str]:
    """Those of the names that are not installed."""
    return sorted(set(versions) - known.packages.keys())
