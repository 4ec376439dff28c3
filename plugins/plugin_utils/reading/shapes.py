# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shapes of plain data, which drive both reading and documentation.

A declaration is a frozen dataclass whose fields are made by C(key); C(read) turns a mapping into one. A shape that
can't read a value notes the problem and returns None.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Generic, Literal, TypeVar, overload

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.addresses import Address, Interface, Network
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.node import Node

S = TypeVar("S")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
KEY = "key"


class Shape(ABC, Generic[T_co]):
    """What a value may be."""

    @property
    def wanted(self) -> str:
        """What to write in place of nothing."""
        return "a value"

    @abstractmethod
    def read(self, node: Node) -> T_co | None:
        """The typed value."""


@dataclass(frozen=True)
class Key:
    """A key of a mapping. C(meaning) is in Ansible's markup."""

    shape: Shape[Any]
    meaning: str
    required: bool
    default: Any
    example: Any


@overload
def key(
    shape: Shape[T], meaning: str = "", *, required: bool = False, implied: Any = None, example: Any = None
) -> T | None: ...


@overload
def key(shape: Shape[T], meaning: str = "", *, default: T, example: Any = None) -> T: ...


def key(
    shape: Shape[Any],
    meaning: str = "",
    *,
    default: Any = None,
    implied: Any = None,
    required: bool = False,
    example: Any = None,
) -> Any:
    """Declare a key as a dataclass field. Even a required one is None if it could not be read.

    :arg implied: a default that rules fill in, because they must know whether the key was given.
    """
    described = Key(shape, meaning, required, default if implied is None else implied, example)
    return field(default=default, metadata={KEY: described})  # pylint: disable=invalid-field-call


def keys(declaration: type[Any]) -> dict[str, Key]:
    """The keys of a declaration, by name."""
    return {item.name: item.metadata[KEY] for item in fields(declaration)}


def read(declaration: type[T], node: Node) -> T:
    """A mapping with the keys of a declaration. An absent, null or unreadable key has its default."""
    known = keys(declaration)
    found = node.fields(known, {name: one.shape.wanted for name, one in known.items() if one.required})
    values = {name: known[name].shape.read(value) for name, value in found.items()}
    return declaration(**{name: value for name, value in values.items() if value is not None})


def handed_on(declared: Any) -> dict[str, Any]:
    """The given values that a role judges."""
    names = [name for name, one in keys(type(declared)).items() if isinstance(one.shape, OfRole)]
    return {name: getattr(declared, name) for name in names if getattr(declared, name) is not None}


@dataclass(frozen=True)
class Text(Shape[str]):
    """A text that is not empty, or one that a pattern matches as a whole; C(meaning) describes it."""

    pattern: str = ""
    meaning: str = ""

    def read(self, node: Node) -> str | None:
        """The text."""
        return node.matching(self.pattern, self.meaning) if self.pattern else node.text()


@dataclass(frozen=True)
class Integer(Shape[int]):
    """A whole number."""

    low: int
    high: int

    def read(self, node: Node) -> int | None:
        """The number."""
        return node.integer(self.low, self.high)


@dataclass(frozen=True)
class Boolean(Shape[bool]):
    """true or false."""

    def read(self, node: Node) -> bool | None:
        """The truth."""
        return node.boolean()


@dataclass(frozen=True)
class Choice(Shape[str]):
    """One of a few words."""

    options: tuple[str, ...]

    @property
    def wanted(self) -> str:
        """The words."""
        return f"one of {', '.join(self.options)}" if len(self.options) > 1 else self.options[0]

    def read(self, node: Node) -> str | None:
        """The word."""
        return node.choice(self.options)


@dataclass(frozen=True)
class IpAddress(Shape[Address]):
    """An IP address that other hosts can reach."""

    def read(self, node: Node) -> Address | None:
        """The address."""
        return node.address()


@dataclass(frozen=True)
class IpInterface(Shape[Interface]):
    """An IP address with the prefix length of its network."""

    def read(self, node: Node) -> Interface | None:
        """The address and its network."""
        return node.interface()


@dataclass(frozen=True)
class IpNetwork(Shape[Network]):
    """A network in CIDR notation."""

    def read(self, node: Node) -> Network | None:
        """The network."""
        return node.network()


@dataclass(frozen=True)
class Refusal:
    """What is wrong with an empty value, and the fix."""

    what: str
    fix: str


