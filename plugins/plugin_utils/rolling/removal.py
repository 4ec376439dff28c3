# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host that left the inventory: what its cluster still knows of it, what to do, and why not to do it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.holdfast.ha.plugins.module_utils import kernel_settings
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_removal import quorum_refusal
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import SYNCHRONOUS_ROLES
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import is_synchronous
from ansible_collections.holdfast.ha.plugins.module_utils.url import https_url
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.members import own_addresses, undeclared_in_etcd
from ansible_collections.holdfast.ha.plugins.plugin_utils.deployed.model import BACKUP_REPOSITORY, NO_ARCHIVING
from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import HIDDEN, OPAQUE, Problem
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import COMPONENTS, EXPORTERS
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.dynamic_configuration import slot_name

Result = Mapping[str, Any]
STATUS = "playbooks/status.yml shows what is wrong"
SYSTEMD = "/etc/systemd/system"
OF_ANY_MEMBER = ("/etc/holdfast/tls", kernel_settings.PATH, "/etc/systemd/journald.conf.d/holdfast.conf")
"""What every host of a cluster has: its certificates, and settings of its kernel and journal."""
STOPS = (
    "keepalived",
    "haproxy",
    "pgbouncer",
    "lease_watcher",
    "postgresql",
    "etcd",
    "backup",
    *(f"{name}_exporter" for name in EXPORTERS),
)
"""Components in the order in which they stop: what leads clients to a host before what serves them."""
BESIDE = {"keepalived": ("keepalived-filter.service",)}
"""Units that a component has besides those of the registry."""
TIMERS = ("holdfast-job-*", "pgbackrest-backup@*", "holdfast-canary", "holdfast-restore-verify")
MEMBER_OF = ("etcd", "postgresql", "haproxy", "backup", "prometheus")
"""Components with a group of their own."""


@dataclass(frozen=True)
class Host:
    """A host of the inventory that stays, and what it reported; answers by probe are {} where there is none.

    deployed: the result of holdfast.ha.deployed_info.
    """

    name: str
    ha: Mapping[str, Any]
    down: bool = False
    probes: Mapping[str, Result] = field(default_factory=dict)
    deployed: Result = field(default_factory=dict)

    def answer(self, probe: str) -> Result:
        """Return the result of a probe, {} when it failed or never ran."""
        result = self.probes.get(probe) or {}
        return {} if result.get("failed") else result


@dataclass(frozen=True)
class Request:
    """What the user wants: the host to remove, and how the controller reaches it ("" where it is not known).

    by: the host that takes its place, "" for none; joined: that one must have joined by now; places: where it is to
    have repositories. data: the name given to
    remove its data, too. accept: the words of preflight_accept. hosts: the names of all hosts in the inventory.
    """

    name: str
    address: str = ""
    by: str = ""
    joined: bool = False
    places: Sequence[str] = ()
    data: str = ""
    accept: Sequence[str] = ()
    hosts: Sequence[str] = ()


@dataclass(frozen=True)
class Leaving:
    """The host itself: None for what it was not asked, or did not answer.

    deployed: what runs there by its own files, None when it is down; backups: what its repository has; error: why a
    host that answers could not be examined.
    """

    deployed: Result | None = None
    backups: Result = field(default_factory=dict)
    error: str = ""

    @property
    def alive(self) -> bool:
        """Whether the controller reaches it."""
        return self.deployed is not None


