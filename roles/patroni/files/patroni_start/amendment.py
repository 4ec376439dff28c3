# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How amendments are applied to the installed Patroni: all that are for its version, or none."""

from __future__ import annotations

import importlib
import inspect
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Versions:
    """Versions of Patroni from one on and before another."""

    since: tuple[int, ...]
    before: tuple[int, ...]

    def __contains__(self, version: str) -> bool:
        """Whether a version such as 4.0.7 or 4.1.0rc1 is one of them."""
        return not is_before(version, self.since) and is_before(version, self.before)

    def __str__(self) -> str:
        since, before = (".".join(map(str, parts)) for parts in (self.since, self.before))
        return f"{since} up to but not including {before}"


KNOWN = Versions((3, 0, 2), (4, 2))  # tests/acceptance/test_patroni_versions.py installs some of them


def is_before(version: str, wanted: tuple[int, ...]) -> bool:
    """Whether a version is an earlier one."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[: len(wanted)]) < wanted


@dataclass(frozen=True)
class Amendment:
    """A change of Patroni.

    Args:
        name: what it does; it is logged.
        targets: what it replaces or calls, as "module:attribute.attribute"; a function with "(a, b)" must have these
            parameters.
        replace: gets the targets' values in this order and returns the new values by target.
        versions: the versions of Patroni that it is for.
    """

    name: str
    targets: tuple[str, ...]
    replace: Callable[..., Mapping[str, Any]]
    versions: Versions = KNOWN


class AmendmentError(Exception):
    """A target of an amendment is missing or has other parameters."""


def owner_of(target: str) -> tuple[Any, str]:
    """Return the object that a target is an attribute of, and the attribute's name."""
    module, _colon, path = target.partition("(")[0].partition(":")
    *way, name = path.split(".")
    owner = importlib.import_module(module)
    for step in way:
        owner = getattr(owner, step)
    return owner, name


def look_up(target: str) -> Any:
    """Return a target's value; raise AttributeError, ImportError or AmendmentError."""
    found = getattr(*owner_of(target))
    wanted = re.findall(r"\w+", target.partition("(")[2])
    missing = [name for name in wanted if name not in inspect.signature(found).parameters]
    if missing:
        raise AmendmentError(f"has no parameter {', '.join(missing)}")
    return found


def prepare(amendment: Amendment) -> list[tuple[Any, str, Any]]:
    """Check an amendment's targets and return its changes as (object, attribute, new value); raise AmendmentError."""
    found = []
    for target in amendment.targets:
        try:
            found.append(look_up(target))
        except (AttributeError, ImportError, AmendmentError) as error:
            raise AmendmentError(f"{amendment.name}: {target}: {error}") from error
    return [(*owner_of(target), value) for target, value in amendment.replace(*found).items()]


def apply(amendments: Iterable[Amendment]) -> bool:
    """Apply the amendments for the installed Patroni and log each by name; return whether they are applied.

    All of them are checked before the first is applied. When one doesn't fit, or the version is unknown, Patroni stays
    unchanged: an unamended database is better than none.
    """
    try:
        version = importlib.import_module("patroni.version").__version__
        if version not in KNOWN:
            LOG.warning("Patroni %s is started unchanged: the amendments are for %s", version, KNOWN)
            return False
        importlib.import_module("patroni.api")  # Patroni's modules import each other; this one has to be the first
        chosen = [amendment for amendment in amendments if version in amendment.versions]
        changes = [change for amendment in chosen for change in prepare(amendment)]
    except Exception:
        LOG.exception("Patroni is started unchanged: an amendment doesn't fit it")
        return False
    for owner, name, value in changes:
        setattr(owner, name, value)
    for amendment in chosen:
        print(f"Patroni {version}, amended: {amendment.name}", flush=True)
    return True
