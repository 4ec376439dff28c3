# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The secrets of an inventory: which are required, and how missing ones are added to a file without other changes."""

from __future__ import annotations

import contextlib
import secrets
import string
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.secret_text import (
    LITERAL,
    TEMPLATED,
    is_expression,
    is_templated,
    secret_problems,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    FORMER_SECRETS,
    ROLE_PASSWORDS,
    SECRET_VARIABLES,
    SECRETS,
)

SECRETS_VARIABLE, ROLES_VARIABLE = SECRET_VARIABLES[0], ROLE_PASSWORDS
ALPHABET = string.ascii_letters + string.digits
LENGTH = 32
MINIMUM_LENGTH = {SECRETS_VARIABLE: 16, ROLES_VARIABLE: 8}
MINIMUM_LENGTH |= {FORMER_SECRETS[variable]: minimum for variable, minimum in MINIMUM_LENGTH.items()}
HEADER = "---\n# Made by playbooks/secrets.yml: it adds what is missing, and changes only what -e rotate names.\n"


class SecretsError(ValueError):
    """A secrets file that can't be completed; the message names the variable, never its value."""


class VaultedText(str):
    """A value that the user encrypted in place with `!vault`: kept unread."""

    __slots__ = ()


class TemplateText(str):
    """An untagged value that Ansible would render as a template."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """A safe YAML dumper that writes `!vault` values."""


def _represent(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Return the node of a text that Ansible would render only where it is a template."""
    return dumper.represent_scalar("!unsafe" if is_templated(text) else "tag:yaml.org,2002:str", text)


_Dumper.add_representer(VaultedText, lambda dumper, value: dumper.represent_scalar("!vault", str(value), style="|"))
_Dumper.add_representer(str, _represent)


class _Loader(yaml.SafeLoader):
    """A safe YAML loader that knows Ansible's tags, and distinguishes templates from other texts."""


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    text = str(loader.construct_scalar(node))
    return TemplateText(text) if is_templated(text) else text


_Loader.add_constructor("tag:yaml.org,2002:str", _text)  # type: ignore[arg-type]
_Loader.add_constructor("!unsafe", lambda loader, node: str(loader.construct_scalar(node)))  # type: ignore[arg-type]
for _tag in ("!vault", "!vault-encrypted"):
    _Loader.add_constructor(_tag, lambda loader, node: VaultedText(loader.construct_scalar(node)))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Plan:
    """The missing secrets of a file: values by variable and key (hidden from repr); and its present keys."""

    missing: Mapping[str, Mapping[str, str]] = field(repr=False)
    kept: Mapping[str, Iterable[str]] = field(default_factory=dict)

    @property
    def added(self) -> tuple[str, ...]:
        """The dotted names of the secrets to add."""
        return tuple(f"{variable}.{key}" for variable, values in self.missing.items() for key in values)


def new_secret() -> str:
    """Return 32 random letters and digits (190 bits), safe unquoted in every configuration format."""
    return "".join(secrets.choice(ALPHABET) for _position in range(LENGTH))


def parse(text: str) -> dict[str, Any]:
    """Return a secrets file's variables; raises SecretsError when it isn't a YAML mapping."""
    with _without_excerpt():
        document = yaml.load(text, Loader=_Loader) or {}  # noqa: S506 (a subclass of SafeLoader)
    if not isinstance(document, dict):
        raise SecretsError("must be a mapping of variables")
    return document


def loaded(text: str) -> yaml.Node | None:
    """Return the nodes of a secrets file, with their places in the text. Raises SecretsError."""
    with _without_excerpt():
        return yaml.compose(text, Loader=_Loader)


@contextlib.contextmanager
def _without_excerpt() -> Iterator[None]:
    """Raise SecretsError for what is no YAML: PyYAML's own errors quote the lines."""
    try:
        yield
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise SecretsError(f"not valid YAML{f' (line {mark.line + 1})' if mark else ''}") from None


def check_value(name: str, value: object, minimum: int) -> Iterator[str]:
    """Yield the problems of a present secret, which must have at least minimum characters."""
    if isinstance(value, VaultedText):
        return
    if isinstance(value, TemplateText):
        if not is_expression(value):
            yield f"{name} {TEMPLATED}: {LITERAL}"
        return
    for problem in secret_problems(name, value):
        yield f"{name} {problem}"
    if isinstance(value, str) and len(value) < minimum:
        yield (
            f"{name} has {len(value)} characters, {minimum} is the least: choose a longer one or remove the key"
            " to have one generated"
        )


def secrets_problems(variables: Mapping[str, Any]) -> Iterator[str]:
    """Yield the problems of the present secrets, with the names of variables but never a value."""
    for variable, minimum in MINIMUM_LENGTH.items():
        existing = variables.get(variable) or {}
        if not isinstance(existing, dict):
            yield f"{variable} must be a mapping"
            continue
        for key, value in existing.items():
            yield from check_value(f"{variable}.{key}", value, minimum)