@dataclass(frozen=True)
class Trace:
    """What a cluster still has of a host: its peer URL in etcd, its member in Patroni, the hosts with it in a pool, as
    a VRRP peer or as their repository, its replication slot, and what it runs without being in the group.
    """

    peer_url: str = ""
    member: Result = field(default_factory=dict)
    pools: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    repository: tuple[str, ...] = ()
    slot: str = ""
    runs: tuple[str, ...] = ()
    address: str = ""

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that the host was in."""
        database = self.member or self.pools or self.slot
        seen = {"etcd": self.peer_url, "postgresql": database, "haproxy": self.peers, "backup": self.repository}
        runs = {"haproxy" if part == "keepalived" else part for part in self.runs}
        return tuple(name for name in MEMBER_OF if seen.get(name) or name in runs)

    def __bool__(self) -> bool:
        return bool(self.groups)


@dataclass(frozen=True)
class Plan:
    """What to do; every part is empty when it needs nothing. The runners are hosts that stay and work for the cluster.

    joins: another host joins before this one leaves. copies: directories of repositories that it takes over. drains:
    the balancers with it in a pool. vips: the virtual IPs that it may hold; balancers: those among which they move.
    networks: where it connects from. others: what the inventory lacks besides. all_stream: every member that stays
    leads or streams, so that none needs the slot of an absent one to be kept.
    """

    cluster: str = ""
    trace: Trace = field(default_factory=Trace)
    alive: bool = False
    joins: bool = False
    copies: tuple[str, ...] = ()
    drains: tuple[str, ...] = ()
    vips: tuple[str, ...] = ()
    balancers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    heir: str = ""
    units: tuple[str, ...] = ()
    timers: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    etcd_runner: str = ""
    patroni_runner: str = ""
    accept: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    all_stream: bool = False


def trace(name: str, address: str, hosts: Sequence[Host]) -> Trace:
    """Return what the hosts of one cluster still have of a host that is not, or no longer wholly, among them."""
    declared = next((host for host in hosts if host.name == name), None)
    url, member = etcd_url(name, hosts), patroni_member(name, hosts)
    servers = {host.name: found for host in hosts for found in servers_of(host) if found["name"] == name}
    slot = slot_name(name)
    staying = {slot_name(item["name"]) for item in members_of(hosts, "postgresql")}
    servers_at = (server["address"].rpartition(":")[0].strip("[]") for server in servers.values())
    known = urlsplit(url).hostname or str(member.get("host") or "") or next(servers_at, address)
    reached = declared.ha["address"] if declared else known
    other = {reached} - own_addresses(host.ha for host in hosts) if not declared else set()
    return Trace(
        peer_url=url,
        member=member,
        pools=tuple(sorted(servers)) if name not in declared_names(hosts, "postgresql") else (),
        peers=with_address(hosts, other, "vrrp_peers"),
        repository=tuple(
            host.name for host in hosts if other & {*((deployed(host, "pgbackrest") or {}).get("hosts", ()))}
        ),
        slot=slot if slot not in staying and slot in slots_of(hosts) else "",
        runs=surplus(declared) if declared else (),
        address=reached,
    )


def surplus(host: Host) -> tuple[str, ...]:
    """Return the components that are enabled on a host although it is not in their groups."""
    return tuple(part for part in host.deployed.get("components", ()) if part not in host.ha["components"])


def deployed(host: Host, part: str) -> Any:
    """Return a part of what is deployed on a host."""
    return host.deployed.get(part)


def with_address(hosts: Sequence[Host], addresses: set[str], key: str) -> tuple[str, ...]:
    """Return the hosts on which one of the addresses is deployed under a key."""
    return tuple(host.name for host in hosts if addresses & {*host.deployed.get(key, ())})


def members_of(hosts: Sequence[Host], part: str) -> list[Mapping[str, Any]]:
    """Return the declared members of etcd or postgresql."""
    return list(next((host.ha[part]["members"] for host in hosts if host.ha.get(part)), ()))


def declared_names(hosts: Sequence[Host], part: str) -> set[str]:
    """Return the names of the declared members."""
    return {member["name"] for member in members_of(hosts, part)}


def etcd_members(hosts: Sequence[Host]) -> list[Mapping[str, Any]]:
    """Return etcd's own list of its members, from the host with the longest."""
    return max((list(host.answer("etcd").get("members") or ()) for host in hosts), key=len, default=[])


def etcd_url(name: str, hosts: Sequence[Host]) -> str:
    """Return the peer URL of an undeclared etcd member, "" where etcd has none of that name."""
    wished = next((host.ha["etcd"] for host in hosts if host.ha.get("etcd")), None)
    urls = {url: member["name"] for member in etcd_members(hosts) for url in member["peer_urls"]}
    if not wished or not {name, *(url for url in urls if urls[url] == name)} & {*undeclared_in_etcd(urls, wished)}:
        return ""
    return next((url for url, member in urls.items() if member == name), "")


