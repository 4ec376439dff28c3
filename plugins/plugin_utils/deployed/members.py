# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts that etcd, Patroni or keepalived know, and the inventory does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Deployed
from ansible_collections.holdfast.ha.plugins.module_utils.url import https_url
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import REMOVE, Difference, Host


def judge_components(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield each component that is enabled on a host which is no longer in its group."""
    for component in deployed.components:
        if component not in host.ha["components"]:
            text = f"{component} is enabled on {host.name}, which is not in the group"
            fix = f"put it back, or run {REMOVE}{host.name}"
            yield Difference(host.name, f"group {component}", text, fix, f"{component}_members:{host.ha['cluster']}")


def judge_members(seen: Sequence[tuple[Host, Deployed]]) -> Iterator[Difference]:
    """Yield the members that etcd or Patroni has and the inventory lacks."""
    for component, service, undeclared in (
        ("etcd", "etcd", etcd_strangers),
        ("postgresql", "Patroni", patroni_strangers),
    ):
        told = {name: host for host, deployed in reversed(seen) for name in undeclared(host, deployed)}
        for name, host in sorted(told.items()):
            text = f"{service} has the member {name}, which the inventory lacks"
            fix = f"put the host back, or run {REMOVE}{name}"
            word = f"{component}_members:{host.ha['cluster']}"
            yield Difference(host.name, f"group {component}", text, fix, word)


def judge_adverts(hosts: Sequence[Host]) -> Iterator[Difference]:
    """Yield the balancers' VRRP peers that are not hosts of the inventory."""
    declared = own_addresses(host.ha for host in hosts)
    told = {address: host for host in reversed(hosts) if host.deployed for address in host.deployed.vrrp_peers}
    for address, host in sorted(told.items()):
        text = f"{address} is a VRRP peer of {host.name} but not a host of the inventory: it may hold virtual IPs"
        fix = f"put the host back, or run {REMOVE}NAME -e remove_address={address}"
        if address not in declared:
            yield Difference(host.name, "group keepalived", text, fix, f"keepalived_members:{host.ha['cluster']}")


def etcd_strangers(host: Host, deployed: Deployed) -> list[str]:
    """Return the etcd members that are not declared, by name or else by peer URL."""
    wished, members = host.ha["etcd"], deployed.etcd.members if deployed.etcd else None
    if not wished or members is None or "etcd" not in host.ha["components"]:
        return []
    return undeclared_in_etcd(members, wished)


def undeclared_in_etcd(members: Mapping[str, str], etcd: Mapping[str, Any]) -> list[str]:
    """Return the members of {peer URL: name} that C(ha.etcd) lacks, by name, or by URL before their first start."""
    names = {member["name"] for member in etcd["members"]}
    urls = {https_url(member["address"], etcd["peer_port"]) for member in etcd["members"]}
    return sorted({name or place for place, name in members.items() if name not in names and place not in urls})


def patroni_strangers(host: Host, deployed: Deployed) -> list[str]:
    """Return Patroni's members that are not declared."""
    wished = host.ha["postgresql"]
    if not wished or "postgresql" not in host.ha["components"]:
        return []
    if deployed.patroni is None or deployed.patroni.scope != wished["scope"]:
        return []
    return sorted(set(deployed.patroni_members or ()) - {member["name"] for member in wished["members"]})


def own_addresses(hosts: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the source addresses of the hosts, those of VRRP included, from their C(ha)."""
    addresses: set[str] = set()
    for ha in hosts:
        instances = (ha.get("vrrp") or {}).get("instances", ())
        addresses |= {ha["address"], *(item["source"] for item in instances if item.get("source"))}
    return addresses
