# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host needs, from its result of holdfast.ha.rolling_info."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_version import SERVER
from ansible_collections.holdfast.ha.plugins.plugin_utils.maintenance import STAYS
from ansible_collections.holdfast.ha.plugins.plugin_utils.rolling.model import (
    Options,
    Package,
    Scope,
    Survey,
    Unit,
    Work,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import COMPONENTS, packages_variable
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import role_defaults

COLLECTION = Path(__file__).resolve().parents[3]
SCOPES: tuple[Scope, ...] = get_args(Scope)
FAMILY = "postgresql-"
"""How the names of the server's packages begin, such as postgresql-17 and postgresql-client-17."""
ORDER = {component.name: number for number, component in enumerate(COMPONENTS)}
SERVICES = frozenset(component.units[0] for component in COMPONENTS if component.units)
"""The unit that runs a component. Its other units, such as Debian's own for PgBouncer, need not run."""


def parse_survey(result: Mapping[str, Any] | None, upgrade: Mapping[str, Any] | None = None) -> Survey:
    """Return a host's survey.

    :arg result: what holdfast.ha.rolling_info, or holdfast.ha.certificate in check mode, returned; None where it did
        not run.
    :arg upgrade: what holdfast.ha.packages_upgrade would do, by its check mode; its packages count in every scope.
    """
    failed = next((seen for seen in (result, upgrade) if seen and seen.get("failed")), None)
    if failed is not None or result is None or "units" not in result:
        return Survey(error=" ".join(str((failed or result or {}).get("msg") or "no answer").split()))
    reboot = result.get("reboot") or {}
    pinned = None if upgrade is None else tuple(parse_upgraded(item) for item in upgrade.get("upgraded") or ())
    units = [unit for unit in map(parse_unit, result["units"]) if unit.active or unit.name in SERVICES]
    return Survey(
        packages={
            scope: tuple(map(parse_package, result.get(scope) or ())) if pinned is None else pinned for scope in SCOPES
        },
        units=tuple(sorted(units, key=lambda unit: ORDER.get(unit.component, len(ORDER)))),
        reboot_required=bool(reboot.get("required")),
        reboot=tuple(reboot.get("reasons") or ()),
        up=reboot.get("up"),
        held=tuple(result.get("held") or ()),
        lists_age=result.get("lists_age"),
        files=parse_files(result),
    )


def parse_files(result: Mapping[str, Any]) -> dict[str, str]:
    """Return the files that holdfast.ha.certificate would replace, and why."""
    reasons = result.get("reasons") or {}
    return {path: "; ".join(reasons.get(path, ())) for path in (*(result.get("changed_paths") or ()), *reasons)}


def parse_package(item: Mapping[str, Any]) -> Package:
    """Return a package of holdfast.ha.rolling_info."""
    return Package(item["name"], str(item.get("installed") or ""), str(item["candidate"]))


def parse_upgraded(item: Mapping[str, Any]) -> Package:
    """Return a package of holdfast.ha.packages_upgrade."""
    return Package(item["name"], str(item.get("from") or ""), str(item["to"]))


def parse_unit(item: Mapping[str, Any]) -> Unit:
    """Return a unit of holdfast.ha.rolling_info."""
    why = (tuple(item.get(kind) or ()) for kind in ("reasons", "reloads"))
    return Unit(str(item["component"]), str(item["unit"]), bool(item["active"]), *why)


def work_of(options: Options, survey: Survey, components: Iterable[str], *, marked: bool = False) -> Work:
    """Return what a verb does on a host.

    An update also restarts what is due already: an interrupted one had perhaps installed its packages. A maintenance
    counts as if all of the host's components stopped, because the host may be switched off.

    :arg components: the host's.
    :arg marked: whether the host is in maintenance already.
    """
    if options.verb == "maintenance":
        stop = tuple(unit for unit in survey.units if unit.active and unit.component not in STAYS)
        return Work(touches=frozenset(components), stop=stop, leaves=not marked)
    if options.verb == "reboot":
        asked = options.force and (survey.up is None or survey.up >= options.recent)
        reboot = survey.reboot_required or asked
        reasons = survey.reboot or (("a reboot was asked for",) if reboot else ())
        return Work(reboot=reboot, touches=frozenset(components), reasons=reasons) if reboot else Work()
    if options.verb == "certificates":
        return certificates_work(survey)
    packages = survey.packages.get(options.scope, ()) if options.verb == "update" else ()
    forced = options.force and options.verb == "restart"
    changed = changed_components(packages)
    restart = tuple(
        unit for unit in survey.units if unit.reasons or unit.component in changed or (forced and unit.active)
    )
    sure = all(components_of(package.name) for package in packages)
    touches = frozenset(unit.component for unit in restart) if sure else frozenset(components)
    due = tuple(f"{unit.name}: {reason}" for unit in survey.units for reason in unit.reasons)
    return Work(packages, restart, False, touches, due)


def certificates_work(survey: Survey) -> Work:
    """Return the files that a host's certificates lack, and the services that have not read them; reloads stop none."""
    restart = tuple(unit for unit in survey.units if unit.reasons)
    return Work(
        files=tuple(survey.files),
        reload=tuple(unit for unit in survey.units if unit.reloads and not unit.reasons),
        restart=restart,
        touches=frozenset(unit.component for unit in restart),
        reasons=tuple(f"{path}: {why}" for path, why in survey.files.items() if why),
    )


def changed_components(packages: Iterable[Package]) -> frozenset[str]:
    """Return the components whose own packages are among these."""
    return frozenset(name for package in packages for name in components_of(package.name))


def components_of(package: str) -> frozenset[str]:
    """Return the component whose package this is; empty for a package of several ones, or of others."""
    found = own_packages().get(SERVER if f"{package}-".startswith(FAMILY) else package, frozenset())
    return found if len(found) == 1 else frozenset()


@cache
def own_packages() -> Mapping[str, frozenset[str]]:
    """Return the components of each package that a role installs."""
    found: dict[str, frozenset[str]] = {}
    for component in COMPONENTS:
        of_roles = [role_defaults(COLLECTION, role).get(packages_variable(role)) or () for role in component.roles]
        for package in (*component.packages, *itertools.chain(*of_roles)):
            found[package] = found.get(package, frozenset()) | {component.name}
    return found