def cluster_view(hosts: Sequence[Host]) -> Result:
    """Return Patroni's cluster as a host with an agreed view sees it, {} where none answers."""
    views = [view for host in hosts if (view := host.answer("postgresql").get("cluster") or {}).get("members")]
    return next((view for view in views if view.get("agreed")), views[0] if views else {})


def patroni_member(name: str, hosts: Sequence[Host]) -> Result:
    """Return an undeclared member of Patroni, {} where it has none of that name."""
    if name in declared_names(hosts, "postgresql"):
        return {}
    return next((item for item in cluster_view(hosts).get("members", ()) if item["name"] == name), {})


def servers_of(host: Host) -> Iterator[Mapping[str, Any]]:
    """Yield the servers in a balancer's pools."""
    for pool in host.answer("haproxy").get("pools", ()):
        yield from pool["servers"]


def slots_of(hosts: Sequence[Host]) -> set[str]:
    """Return the names of the replication slots on the database hosts."""
    return {slot["name"] for host in hosts for slot in host.answer("objects").get("slots", ())}


def strangers(hosts: Sequence[Host]) -> list[str]:
    """Return what a cluster has and the inventory lacks: names of members, else addresses of balancers."""
    wished = next((host.ha["etcd"] for host in hosts if host.ha.get("etcd")), None)
    urls = {url: member["name"] for member in etcd_members(hosts) for url in member["peer_urls"]}
    names = {item["name"] for item in cluster_view(hosts).get("members", ())} - declared_names(hosts, "postgresql")
    places = own_addresses(host.ha for host in hosts)
    peers = {peer for host in hosts for peer in host.deployed.get("vrrp_peers", ())}
    former = {*(undeclared_in_etcd(urls, wished) if wished else ()), *names}
    return sorted(former) + sorted(peers - places - addresses_of(former, hosts, urls))


def addresses_of(names: set[str], hosts: Sequence[Host], urls: Mapping[str, str]) -> set[str]:
    """Return the addresses of members by name."""
    of_etcd = {urlsplit(url).hostname or "" for url, name in urls.items() if name in names}
    return of_etcd | {str(item.get("host")) for item in cluster_view(hosts).get("members", ()) if item["name"] in names}


def judge_name(request: Request, clusters: Mapping[str, Sequence[Host]]) -> tuple[str, Trace, list[Problem]]:
    """Return the cluster that still has the host and what it has of it, and why the name is refused.

    A name that no cluster knows is refused only where it may be a misspelt one; otherwise nothing is left to do.
    """
    if all(host.down for hosts in clusters.values() for host in hosts):
        return "", Trace(), [Problem("remove", request.name, "is not known, because no host answers", STATUS)]
    traces = {name: trace(request.name, request.address, hosts) for name, hosts in clusters.items()}
    found = [name for name, seen in traces.items() if seen]
    if len(found) > 1:
        fix = f"restrict the run to one of them: --limit holdfast_cluster_{found[0]}"
        return "", Trace(), [Problem("remove", request.name, f"is known in {', '.join(found)}", fix)]
    host = next((host for hosts in clusters.values() for host in hosts if host.name == request.name), None)
    if found:
        return found[0], traces[found[0]], list(judge_place(request, host, traces[found[0]], clusters[found[0]]))
    return (
        "",
        Trace(),
        list(judge_unknown(request, host, [one for hosts in clusters.values() for one in strangers(hosts)])),
    )


