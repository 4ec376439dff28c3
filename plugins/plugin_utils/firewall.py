# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall of a host: which ports its components own, and who needs them, from the registry of components."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.preflight import port_number
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import Port, installed_on

EVERYWHERE = ["0.0.0.0/0", "::/0"]
CLIENTS = "clients"


def firewall_plan(
    ha: Mapping[str, Any], variables: Mapping[str, Any] | None = None, leaving: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the parameters ``rules`` and ``reach`` of holdfast.ha.firewall for a host.

    variables: the host's, which may set a role's ports. leaving: networks of a host that serves until another one has
    joined, and that is not in the inventory any more.
    """
    members = {member["name"]: member for member in ha["members"]}
    own = {"address": ha["address"], "components": ha["components"]}
    allowed = [
        {"port": item["port"], "sources": item["sources"] or EVERYWHERE, "about": "declared"}
        for item in ha["firewall"]["allow"]
    ]
    others = (member for name, member in members.items() if name != ha["name"])
    return {
        "rules": [*rules(ha, own, variables or {}, list(leaving)), *allowed],
        "reach": [
            {"address": other["address"], "port": rule["port"]}
            for other in others
            for rule in rules(ha, other, variables or {}, [])
            if ha["address"] in rule["sources"]
        ],
    }


def rules(
    ha: Mapping[str, Any], member: Mapping[str, Any], variables: Mapping[str, Any], leaving: list[str]
) -> list[dict[str, Any]]:
    """Return the open ports of a member, each with its sources."""
    everywhere = {name for other in ha["members"] for name in other["components"]}
    found: list[dict[str, Any]] = [
        {"port": port_number(port, component.role, ha, variables), "sources": sources(ha, port), "about": port.service}
        for component in installed_on(member["components"], everywhere)
        for port in component.ports
        if port.users and (not port.asked_by or ha[port.asked_by])
    ]
    found += pools(ha) if "haproxy" in member["components"] else []
    return [{**rule, "sources": list(dict.fromkeys((*rule["sources"], *leaving)))} for rule in found]


def sources(ha: Mapping[str, Any], port: Port) -> list[str]:
    """Return the addresses and networks that need a port."""
    clients = ha["postgresql"]["clients"] if CLIENTS in port.users and ha["postgresql"] else []
    return [*(member["address"] for member in users(ha, port.users)), *clients]


def users(ha: Mapping[str, Any], components: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the members that run one of the components."""
    wanted = set(components)
    yield from (member for member in ha["members"] if wanted.intersection(member["components"]))


def pools(ha: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the ports of HAProxy's pools; Prometheus's host probes them as a client would."""
    probing = [member["address"] for member in users(ha, ["prometheus"])]
    return [
        {
            "port": pool["port"],
            "sources": [*pool["clients"], *probing] if pool.get("clients") else EVERYWHERE,
            "about": f"the pool {pool['name']}",
        }
        for pool in ha["pools"]
    ]
