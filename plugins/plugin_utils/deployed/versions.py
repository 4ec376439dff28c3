# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The major version of PostgreSQL that each host is to run, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_version import chosen
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import TAKE_BACK, Difference, Host


def versions(hosts: Sequence[Host]) -> dict[str, str]:
    """Return the version of each host that is a part of a cluster with PostgreSQL, "" where it is not known."""
    data: dict[str, list[str]] = {}
    for host in hosts:
        if host.deployed and host.deployed.postgresql:
            data.setdefault(host.ha["cluster"], []).append(host.deployed.postgresql.version)
    return {
        host.name: chosen(host.ha["postgresql"]["version"], data.get(host.ha["cluster"], ()), host.distribution)
        for host in hosts
        if host.ha["postgresql"]
    }


def judge_versions(hosts: Sequence[Host]) -> Iterator[Difference]:
    """Yield the members of a cluster that can't run the cluster's version on their data, or would run another one."""
    members = [
        host for host in hosts if host.deployed and host.ha["postgresql"] and "postgresql" in host.ha["components"]
    ]
    wished = versions(members)
    for host in members:
        where = f"clusters.{host.ha['cluster']}.postgresql_version"
        version, first = wished[host.name], members[0]
        data = host.deployed.postgresql if host.deployed else None
        if data and version and data.version != version:
            yield Difference(host.name, where, *_refused(host, data.data_directory, data.version, version))
        elif version != wished[first.name]:
            text = f"would run PostgreSQL {version}, as its distribution, and {first.name} {wished[first.name]}"
            yield Difference(host.name, where, text, "declare the version of all members")


def _refused(host: Host, directory: str, found: str, version: str) -> tuple[str, str]:
    """Return what is wrong with a version that is not the data's, and the fix."""
    if not host.ha["postgresql"]["version"]:
        text = f"{directory} is of PostgreSQL {found}, and another member's data of {version}"
        return text, "declare the version of the right data, and see which member's is another cluster's"
    verb = "an upgrade" if int(version) > float(found) else "a downgrade"
    text = f"{directory} is of PostgreSQL {found}, declared {version}: that is {verb}, no deployment"
    return text, f"{TAKE_BACK}: write {found}, or nothing"