def judge_unknown(request: Request, host: Host | None, former: Sequence[str]) -> Iterator[Problem]:
    """Yield why a host that no cluster has beyond the inventory can't be removed."""
    if host is not None:
        groups = ", ".join(part for part in MEMBER_OF if part in host.ha["components"])
        fix = "take it out of these groups in the inventory, then run this again"
        yield Problem("remove", request.name, f"is in the groups of {groups}, and runs nothing else", fix)
        return
    if former:
        fix = "name one of them; an address needs -e remove=NAME -e remove_address=ADDRESS"
        yield Problem("remove", request.name, f"is unknown; not in the inventory are {', '.join(former)}", fix)
        return
    close = get_close_matches(request.name, [name for name in request.hosts if name != request.name], n=1, cutoff=0.85)
    if close and request.name not in request.hosts:
        yield Problem("remove", request.name, f"is unknown; did you mean {close[0]}?", "correct the name")


def judge_place(request: Request, host: Host | None, seen: Trace, hosts: Sequence[Host]) -> Iterator[Problem]:
    """Yield why the host can't be reached safely: its address is unknown, or one of a host that stays."""
    if host is not None:
        return
    if not seen.address:
        yield Problem(
            "remove_address", OPAQUE, f"is missing: where is {request.name}?", "add -e remove_address=ADDRESS"
        )
    places = {seen.address, request.address}
    owner = next((one.name for one in hosts if places & own_addresses([one.ha])), None)
    if owner:
        yield Problem(
            "remove_address", request.address or seen.address, f"is the address of {owner}, which stays", "correct it"
        )


def stray(request: Request, clusters: Mapping[str, Sequence[Host]], leaving: Leaving) -> tuple[str, Trace]:
    """Return the cluster of a host that only its own units tell of, and what it runs; "" for a host without any.

    So an interrupted run goes on that had taken the host off all others, but not stopped everything there.
    """
    found = leaving.deployed or {}
    runs = (*found.get("components", ()), *(["backup"] if places_of(leaving) else []))
    chosen = [name for name, hosts in clusters.items() if scopes(found) <= {scope_of(hosts)}]
    if not runs or len(chosen) != 1:
        return "", Trace()
    return chosen[0], Trace(runs=runs, address=request.address)


def scopes(found: Result) -> set[str]:
    """Return the clusters that Patroni and pgBackRest on a host serve."""
    patroni, backup = (found.get(part) or {} for part in ("patroni", "pgbackrest"))
    return {name for name in (patroni.get("scope"), backup.get("stanza")) if name}


def scope_of(hosts: Sequence[Host]) -> str:
    """Return the name under which Patroni and pgBackRest serve a cluster, "" where it has no databases."""
    return next((host.ha["postgresql"]["scope"] for host in hosts if host.ha.get("postgresql")), "")


def judge_removal(request: Request, hosts: Sequence[Host], seen: Trace, leaving: Leaving) -> list[Problem]:
    """Return why a host that a cluster still has can't be removed now."""
    return [
        *judge_data(request, leaving),
        *judge_identity(request, hosts, seen, leaving),
        *judge_quorum(request, hosts, seen),
        *judge_databases(request, hosts, seen, leaving),
        *judge_backup(hosts),
        *judge_repository(request, hosts, seen, leaving),
        *judge_successor(request, hosts, seen, leaving),
        *judge_joined(request, hosts, seen),
    ]


def judge_data(request: Request, leaving: Leaving) -> Iterator[Problem]:
    """Yield why data can't be removed."""
    if request.data and request.data != request.name:
        yield Problem("remove_data", request.data, f"is not {request.name}, the host to remove", "repeat its name")
    elif request.data and not leaving.alive:
        yield Problem("remove_data", request.data, "can't be reached, so its data can't be removed", "leave it out")


def judge_identity(request: Request, hosts: Sequence[Host], seen: Trace, leaving: Leaving) -> Iterator[Problem]:
    """Yield why what answers at the address is not the host."""
    if leaving.error:
        fix = "give Ansible root's rights (become) and Python 3.11 or newer there"
        yield Problem("remove", request.name, f"answers, but can't be examined: {leaving.error}", fix)
    found = leaving.deployed or {}
    patroni, etcd = (found.get(part) or {} for part in ("patroni", "etcd"))
    fix = "correct remove, or remove_address"
    for name in {patroni.get("name"), etcd.get("name")} - {None, "", request.name}:
        yield Problem("remove", request.name, f"at {seen.address} answers {name}", fix)
    for other in scopes(found) - {scope_of(hosts)}:
        yield Problem("remove", request.name, f"is a host of the cluster {other}", "use that cluster's inventory")


