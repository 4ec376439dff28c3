# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the deployed state with the declared one, to find what would destroy data or break the cluster later.

A change that may be intended has a word of confirmation, KIND:SUBJECT. Every other one is refused until it is taken
back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.host_preflight import Finding
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.authorities import judge_authorities
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.backups import (
    judge_archiving,
    judge_emptied,
    judge_jobs,
    judge_repositories,
    judge_retention,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.changed_secrets import judge_secrets
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.data import (
    judge_data,
    judge_directories,
    judge_etcd,
    judge_identity,
    judge_stores,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.members import (
    judge_adverts,
    judge_components,
    judge_members,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import KINDS, Difference, Host
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.versions import judge_versions
from ansible_collections.holdfast.ha.plugins.plugin_utils.preflight import HostFinding

JUDGES = (
    judge_identity,
    judge_etcd,
    judge_stores,
    judge_data,
    judge_archiving,
    judge_repositories,
    judge_emptied,
    judge_retention,
    judge_jobs,
    judge_directories,
    judge_components,
)


def judge(
    hosts: Sequence[Host], *, whole: bool, accept: Sequence[str] = (), without: Collection[str] = ()
) -> list[HostFinding]:
    """Return the changes that must not be made, and each word of confirmation that matches no possible change.

    whole: the run covers all parts of the clusters, so that it can change a secret at all its ends. without: hosts that
    are down, and keep the former secrets.
    """
    found: list[Difference] = []
    for name in dict.fromkeys(host.ha["cluster"] for host in hosts):
        members = [host for host in hosts if host.ha["cluster"] == name]
        found += judge_cluster(members, whole=whole, without=without)
    words = [item.word for item in found if item.word]
    subjects = {host.name for host in hosts} | {host.ha["cluster"] for host in hosts}
    return [*unknown_words(accept, words, subjects), *(item.finding(accept) for item in found)]


def words_of(value: Any) -> list[str]:
    """Return preflight_accept's words, given as a list or separated by commas."""
    listed = value if isinstance(value, list) else str(value or "").split(",")
    return [str(word).strip() for word in listed if str(word).strip()]


def unknown_words(accept: Sequence[str], words: Sequence[str], subjects: Iterable[str]) -> Iterator[HostFinding]:
    """Yield a finding for each word that can't confirm anything in this inventory."""
    for word in accept:
        kind, _colon, subject = word.partition(":")
        if kind not in KINDS or subject not in subjects:
            close = get_close_matches(word, words, n=1, cutoff=0.4)
            known = f"did you mean {close[0]}" if close else f"write KIND:CLUSTER, with one of {', '.join(KINDS)}"
            yield HostFinding("controller", Finding("preflight_accept", f"{word} confirms nothing", known))


def judge_cluster(hosts: Sequence[Host], *, whole: bool, without: Collection[str] = ()) -> list[Difference]:
    """Return all differences of one cluster."""
    seen = [(host, host.deployed) for host in hosts if host.deployed is not None]
    alone = [difference for host, deployed in seen for judge_one in JUDGES for difference in judge_one(host, deployed)]
    secrets = judge_secrets(hosts, whole=whole, without=without)
    together = [*judge_versions(hosts), *judge_members(seen), *judge_adverts(hosts), *judge_authorities(seen)]
    return [*alone, *together, *secrets]


def why_not_without(hosts: Sequence[Host], down: Collection[str]) -> str:
    """Return why the missing hosts of a cluster block a run.

    Empty when etcd has its quorum and a database host has data: then the other hosts follow when they are back. Hosts
    that --limit leaves out count as running.
    """
    seen = [host.deployed for host in hosts if host.deployed is not None]
    left_out = [host.ha["components"] for host in hosts if host.deployed is None and host.name not in down]
    carried = any({"etcd", "postgresql"} & {*components} for components in left_out)
    if not carried and not any(deployed.components for deployed in seen):
        return "nothing is deployed yet on the hosts that answer"
    members = (hosts[0].ha.get("etcd") or {}).get("members", ())
    stores = [deployed.etcd for deployed in seen if deployed.etcd]
    running = len(stores) + sum("etcd" in components for components in left_out)
    quorum = len(members) // 2 + 1
    if members and running < quorum and all(store.members is None for store in stores):
        return f"etcd's quorum is {quorum} of {len(members)} members, of which {running} with data can be reached"
    has_data = any(deployed.postgresql for deployed in seen) or any("postgresql" in part for part in left_out)
    if hosts[0].ha.get("postgresql") and not has_data:
        return "no database host with data can be reached"
    return ""
