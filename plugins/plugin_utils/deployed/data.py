# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Differences that would part a member from its data or its cluster, or a directory from its user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.deployed import AUTHENTICATION, Deployed, wal_directory
from ansible_collections.holdfast.ha.plugins.module_utils.url import https_url
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.declared import etcd_directory
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import TAKE_BACK, Difference, Host, mapping


def judge_identity(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield where a member's data belongs to another member or cluster, or is in another place."""
    found, wished = deployed.patroni, host.ha["postgresql"]
    if found is None or deployed.postgresql is None or not wished:
        return
    if found.scope != wished["scope"]:
        text = f"the host has data of the cluster {found.scope}, declared {wished['scope']}"
        fix = f"{TAKE_BACK}, a cluster can't be renamed; or give the hosts of {found.scope} back to it"
        yield Difference(host.name, "clusters", text, fix)
        return
    if found.name != host.ha["name"]:
        text = f"the host is the member {found.name}, declared {host.ha['name']}"
        yield Difference(host.name, "ansible_host", text, f"{TAKE_BACK}: has the host the address of another?")
        return
    ports = f"clusters.{wished['scope']}.ports"
    namespace = host.variables.get("patroni_namespace", "/service/")
    pairs = {
        "patroni_namespace": (found.namespace.strip("/"), str(namespace).strip("/")),
        "ha_address": (found.address, host.ha["address"]),
        f"{ports}.postgresql": (found.port, wished["port"]),
        f"{ports}.patroni": (found.rest_port, wished["rest_port"]),
        "data directory": (found.data_directory, wished["data_directory"]),
    }
    for kind in AUTHENTICATION:
        variable = f"patroni_{kind}_username"
        pairs[variable] = (found.users[kind], host.variables.get(variable, found.users[kind]))
    yield from _changed(host, pairs)


def judge_etcd(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield where an etcd member's data belongs to another member or cluster, or is in another place."""
    found, wished = deployed.etcd, host.ha["etcd"]
    if found is None or not wished or "etcd" not in host.ha["components"]:
        return
    if found.name != host.ha["name"]:
        text = f"the host is the etcd member {found.name}, declared {host.ha['name']}"
        yield Difference(host.name, "ansible_host", text, f"{TAKE_BACK}: has the host the address of another?")
        return
    ports = f"clusters.{host.ha['cluster']}.ports"
    own = mapping(host.variables.get("etcd_settings"))
    directory = etcd_directory(wished, host.variables)
    # A changed data directory is reported by its own finding.
    kept = wal_directory({"ETCD_DATA_DIR": found.data_directory, "ETCD_WAL_DIR": own.get("ETCD_WAL_DIR")})
    pairs = {
        "etcd_data_directory": (_path(found.data_directory), _path(own.get("ETCD_DATA_DIR", directory))),
        "etcd_settings.ETCD_WAL_DIR": (found.wal_directory, kept),
        f"{ports}.etcd_client": (
            found.client_url,
            own.get("ETCD_ADVERTISE_CLIENT_URLS", https_url(host.ha["address"], wished["client_port"])),
        ),
        f"{ports}.etcd_peer": (
            found.peer_url,
            own.get("ETCD_INITIAL_ADVERTISE_PEER_URLS", https_url(host.ha["address"], wished["peer_port"])),
        ),
    }
    yield from _changed(host, pairs)


def judge_stores(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield where Patroni would lose all its etcd members, and perhaps find an empty etcd."""
    found, postgresql, etcd = deployed.patroni, host.ha["postgresql"], host.ha["etcd"]
    if found is None or deployed.postgresql is None or not postgresql or not etcd or found.scope != postgresql["scope"]:
        return
    wished = [member["address"] for member in etcd["members"]]
    if found.stores and not {*found.stores} & {*wished}:
        text = f"Patroni has the etcd of {', '.join(sorted(found.stores))}, declared {', '.join(sorted(wished))}"
        fix = f"{TAKE_BACK}, or replace one member after the other; a new etcd knows nothing of the cluster"
        yield Difference(host.name, "group etcd", text, fix, f"etcd_members:{host.ha['cluster']}")


def judge_data(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield declared settings that can't run a data directory, or that only initdb applies."""
    data = deployed.postgresql
    if data is None or "postgresql" not in host.ha["components"]:
        return
    for variable, found in (("patroni_encoding", data.encoding), ("patroni_locale", data.locale)):
        wished = host.variables.get(variable)
        if found and wished is not None and _plain(found) != _plain(str(wished)):
            text = f"the cluster was made with {found}, declared {wished}: only a new cluster takes it"
            yield Difference(host.name, variable, text, TAKE_BACK)


def _changed(host: Host, pairs: Mapping[str, tuple[Any, Any]]) -> Iterator[Difference]:
    for variable, (found, wished) in pairs.items():
        if found != wished:
            text = f"found {found}, declared {wished}: the member's data and the other members know the former"
            yield Difference(host.name, variable, text, f"{TAKE_BACK}; this can't be changed on a member with data")


def _path(text: Any) -> str:
    return str(PurePosixPath(str(text)))


def _plain(name: str) -> str:
    return name.lower().replace("-", "")


def judge_directories(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield directories that would change their owner although others use them."""
    for variable, told in deployed.taken.items():
        yield Difference(host.name, variable, told, "name a directory of its own")
