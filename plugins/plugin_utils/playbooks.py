# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The playbooks' options, and the hosts that remain under a limit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import module_options
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.node import suggestion
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import HIDDEN, OPAQUE, Problem
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.shapes import keys
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    FORMER_SECRETS,
    PACKAGE_ROLES,
    ROLES,
    SECRET_VARIABLES,
    packages_variable,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.document import LOADER
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.hosts import FOREIGN, HOST_VARIABLES
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.job_rules import VARIABLE as JOBS
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import RoleSpec, load_roles
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.schema import Cluster
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.variables import judge_option, refused, role_of

COLLECTION = Path(__file__).resolve().parents[2]

ANYWHERE = frozenset({*SECRET_VARIABLES, *FORMER_SECRETS.values(), FOREIGN})
"""Host variables that also count as extra variables."""

INVENTORY_ONLY = frozenset({*HOST_VARIABLES, JOBS, *map(packages_variable, PACKAGE_ROLES)}) - ANYWHERE
"""Variables that only the topology reads."""

MODEL = "ha"
"""The variable in which the topology gives a host all that it needs to know of its cluster."""

TOPOLOGY_KEYS = frozenset(name for name in keys(Cluster) if "_" in name)
"""Keys of a cluster that look like variables. Other words are too common."""

WORDS = "_raw_params"
"""The extra variable in which Ansible puts words of -e that are no NAME=value."""

FOREIGN_IN_INVENTORY: set[str] = set()
"""What the hosts declare as foreign. The topology notes it, because a play's C(hosts) see no host's variables."""

CLUSTER = "holdfast_cluster_"
ALL = "holdfast"
GIVE_TOPOLOGY = "give -i the folder that holds topology.ha.yml beside hosts.yml"

Options = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Interface:
    """The variables that a user can set: options by playbook, and the roles' variables.

    :arg for_roles: options that are also variables of a role.
    :arg internal: variables that the playbooks give to their own plays.
    """

    playbooks: Mapping[str, Options]
    roles: Mapping[str, RoleSpec]
    for_roles: frozenset[str] = frozenset()
    internal: frozenset[str] = frozenset()

    @cached_property
    def options(self) -> dict[str, Mapping[str, Any]]:
        """Every playbook's options."""
        return {name: option for options in self.playbooks.values() for name, option in options.items()}

    @cached_property
    def names(self) -> frozenset[str]:
        """Every known name."""
        of_roles = (name for role in self.roles.values() for name in role.options)
        return frozenset({*self.options, *HOST_VARIABLES, *of_roles})


@cache
def interface() -> Interface:
    """The variables that a user can set, read once in a run."""
    return load_interface(COLLECTION)


def load_interface(collection: Path) -> Interface:
    """Read C(meta/playbooks.yml), the playbooks' imports and the roles' argument specs of a collection."""
    declared = load_declared(collection)
    paths = {path.stem: path for path in sorted((collection / "playbooks").glob("*.yml"))}
    sources = {name: [*imports(path), *declared.get(name, {}).get("includes", ())] for name, path in paths.items()}
    of_roles = load_roles(collection, [role for entry in declared.values() for role in entry.get("roles", ())])
    own = {name: {**_settable(entry, of_roles), **entry["options"]} for name, entry in declared.items()}
    for_roles = frozenset(
        name for entry in declared.values() for name in _settable(entry, of_roles) if name not in entry["options"]
    )
    playbooks = {name: _with_sources(name, own, sources) for name in paths}
    wired = frozenset(name for spec in of_roles.values() for name in spec.wired)
    return Interface(playbooks, load_roles(collection, ROLES), for_roles, _internal(collection) | wired)


def _internal(collection: Path) -> frozenset[str]:
    """The variables of the playbooks' plays and imports, and of the files that these read."""
    folder = collection / "playbooks"
    of_plays = (name for path in folder.glob("*.yml") for play in _read(path) for name in play.get("vars", ()))
    return frozenset([*of_plays, *(name for path in folder.glob("vars/*.yml") for name in _read(path))])


def load_declared(collection: Path) -> dict[str, Any]:
    """The entries of C(meta/playbooks.yml), with options as complete as those of an argument spec."""
    entries = _read(collection / "meta" / "playbooks.yml")
    return {
        name: {**entry, "options": {option: _whole(value) for option, value in entry.get("options", {}).items()}}
        for name, entry in entries.items()
    }


def _whole(option: Mapping[str, Any]) -> dict[str, Any]:
    """An option, completed from a module's documentation."""
    module, _dot, name = option.get("from", "").partition(".")
    documented = {**module_options(module)[name], "required": False} if module else {}
    return {**documented, **{key: value for key, value in option.items() if key != "from"}}