def judge_quorum(request: Request, hosts: Sequence[Host], seen: Trace) -> Iterator[Problem]:
    """Yield why etcd can't do without the member."""
    if not seen.peer_url:
        return
    view = max((host.answer("etcd") for host in hosts), key=lambda one: bool(one.get("leader")), default={})
    voters = [member for member in etcd_members(hosts) if not member.get("learner")]
    staying = declared_names(hosts, "etcd") - {request.name}
    healthy = sum(bool(one["healthy"]) and one["name"] in staying for one in view.get("endpoints", ()))
    reason = quorum_refusal(request.name, len(voters), healthy)
    if reason and not (is_learner(seen.peer_url, hosts) and healthy):
        yield Problem("remove", request.name, reason, STATUS)


def is_learner(peer_url: str, hosts: Sequence[Host]) -> bool:
    """Return whether an etcd member has no vote yet."""
    return any(member.get("learner") for member in etcd_members(hosts) if peer_url in member["peer_urls"])


def judge_databases(request: Request, hosts: Sequence[Host], seen: Trace, leaving: Leaving) -> Iterator[Problem]:
    """Yield why PostgreSQL can't do without the member."""
    if "postgresql" not in seen.groups:
        return
    view, name = cluster_view(hosts), request.name
    if not view.get("leader"):
        yield Problem("remove", name, "the cluster has no leader, or none of its members answers", STATUS)
        return
    if view.get("paused"):
        yield Problem("remove", name, "Patroni is paused", "run `patronictl resume` on a database host")
    if not seen.member:
        return
    if not leaving.alive and not leaving.error:
        what = "can't be reached, but its Patroni is alive, or was until less than its ttl ago"
        yield Problem("remove", name, what, "stop patroni there, or wait half a minute and run this again")
        return
    yield from judge_standbys(name, hosts, view, joins=joins(request, leaving) and not request.joined)


def joins(request: Request, leaving: Leaving) -> bool:
    """Return whether another host joins before this one leaves; a dead one serves nobody meanwhile."""
    return bool(request.by) and leaving.alive


def judge_standbys(name: str, hosts: Sequence[Host], view: Result, *, joins: bool) -> Iterator[Problem]:
    """Yield why the standbys that stay can't carry the cluster; one that joins before is still to be counted."""
    synchronous = synchronous_mode(hosts)
    able = heirs(name, hosts, view)
    leads = view["leader"] == name
    if leads and not able:
        fix = f"bring a standby back, or add one to the inventory; {STATUS}"
        yield Problem("remove", name, "leads, and no standby that stays is able to lead", fix)
    elif synchronous and not joins and len(streaming(name, hosts, view)) < 1 + leads:
        fix = "add another standby first: the group postgresql, then playbooks/site.yml"
        fix += f" -e preflight_accept=etcd_members:{hosts[0].ha['cluster']},postgresql_members:{hosts[0].ha['cluster']}"
        yield Problem("remove", name, "is, or would leave, the last synchronous standby", fix)


def all_stream(name: str, hosts: Sequence[Host], view: Result) -> bool:
    """Return whether every declared member but the one that leaves leads or streams."""
    serving = (
        {item["name"] for item in streaming(name, hosts, view)} | {view["leader"]} if view.get("leader") else set()
    )
    return declared_names(hosts, "postgresql") - {name} <= serving


def synchronous_mode(hosts: Sequence[Host]) -> bool:
    """Return whether replication is synchronous, by Patroni's dynamic configuration."""
    return any(is_synchronous(host.answer("postgresql").get("config")) for host in hosts)


def streaming(name: str, hosts: Sequence[Host], view: Result) -> list[Mapping[str, Any]]:
    """Return the declared standbys that stream, without the one that leaves."""
    staying = declared_names(hosts, "postgresql") - {name}
    standbys = [item for item in view["members"] if item["name"] in staying and item["name"] != view["leader"]]
    return [item for item in standbys if item["state"] == "streaming"]


