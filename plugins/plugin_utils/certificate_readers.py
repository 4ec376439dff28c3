# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What on a host reads its certificates: the units, and the ports that show which ones they use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.preflight import port_number
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import Component, Reads, installed_on


def certificate_units(ha: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the units that must restart or reload when files change, in the form of holdfast.ha.certificate."""
    return [_unit(part, part.reads, ha["tls"]) for part in _components(ha) if part.reads]


def certificate_ports(ha: Mapping[str, Any], variables: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the ports that speak TLS, in the form of holdfast.ha.certificate_probe.

    :arg variables: the host's variables, which may set a role's ports.
    """
    return [
        {
            "name": port.name,
            "address": ha["address"],
            "port": port_number(port, component.role, ha, variables or {}),
            "postgresql": port.is_database,
        }
        for component in _components(ha)
        for port in component.ports
        if port.is_tls and (not port.asked_by or ha[port.asked_by])
    ]


def _unit(component: Component, reads: Reads, tls: Mapping[str, str]) -> dict[str, Any]:
    moments = {tls["ca"]: reads.authorities, tls["cert"]: reads.certificate, tls["key"]: reads.certificate}
    return {
        "component": component.name,
        "unit": component.units[0],
        "restart_on": [path for path, moment in moments.items() if moment == "start"],
        "reload_on": [path for path, moment in moments.items() if moment == "reload"],
        "amended": [tls["ca"]] if reads.amended else [],
        "managed": reads.guarded,
    }


def _components(ha: Mapping[str, Any]) -> list[Component]:
    everywhere = {name for member in ha["members"] for name in member["components"]}
    return installed_on(ha["components"], everywhere)