def _settable(entry: Mapping[str, Any], roles: Mapping[str, RoleSpec]) -> dict[str, Mapping[str, Any]]:
    """The variables of the roles whose variables are options of a playbook."""
    specs = [roles[role] for role in entry.get("roles", ())]
    return {name: option for spec in specs for name, option in spec.options.items() if name not in spec.wired}


def _with_sources(name: str, own: Mapping[str, Options], sources: Mapping[str, list[str]]) -> Options:
    found = dict(own.get(name, {}))
    for source in sources.get(name, ()):
        found |= _with_sources(source, own, sources)
    return found


def imports(path: Path) -> list[str]:
    """The playbooks that a playbook imports."""
    plays = _read(path)
    return [Path(play["import_playbook"]).stem for play in plays if "import_playbook" in play]


def _read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)  # noqa: S506 - one of the two safe loaders


def running(arguments: Collection[str], collection: Path, name: str) -> list[str] | None:
    """The collection's playbooks among those that the user runs; None where one is the user's own.

    :arg arguments: paths, or names with the collection's name before them.
    :arg name: the collection's name.
    """
    found = []
    for argument in arguments:
        path = Path(argument).resolve()
        if argument.startswith(f"{name}."):
            found.append(argument.removeprefix(f"{name}."))
        elif path.parent == collection / "playbooks":
            found.append(path.stem)
        else:
            return None
    return found


@dataclass(frozen=True)
class _Scope:
    """What variables may be, where they stand.

    :arg taken: the options that count there.
    :arg own: the options among which a misspelt name is looked up first.
    :arg families: names whose first word makes every other name with it a misspelt one.
    """

    taken: Options
    own: Options
    families: Collection[str]


def extra_problems(
    extra: Mapping[str, Any], interface: Interface, run: list[str] | None, foreign: Collection[str]
) -> list[Problem]:
    """Why extra variables are refused.

    :arg run: the collection's playbooks that run; None for the user's own, which may import any.
    :arg foreign: patterns of names that are not the collection's.
    """
    if run is None:
        return _problems(extra, interface, _Scope(interface.options, {}, ()), foreign)
    taken = {name: option for playbook in run for name, option in interface.playbooks.get(playbook, {}).items()}
    return _problems(extra, interface, _Scope(taken, taken, {*interface.names, *taken}), foreign)


def play_problems(
    variables: Mapping[str, Any], interface: Interface, playbook: str, foreign: Collection[str]
) -> list[Problem]:
    """Why variables of a play are refused, such as those of C(import_playbook).

    Options of all playbooks are accepted, because what imports this one may import others, too. A name without an
    underscore is the user's own. Roles' variables are left out, because the roles' defaults are among them.
    """
    own = interface.playbooks.get(playbook, {})
    given = {name: value for name, value in variables.items() if _may_be_option(name, interface)}
    return _problems(given, interface, _Scope(interface.options, own, own), foreign)


def _may_be_option(name: str, interface: Interface) -> bool:
    is_internal = "__" in name or name in interface.internal
    return name == MODEL or name in interface.options or ("_" in name and not is_internal and not role_of(name))


def _problems(given: Mapping[str, Any], interface: Interface, scope: _Scope, foreign: Collection[str]) -> list[Problem]:
    """The problems of variables, except those of foreign ones; a known name is never foreign."""
    found: list[Problem] = []
    for name, value in given.items():
        if name in REFUSED:
            found.append(REFUSED[name](value))
        elif name in interface.names:
            found += [_never_foreign(problem, name, foreign) for problem in _judge(name, value, interface, scope)]
        elif not _is_foreign(name, foreign):
            found += _judge(name, value, interface, scope)
    return found


def _is_foreign(name: str, foreign: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in foreign)


def _never_foreign(problem: Problem, name: str, foreign: Collection[str]) -> Problem:
    """The problem of a known name, with a hint where the user declares that name as foreign."""
    hint = f"; the name is Holdfast's, so {FOREIGN} can't list it" if _is_foreign(name, foreign) else ""
    return replace(problem, fix=f"{problem.fix}{hint}")


def _words(value: Any) -> Problem:
    fix = """write NAME=true, or quote a value with blanks inside: -e "NAME='a b'", or write JSON"""
    return Problem("-e", value, "has words that are no NAME=value", fix)


def _model(_value: Any) -> Problem:
    return Problem(MODEL, HIDDEN, "is set by the topology plugin", "remove it")


REFUSED: Mapping[str, Callable[[Any], Problem]] = {WORDS: _words, MODEL: _model}
"""Names that no user sets."""