def heirs(name: str, hosts: Sequence[Host], view: Result) -> list[str]:
    """Return the standbys that stay and may take over, the one that lags least first."""
    never = {item["name"] for item in members_of(hosts, "postgresql") if item.get("failover_priority", 1) == 0}
    synchronous = synchronous_mode(hosts)
    able = [
        item
        for item in streaming(name, hosts, view)
        if item["name"] not in never and (not synchronous or item["role"] in SYNCHRONOUS_ROLES)
    ]
    return [item["name"] for item in sorted(able, key=lambda item: (item.get("lag") or 0, item["name"]))]


def judge_backup(hosts: Sequence[Host]) -> Iterator[Problem]:
    """Yield the repository host that takes a backup."""
    for host in hosts:
        if any(stanza.get("locked") for stanza in host.answer("backup").get("stanzas", ())):
            yield Problem(f"backup on {host.name}", HIDDEN, "a backup is running", "run this again when it has ended")


def judge_repository(request: Request, hosts: Sequence[Host], seen: Trace, leaving: Leaving) -> Iterator[Problem]:
    """Yield what is lost with a repository, unless that is confirmed."""
    if "backup" not in seen.groups:
        return
    cluster = hosts[0].ha["cluster"]
    successor = next((host.name for host in hosts if "backup" in host.ha["components"]), "")
    word = f"{BACKUP_REPOSITORY if successor else NO_ARCHIVING}:{cluster}"
    if any(stanza.get("locked") for stanza in leaving.backups.get("stanzas", ())):
        yield Problem("remove", request.name, "takes a backup", "run this again when it has ended")
    if word in request.accept or keeps_backups(request, leaving):
        return
    what = f"has the repository: {describe_backups(leaving)}. "
    what += f"{successor} starts with a new full backup" if successor else "No WAL is archived any more"
    yield Problem("remove", request.name, what, f"put it back; if it is intended: -e preflight_accept={word}")


def keeps_backups(request: Request, leaving: Leaving) -> bool:
    """Return whether the new host has all repositories of the old one, by a copy or because they are elsewhere."""
    found = places_of(leaving)
    return joins(request, leaving) and bool(found) and {*found} <= {*request.places}


def places_of(leaving: Leaving) -> Sequence[str]:
    """Return where the host has repositories, as directories or as what names a store elsewhere."""
    return ((leaving.deployed or {}).get("pgbackrest") or {}).get("places") or ()


def copies(request: Request, hosts: Sequence[Host], seen: Trace, leaving: Leaving) -> tuple[str, ...]:
    """Return the directories to copy; none once the new host is a repository host, because it takes backups then."""
    new = next((host for host in hosts if host.name == request.by), None)
    is_taken = new is None or bool((deployed(new, "pgbackrest") or {}).get("places"))
    if is_taken or "backup" not in seen.groups or not keeps_backups(request, leaving):
        return ()
    return tuple(place for place in places_of(leaving) if place.startswith("/"))


def describe_backups(leaving: Leaving) -> str:
    """Return which backups no restore would find any more."""
    labels = [backup["label"] for stanza in leaving.backups.get("stanzas", ()) for backup in stanza.get("backups", ())]
    if not leaving.alive:
        return "it can't be reached, so its backups and archived WAL are out of use"
    if not labels:
        return "it has no backup"
    return f"{len(labels)} backups ({labels[0]} to {labels[-1]}) and their WAL are out of use, and stay there"