def complete(document: Mapping[str, Any], roles: Iterable[str], generate: Callable[[], str] = new_secret) -> Plan:
    """Plan a secrets file with every secret and a password for each SQL role; present values stay.

    Raises SecretsError when a present value is unusable.
    """
    found = list(secrets_problems(document))
    if found:
        raise SecretsError("; ".join(found))
    wanted = {SECRETS_VARIABLE: [secret.name for secret in SECRETS], ROLES_VARIABLE: sorted(set(roles))}
    missing = {
        variable: {key: generate() for key in keys if key not in (document.get(variable) or {})}
        for variable, keys in wanted.items()
    }
    return Plan(missing, {variable: tuple(document.get(variable) or ()) for variable in wanted})


def report(path: str, protection: str, contents: Mapping[str, Mapping[str, Iterable[str]]]) -> str:
    """Return the contents of a secrets file: names, without values.

    :arg protection: how its values are protected.
    :arg contents: by what is told of them, keys by their variable.
    """
    rows = [
        [what, variable, ", ".join(map(str, keys))]
        for what, names in contents.items()
        for variable, keys in names.items()
        if keys
    ]
    return f"{path}, {protection}:\n{table(rows)}"


def vaulted(document: Mapping[str, Any]) -> list[VaultedText]:
    """Return the secrets that are encrypted in place."""
    return [value for value in _values(document) if isinstance(value, VaultedText)]


def vaulted_only(document: Mapping[str, Any]) -> bool:
    """Whether secrets are encrypted in place, and none is in plain text."""
    plain = [value for value in _values(document) if not isinstance(value, (VaultedText, TemplateText))]
    return bool(vaulted(document)) and not plain


def _values(document: Mapping[str, Any]) -> list[Any]:
    return [value for variable in MINIMUM_LENGTH for value in (document.get(variable) or {}).values()]


def extended(text: str, plan: Plan) -> str:
    """Return a secrets file's text with the plan's additions; the rest, comments included, stays unchanged.

    Raises SecretsError when the file's style permits no addition.
    """
    wanted, text = parse(text), text or HEADER
    for variable, added in ((variable, added) for variable, added in plan.missing.items() if added):
        wanted[variable] = {**(wanted.get(variable) or {}), **added}
        text = with_keys(text, variable, added)
        if not holds(text, variable, wanted[variable]):
            raise SecretsError(f"{variable} can't be added to as it is written: write it as a block of lines")
    return verified(text, wanted)


def holds(text: str, variable: str, value: object) -> bool:
    """Return whether a changed text still is a secrets file, in which a variable has a value."""
    with contextlib.suppress(SecretsError):
        return bool(parse(text).get(variable) == value)
    return False


def verified(text: str, wanted: Mapping[str, Any]) -> str:
    """Return a file's text; raises SecretsError where it has other variables than it should."""
    if parse(text) != wanted:
        raise SecretsError("a change would change other variables, through an alias: write them out")
    return text


def with_keys(text: str, variable: str, added: Mapping[str, str]) -> str:
    """Return the text with keys added to the end of a variable's mapping, or the variable to the end of the text."""
    root = loaded(text)
    found = [value for key, value in root.value if key.value == variable] if isinstance(root, yaml.MappingNode) else []
    if not found:
        return f"{ended(text)}{variable}:\n{lines_of(added, 2)}"
    node = found[-1]
    if not isinstance(node, yaml.MappingNode):
        return f"{text[: node.start_mark.index]}\n{lines_of(added, 2).rstrip()}{text[node.end_mark.index :]}"
    if node.flow_style:
        closing = node.end_mark.index - 1
        separator = ", " if node.value else ""
        return f"{text[:closing]}{separator}{', '.join(lines_of(added, 0).splitlines())}{text[closing:]}"
    key, value = node.value[-1]
    end = line_end(text, value.end_mark.index)
    return f"{ended(text[:end])}{lines_of(added, key.start_mark.column)}{text[end:]}"


def lines_of(added: Mapping[str, str], indent: int) -> str:
    return textwrap.indent(yaml.dump(dict(added), Dumper=_Dumper, sort_keys=False, width=1000), " " * indent)


def ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def line_end(text: str, index: int) -> int:
    """Return the end of a value's last line; a block of lines ends where the next line begins."""
    if text[:index].endswith("\n"):
        return index
    newline = text.find("\n", index)
    return len(text) if newline < 0 else newline + 1


def topology_roles(topology: object) -> set[str]:
    """Return the names of the SQL roles that a topology.ha.yml declares; unreadable parts are skipped."""
    clusters = topology.get("clusters") if isinstance(topology, dict) else None
    names: set[str] = set()
    for cluster in clusters.values() if isinstance(clusters, dict) else ():
        roles = cluster.get("roles") if isinstance(cluster, dict) else None
        for role in roles if isinstance(roles, list) else ():
            name = role.get("name") if isinstance(role, dict) else None
            if isinstance(name, str):
                names.add(name)
    return names