@dataclass(frozen=True)
class ListOf(Shape[tuple[T, ...]]):
    """A list; C(or_one): or a single item in place of a list of one."""

    item: Shape[T]
    or_one: bool = False
    empty: Refusal | None = None

    def read(self, node: Node) -> tuple[T, ...]:
        """The items that could be read."""
        if self.empty and node.value == []:
            node.fail(self.empty.what, self.empty.fix)
        return _readable(self.item.read(item) for item in (node.one_or_more() if self.or_one else node.items()))


def _readable(values: Iterable[T | None]) -> tuple[T, ...]:
    return tuple(value for value in values if value is not None)


@dataclass(frozen=True)
class Named(Shape[dict[str, T]]):
    """A mapping by names of the user's choice, or by hosts."""

    item: Shape[T]
    by: Literal["name", "host"] = "name"
    empty: Refusal | None = None

    def read(self, node: Node) -> dict[str, T]:
        """The items that could be read, sorted by name."""
        if self.empty and node.value == {}:
            node.fail(self.empty.what, self.empty.fix)
        pairs = node.named() if self.by == "name" else node.pairs(self.by)
        values = {name: self.item.read(item) for name, item in sorted(pairs, key=lambda pair: pair[0])}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Section(Shape[T]):
    """A mapping with the keys of a declaration; with C(or_null), null stands for an empty one."""

    declaration: type[T]
    or_null: bool = False

    def read(self, node: Node) -> T:
        """The declaration's instance."""
        return self.declaration() if self.or_null and node.value is None else read(self.declaration, node)


@dataclass(frozen=True)
class Switch(Shape[T | Literal[False]]):
    """A section; C(true) stands for all of its defaults, C(false) for its absence."""

    declaration: type[T]

    def read(self, node: Node) -> T | Literal[False] | None:
        """The declaration's instance, or False where it is off."""
        if node.value is False:
            return False
        return self.declaration() if node.value is True else read(self.declaration, node)


@dataclass(frozen=True)
class OrFalse(Shape[T | Literal[False]]):
    """A value of another shape, or C(false) to disable it."""

    shape: Shape[T]

    def read(self, node: Node) -> T | Literal[False] | None:
        """The value, or False."""
        return False if node.value is False else self.shape.read(node)


@dataclass(frozen=True)
class SectionOrList(Shape[S | tuple[T, ...]], Generic[S, T]):
    """A mapping of one kind, or a list of mappings of another kind."""

    section: type[S]
    item: type[T]
    empty: Refusal

    def read(self, node: Node) -> S | tuple[T, ...]:
        """The section, or the items."""
        if isinstance(node.value, list):
            return ListOf(Section(self.item), empty=self.empty).read(node)
        return read(self.section, node)


@dataclass(frozen=True)
class ByKey(Shape[T]):
    """A mapping whose keys depend on the value of one of them."""

    key: str
    declarations: Mapping[str, tuple[type[T], ...]]
    """Declarations by value, the default one first; rules may choose another one than a value's first."""
    other: type[T]

    def choice(self, value: Any) -> Any:
        """The value of the key, or its default."""
        given = value.get(self.key) if isinstance(value, dict) else None
        return next(iter(self.declarations)) if given is None else given

    def read(self, node: Node) -> T:
        """The declaration's instance that the key chooses."""
        choice = self.choice(node.value)
        known = self.declarations.get(choice) if isinstance(choice, str) else None
        if known and self._lacks_choice(node.value, known[0]):
            what = "has no value" if self.key in node.value else "is missing"
            fix = f"write a {self.key} there; by default it is {choice}, which has other keys"
            node.at(self.key, None).fail(what, fix)
            known = None
        return read(known[0] if known else self.other, node)

    def _lacks_choice(self, value: Any, default: type[T]) -> bool:
        """Whether the key is not given although the others are not the default's."""
        if not isinstance(value, dict) or value.get(self.key) is not None:
            return False
        given = {str(name) for name, one in value.items() if one is not None}
        own, others = keys(default).keys(), keys(self.other).keys()
        return bool(given & others - own) and not given & own - others


@dataclass(frozen=True)
class Later(Shape[Any]):
    """A value that is read by rules, because its shape alone does not describe it."""

    shape: Shape[Any]

    def read(self, node: Node) -> Any:
        """The value as it stands."""
        return node.value


@dataclass(frozen=True)
class OfRole(Shape[Any]):
    """A value that a role's argument spec describes and judges; C(option) is C(variable) or C(variable.key)."""

    option: str

    def read(self, node: Node) -> Any:
        """The value as it stands."""
        return node.value