def _judge(name: str, value: Any, interface: Interface, scope: _Scope) -> Iterator[Problem] | list[Problem]:
    if name in scope.taken:
        return judge_option(name, value, scope.taken[name], name in interface.for_roles)
    if name in ANYWHERE or (name == JOBS and value == []):
        return []
    if name in interface.options:
        return [_elsewhere(name, interface)]
    if name in INVENTORY_ONLY:
        what = "is read from the inventory only, before extra variables count"
        return [Problem(name, HIDDEN, what, "set it in group_vars or host_vars")]
    if role_of(name):
        return refused({name: value}, interface.roles)
    return _unknown(name, {*interface.names, *scope.taken}, scope)


def _elsewhere(name: str, interface: Interface) -> Problem:
    readers = [f"{playbook}.yml" for playbook, options in interface.playbooks.items() if name in options]
    return Problem(name, HIDDEN, f"is an option of {', '.join(readers)}, not of what runs", "remove it")


def inventory_problems(variables: Mapping[str, Any], foreign: Collection[str]) -> Iterator[Problem]:
    """Why options are refused in a host's variables: misspelt, of the wrong type, or not for an inventory."""
    for name, value in variables.items():
        option = interface().options.get(name)
        if name == MODEL:
            yield _model(value)
        elif option is not None:
            problems = _inventory_option(name, value, option)
            yield from (_never_foreign(problem, name, foreign) for problem in problems)
        elif not _is_foreign(name, foreign):
            yield from _misspelt(name)


def _inventory_option(name: str, value: Any, option: Mapping[str, Any]) -> list[Problem]:
    if option.get("command_line") and value is not None:
        what = "is set in the inventory, but it is for a single run"
        return [Problem(name, HIDDEN, what, f"remove it there; give -e {name}=VALUE")]
    return judge_option(name, value, option, name in interface().for_roles)


@cache
def _misspelt(name: str) -> list[Problem]:
    """Why a name that is spelt almost like an option is refused; other names are the user's own."""
    known = name in interface().names or name in ANYWHERE or role_of(name)
    close = [] if known else _closest(name, tuple(interface().options), 0.9)
    return [Problem(name, OPAQUE, "is an unknown variable", _rename(name, close))] if close else []


@cache
def _closest(name: str, known: tuple[str, ...], cutoff: float = 0.85) -> list[str]:
    return get_close_matches(name, known, n=1, cutoff=cutoff)


def _rename(name: str, close: Collection[str]) -> str:
    return f"{suggestion(name, close)}; if it is not Holdfast's, add it to the list {FOREIGN}"


def value_of(name: str, given: Any, interface: Interface, *, is_shown: bool = True) -> Any:
    """A value of an option or a role's variable in its declared type; None is as good as no value.

    Raises ValueError, which has the value only if that is shown.
    """
    option = _declared(name, interface)
    if given is None:
        return None
    if problems := judge_option(name, given, option, name in interface.for_roles):
        hidden = [Problem(name, HIDDEN, "is not what the playbook takes", problem.fix) for problem in problems]
        raise ValueError("\n  ".join(map(str, problems if is_shown else hidden)))
    return ArgumentSpecValidator({name: option}).validate({name: given}).validated_parameters[name]


def default_of(name: str, interface: Interface) -> Any:
    """The default of an option or a role's variable, which may be a template. Raises ValueError."""
    option = _declared(name, interface)
    if name in interface.options:
        return option.get("default")
    return interface.roles[role_of(name) or ""].defaults.get(name)


def _declared(name: str, interface: Interface) -> Mapping[str, Any]:
    """The declaration of an option or a role's variable."""
    role = interface.roles.get(role_of(name) or "")
    option = interface.options.get(name) or (role.options.get(name) if role else None)
    if option is None:
        what, fix = "is no option of a playbook or a role", suggestion(name, interface.names)
        raise ValueError(str(Problem(name, HIDDEN, what, fix)))
    return option


def foreign_names(extra: Collection[str], interface: Interface, foreign: Collection[str]) -> list[str]:
    """Extra variables that the collection does not know and that are not declared as foreign."""
    known = interface.names | ANYWHERE
    others = (name for name in extra if name not in known and not role_of(name) and not name.startswith("ansible_"))
    return [name for name in others if not _is_foreign(name, foreign)]