def judge_successor(request: Request, hosts: Sequence[Host], seen: Trace, leaving: Leaving) -> Iterator[Problem]:
    """Yield why the host that takes the place can't."""
    if not request.by:
        return
    if request.by == request.name:
        yield Problem("by", request.by, "is the host to replace", "name the new one; its own name needs site.yml only")
        return
    others = [one for one in strangers(hosts) if one not in {request.name, seen.address}]
    if joins(request, leaving) and others:
        what = f"can't join, because the inventory also lacks {', '.join(others)}"
        yield Problem("by", request.by, what, "put these back, or remove them first with playbooks/remove_host.yml")
    host = next((one for one in hosts if one.name == request.by), None)
    if host is None:
        what = f"is no host of the cluster {hosts[0].ha['cluster']}"
        yield Problem("by", request.by, what, f"put it into the groups of {', '.join(seen.groups)}")
        return
    missing = [group for group in seen.groups if group not in host.ha["components"]]
    if missing:
        what = f"lacks parts of {request.name}"
        yield Problem("by", request.by, what, f"put it into the groups of {', '.join(missing)}")
    if host.down:
        yield Problem("by", request.by, "can't be reached", "start it, or mend its network or SSH")
    for other in scopes(host.deployed) - {scope_of(hosts)}:
        yield Problem("by", request.by, f"is a host of the cluster {other}", "remove it there first, or take another")


def judge_joined(request: Request, hosts: Sequence[Host], seen: Trace) -> Iterator[Problem]:
    """Yield what the new host lacks for the old one to leave, and that the old one leads again."""
    if not request.joined:
        return
    by, view = request.by, cluster_view(hosts)
    voters = {member["name"] for member in etcd_members(hosts) if not member.get("learner")}
    serving = {view.get("leader")} | {item["name"] for item in streaming(request.name, hosts, view)} if view else set()
    if seen.peer_url and by not in voters:
        yield Problem("by", by, "has no vote in etcd yet", f"run this again; {STATUS}")
    if seen.member and by not in serving:
        yield Problem("by", by, "does not stream yet", f"run this again; {STATUS}")
    if view.get("leader") == request.name:
        yield Problem("replace", request.name, "leads again", "run this again")


def make_plan(request: Request, hosts: Sequence[Host], seen: Trace, leaving: Leaving) -> Plan:
    """Return what to do for a host that a cluster still has, or that still runs its services."""
    declared = next((host for host in hosts if host.name == request.name), None)
    keeps = () if declared is None else declared.ha["components"]
    view = cluster_view(hosts)
    cluster = hosts[0].ha["cluster"]
    gone = {request.name, seen.address}
    own = (leaving.deployed or {}).get("components", ())
    first = joins(request, leaving)
    drains = (*seen.pools, *([request.name] if "haproxy" in own else [])) if leaving.alive and seen.pools else ()
    return Plan(
        cluster=cluster,
        trace=seen,
        alive=leaving.alive,
        joins=first,
        copies=copies(request, hosts, seen, leaving),
        drains=drains,
        vips=virtual_ips(hosts) if "keepalived" in {*own} - {*keeps} else (),
        balancers=(*with_component(hosts, "keepalived"), request.name),
        networks=(f"{seen.address}/{128 if ':' in seen.address else 32}",) if seen.address else (),
        heir=next(iter(heirs(request.name, hosts, view)), "") if view.get("leader") == request.name else "",
        units=units(keeps) if leaving.alive else (),
        timers=tuple(f"{SYSTEMD}/{name}.timer" for name in TIMERS) if leaving.alive and not declared else (),
        remove=tuple(doomed(request, leaving, keeps)),
        etcd_runner=runner(hosts, "etcd") if seen.peer_url else "",
        patroni_runner=runner(hosts, "postgresql") if "postgresql" in seen.groups else "",
        accept=(
            *(f"{part}_members:{cluster}" for part in confirmed(seen, first and not request.joined)),
            *(
                [f"{BACKUP_REPOSITORY}:{cluster}"]
                if "backup" in seen.groups and keeps_backups(request, leaving)
                else []
            ),
        ),
        others=tuple(one for one in strangers(hosts) if one not in gone),
        all_stream=all_stream(request.name, hosts, view),
    )


def confirmed(seen: Trace, first: bool) -> list[str]:
    """Return the components whose differences from the inventory site.yml takes for intended.

    first: it runs before the host leaves.
    """
    peers = ["keepalived"] if seen.peers else []
    return sorted({*seen.groups, *seen.runs, *peers} - {"backup"}) if first else peers


