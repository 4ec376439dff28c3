# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's own variables: its addresses, zone and priorities."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from ipaddress import ip_address
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.addresses import Address
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.node import Node, suggestion
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import OPAQUE, Opaque, Problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    FORMER_SECRETS,
    PACKAGE_ROLES,
    SECRET_VARIABLES,
    packages_variable,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import Host, Inventory

HOST_NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
FOREIGN = "ha_foreign_variables"
"""Names and patterns of variables that look like the collection's but are not."""

HOST_VARIABLES = (
    FOREIGN,
    "ha_address",
    "ha_extra_addresses",
    "ha_zone",
    "ha_failover_priority",
    "ha_vrrp_priority",
    "ha_interface",
    *SECRET_VARIABLES,
    *FORMER_SECRETS.values(),
)


def read_host(name: str, inventory: Inventory, problems: Problems) -> Host:
    """Read a host's inventory data; repeated calls report a problem once."""
    root = Node(name, inventory.hosts.get(name, {}), problems)
    Node("inventory host", name, problems).matching(
        HOST_NAME, "a name of at most 63 letters, digits, -, _ and . (set ansible_host to its address)"
    )
    for variable in root.value:
        if is_unknown(variable, root.value):
            fix = f"{suggestion(variable, HOST_VARIABLES)}; if it is not Holdfast's, add it to the list {FOREIGN}"
            problems.add(f"{name}: {variable}", OPAQUE, "is an unknown variable", fix)
    zone = _variable(root, "ha_zone")
    failover = _variable(root, "ha_failover_priority")
    vrrp = _variable(root, "ha_vrrp_priority")
    interface = _variable(root, "ha_interface")
    failover_priority = failover.integer(0, 1000) if failover else None
    return Host(
        name=name,
        addresses=read_addresses(root),
        zone=(zone.text() if zone else None) or "default",
        failover_priority=1 if failover_priority is None else failover_priority,
        vrrp_priority=vrrp.integer(1, 254) if vrrp else None,
        interface=interface.text() if interface else None,
        declares_jobs=bool(root.value.get("backup_jobs")),
        packages={role: read_packages(_variable(root, packages_variable(role))) for role in PACKAGE_ROLES},
    )


def is_unknown(variable: str, variables: Mapping[str, Any]) -> bool:
    """Whether a variable looks like one of the topology's but is not."""
    return variable.startswith("ha_") and variable not in HOST_VARIABLES and not is_foreign(variable, variables)


def is_foreign(variable: str, variables: Mapping[str, Any]) -> bool:
    """Whether a host's variables declare one of them as foreign."""
    return any(fnmatchcase(variable, pattern) for pattern in foreign(variables))


def foreign(variables: Mapping[str, Any]) -> list[str]:
    """The names and patterns of a host's foreign variables."""
    listed = variables.get(FOREIGN)
    if isinstance(listed, str):
        return [item.strip() for item in listed.split(",")]
    return [str(item) for item in listed] if isinstance(listed, list) else []


def read_packages(node: Node | None) -> tuple[str, ...]:
    """The packages that a variable names; other checks refuse a value that is not a list of texts."""
    if node is None or not isinstance(node.value, list):
        return ()
    if any(isinstance(package, Opaque) for package in node.value):
        node.fail("holds a template, which the topology does not read", "write plain names")
    return tuple(package for package in node.value if isinstance(package, str))


def _variable(root: Node, name: str) -> Node | None:
    """A variable with a readable value."""
    value = root.value.get(name)
    node = Node(f"{root.path}: {name}", value, root.problems)
    if isinstance(value, Opaque):
        fix = f"write its plain value{' or set ha_address' if name == 'ansible_host' else ''}"
        node.fail("is templated or vaulted, and the topology reads neither", fix)
    return None if value is None or isinstance(value, Opaque) else node


def read_addresses(root: Node) -> tuple[Address, ...]:
    """The host's address (ha_address, else ansible_host, else its name) and the extra ones."""
    main = host_address(root)
    extra = _variable(root, "ha_extra_addresses")
    read = [main, *(item.address() for item in extra.items())] if extra else [main]
    return tuple(dict.fromkeys(address for address in read if address is not None))


def host_address(root: Node) -> Address | None:
    """The one address that the other members use."""
    own = _variable(root, "ha_address")
    if own:
        return own.address()
    connection = _variable(root, "ansible_host")
    if connection is None and isinstance(root.value.get("ansible_host"), Opaque):
        return None
    if connection is None and not is_address(root.path):
        fix = f"set ansible_host or ha_address of {root.path} to its IP address"
        root.problems.add(f"{root.path}: ansible_host", OPAQUE, "is missing", fix)
        return None
    if connection and not is_address(connection.value):
        connection.fail("is a name, not an IP address", f"set ha_address of {root.path} to its IP address")
        return None
    return (connection or Node(root.path, root.path, root.problems)).address()


def is_address(value: Any) -> bool:
    """Whether a value is the text of an IP address."""
    try:
        return isinstance(value, str) and bool(ip_address(value))
    except ValueError:
        return False


def known_addresses(inventory: Inventory) -> Mapping[Address, tuple[str, ...]]:
    """Host names by address over the whole inventory, for addresses without templates."""
    known: dict[Address, tuple[str, ...]] = {}
    for name in sorted(inventory.hosts):
        for address in read_addresses(Node(name, inventory.hosts[name], Problems())):
            known[address] = (*known.get(address, ()), name)
    return known