def _unknown(name: str, known: Collection[str], scope: _Scope) -> Iterator[Problem]:
    """A misspelt name or a topology's key; a name that resembles none of the collection's is the user's own."""
    if name in TOPOLOGY_KEYS and scope.families:
        fix = f"write it in topology.ha.yml, as clusters.<name>.{name}"
        yield Problem(name, OPAQUE, "is a key of the topology, and no variable", fix)
        return
    families = {word.partition("_")[0] for word in scope.families}
    ending = [word for word in scope.own if word.endswith(f"_{name}")]
    close = _closest(name, tuple(scope.own)) or ending or _closest(name, tuple(known))
    if close or ("_" in name and name.partition("_")[0] in families):
        alike = close or _alike(name, scope.own) or _alike(name, known)
        yield Problem(name, OPAQUE, "is an unknown variable", _rename(name, alike))


def _alike(name: str, known: Collection[str]) -> list[str]:
    return [word for word in known if word.partition("_")[0] == name.partition("_")[0]]


@dataclass(frozen=True)
class Inventory:
    """Hosts by group, and the hosts that remain under the limit."""

    groups: Mapping[str, Collection[str]]
    kept: Collection[str]
    limit: str
    topologies: Collection[str] = ()
    """The topology files among the inventory's sources."""

    def members(self, group: str) -> list[str]:
        """The hosts of a group or of a host's name; colons separate several names."""
        every = {host: [host] for hosts in self.groups.values() for host in hosts}
        found = ({**every, **self.groups}.get(name, ()) for name in group.split(":"))
        return list(dict.fromkeys(host for hosts in found for host in hosts))

    @property
    def clusters(self) -> list[str]:
        """The clusters' names."""
        return sorted(name.removeprefix(CLUSTER) for name in self.groups if name.startswith(CLUSTER))


@dataclass(frozen=True)
class Wanted:
    """The target hosts of a play.

    :arg group: one group, or several separated by colons.
    :arg cluster: the extra variable that names the cluster, "" where the play targets all clusters.
    :arg chosen: that variable's value, None where it is not given.
    :arg host: the extra variable that names a single host, whose name C(group) then is.
    :arg whole: the play needs all of these hosts.
    """

    group: str
    cluster: str = ""
    chosen: str | None = None
    host: str = ""
    whole: bool = False


def target_problems(wanted: Wanted, inventory: Inventory) -> list[Problem]:
    """Why the play has no hosts, or lacks some of the hosts that it needs together."""
    if not inventory.groups.get(ALL):
        return _no_topology(inventory.topologies)
    if wanted.cluster and wanted.chosen not in inventory.clusters:
        value, is_wrong = (OPAQUE, "is missing") if wanted.chosen is None else (wanted.chosen, "is no cluster")
        what = f"{is_wrong}; this inventory has {', '.join(inventory.clusters)}"
        return [Problem(wanted.cluster, value, what, f"add -e {wanted.cluster}=NAME")]
    return _limit_problems(wanted, inventory)


def _no_topology(files: Collection[str]) -> list[Problem]:
    """The cause of an inventory without clusters: Ansible ignores a topology that lacks the key C(plugin)."""
    if not files:
        return [Problem("topology", HIDDEN, "no host has a cluster", GIVE_TOPOLOGY)]
    what, fix = "declares no cluster to Ansible", "begin it with the line 'plugin: holdfast.ha.topology'"
    return [Problem(file, HIDDEN, what, fix) for file in files]


def _limit_problems(wanted: Wanted, inventory: Inventory) -> list[Problem]:
    hosts = targets(wanted, inventory)
    left_out = [host for host in hosts if host not in inventory.kept]
    of_cluster = f" of the cluster {wanted.chosen}" if wanted.cluster else ""
    if not hosts and wanted.host:
        known = ", ".join(inventory.groups[f"{CLUSTER}{wanted.chosen}"])
        value = wanted.group or OPAQUE
        return [Problem(wanted.host, value, f"names no host{of_cluster}, which has {known}", "name one of them")]
    if not hosts:
        what = f"there is no host{of_cluster} in {wanted.group}"
        return [Problem("topology", HIDDEN, what, "ansible-inventory --graph shows the groups")]
    if left_out == hosts:
        what = f"leaves none of {', '.join(hosts)}, so there is nothing to do"
        return [Problem("--limit", inventory.limit, what, "leave it out, or name some of these")]
    if left_out and wanted.whole:
        what = f"leaves out {', '.join(left_out)}, and this is done{of_cluster} as a whole or not at all"
        return [Problem("--limit", inventory.limit, what, "leave it out")]
    return []


def targets(wanted: Wanted, inventory: Inventory) -> list[str]:
    """The target hosts of a play, without a limit."""
    hosts = inventory.members(wanted.group)
    if not wanted.cluster:
        return hosts
    return [host for host in hosts if host in inventory.groups.get(f"{CLUSTER}{wanted.chosen}", ())]