def virtual_ips(hosts: Sequence[Host]) -> tuple[str, ...]:
    """Return the virtual IPs of a cluster, each with its prefix length."""
    instances = next((host.ha["vrrp"]["instances"] for host in hosts if host.ha.get("vrrp")), ())
    return tuple(dict.fromkeys(address for instance in instances for address in instance["addresses"]))


def with_component(hosts: Sequence[Host], component: str) -> tuple[str, ...]:
    """Return the hosts with a component that can be reached."""
    return tuple(host.name for host in hosts if component in host.ha["components"] and not host.down)


def runner(hosts: Sequence[Host], component: str) -> str:
    """Return the first host with a component that can be reached, "" without one."""
    return next(iter(with_component(hosts, component)), "")


def units(keeps: Sequence[str]) -> tuple[str, ...]:
    """Return the units to stop on a host that keeps some components, in their order."""
    by_name = {component.name: component for component in COMPONENTS}
    served = {"backup"} if "postgresql" in keeps else set()  # database hosts serve their files to the repository
    leaving = [name for name in STOPS if name not in {*keeps, *served}]
    return tuple(unit for name in leaving for unit in (*by_name[name].units[:1], *BESIDE.get(name, ())))


def doomed(request: Request, leaving: Leaving, keeps: Sequence[str]) -> Iterator[str]:
    """Yield the paths to remove on the host: what any member has when it leaves wholly, its data where asked."""
    found = leaving.deployed
    if found is None:
        return
    if not keeps:
        yield from OF_ANY_MEMBER
    if request.data != request.name:
        return
    if "postgresql" not in keeps and found.get("postgresql"):
        yield found["postgresql"]["data_directory"]
    if "etcd" not in keeps and found.get("etcd"):
        yield from dict.fromkeys((found["etcd"]["data_directory"], found["etcd"]["wal_directory"]))
    if "backup" not in keeps and found.get("pgbackrest"):
        yield from (place for place in found["pgbackrest"]["places"] if place.startswith("/"))


def describe(request: Request, plan: Plan) -> list[str]:
    """Return the steps as sentences."""
    name, seen = request.name, plan.trace
    steps = [f"switch over to {plan.heir}, because {name} leads"] if plan.heir else []
    steps += [f"copy the repository in {', '.join(plan.copies)} to {request.by}"] if plan.copies else []
    steps += (
        [f"{request.by} joins: with a vote in etcd once it has caught up, and a database that streams"]
        if plan.joins
        else []
    )
    steps += [f"drain {name} in the pools of {', '.join(plan.drains)}, and its pooler"] if plan.drains else []
    steps += [f"lead virtual IPs from {name} to another balancer"] if plan.vips else []
    if seen.peer_url:
        steps.append(f"remove the member {name} from etcd; if it leads, another one leads first")
    if plan.units:
        steps.append(f"stop and disable on {name}: {', '.join(plan.units)}")
    elif not plan.alive:
        steps.append(f"{name} can't be reached: nothing is done there")
    if plan.remove:
        steps.append(f"remove on {name}: {', '.join(plan.remove)}")
    if plan.patroni_runner:
        steps.append(f"delete Patroni's key members/{name} and the replication slot {slot_name(name)}")
    later = {"pools": seen.pools, "VRRP peers": seen.peers, "pgBackRest's settings": seen.repository}
    places = [f"{what} of {', '.join(hosts)}" for what, hosts in later.items() if hosts]
    steps.append(f"site.yml: take it off {'; '.join([*places, 'pg_hba.conf and certificates of the others'])}")
    if request.by and not plan.joins:
        steps[-1] += f"; {request.by} joins"
    return steps


def rest_endpoint(seen: Trace, hosts: Sequence[Host]) -> str:
    """Return the URL of the leaving member's Patroni, "" where there is none."""
    port = next((host.ha["postgresql"]["rest_port"] for host in hosts if host.ha.get("postgresql")), 0)
    return https_url(str(seen.member.get("host") or seen.address), port) if seen.member and port else ""
