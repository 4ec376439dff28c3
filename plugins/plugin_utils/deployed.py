# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares the deployed state with the declared one, to find what would destroy data or break the cluster later.

A change that may be intended has a word of confirmation, KIND:SUBJECT. Every other one is refused until it is taken
back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible_collections.holdfast.ha.plugins.module_utils.deployed import (
    AUTHENTICATION,
    Deployed,
    Verdict,
    combined,
    place,
    retention,
    wal_directory,
)
from ansible_collections.holdfast.ha.plugins.module_utils.host_preflight import WARNING, Finding
from ansible_collections.holdfast.ha.plugins.module_utils.masking import mask_line
from ansible_collections.holdfast.ha.plugins.module_utils.url import https_url
from ansible_collections.holdfast.ha.plugins.plugin_utils.preflight import HostFinding
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import (
    COMPONENTS,
    ETCD_USERS,
    SECRETS,
    SQL_ROLES,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.job_rules import DEFAULTS
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.roles import role_defaults

RETENTION = ("full_type", "full", "diff", "archive")
VARIABLES = (
    "backup_jobs",
    "ha_secrets",
    "etcd_data_directory",
    "etcd_settings",
    "patroni_dynamic_configuration",
    "patroni_encoding",
    "patroni_locale",
    "patroni_namespace",
    "patroni_parameters",
    "patroni_postgresql_version",
    "patroni_replication_username",
    "patroni_rewind_username",
    "patroni_superuser_username",
    "pgbackrest_cipher_type",
    "pgbackrest_log_path",
    "pgbackrest_repositories",
    "pgbackrest_repository_options",
    "pgbackrest_repository_path",
    *(f"pgbackrest_retention_{kind}" for kind in RETENTION),
    "pgbackrest_spool_path",
)
ONLY_OPTIONS = "pgbackrest_repository_options"
TAKE_BACK = "take the change back"
NO_ROTATION = f"{TAKE_BACK}; changing this secret of a running cluster is not supported yet"
NO_ARCHIVING = "no_archiving"
BACKUP_REPOSITORY = "backup_repository"
BACKUP_RETENTION = "backup_retention"
PUSH = "/usr/local/lib/holdfast/pgbackrest-push "
NO_OPERATIONS = frozenset((":", "[", "cd", "echo", "exit", "printf", "sleep", "test", "true"))
ROLES = {secret.name: secret.sql_role for secret in SECRETS if secret.sql_role}
ENDS = {secret.name: secret.ends for secret in SECRETS if secret.ends}
"""Secrets that site.yml can change, with the components whose hosts must take part."""
UNITS = {part.name: (part.units[0], part.configuration) for part in COMPONENTS if part.configuration}
"""By component: the unit that is enabled where it is deployed, and the collection's file that the unit reads."""
LEAVES = {
    component: f"`systemctl disable --now {unit.removesuffix('.service')}` there"
    for component, (unit, _configuration) in UNITS.items()
}
LEAVES["etcd"] += " and `etcdctl member remove` with its id in `etcdctl member list`"
KINDS = (NO_ARCHIVING, BACKUP_REPOSITORY, BACKUP_RETENTION, *(f"{component}_members" for component in UNITS))


@dataclass(frozen=True)
class Host:
    """A host of the inventory: what the topology derived, its evaluated variables, and what is deployed.

    deployed is None for a host that was not examined: excluded by --limit, or unreachable.
    """

    name: str
    ha: Mapping[str, Any]
    variables: Mapping[str, Any] = field(default_factory=dict)
    deployed: Deployed | None = None


@dataclass(frozen=True)
class Difference:
    """A difference between the deployed and the declared state; word confirms it, None where nothing can."""

    host: str
    variable: str
    text: str
    fix: str
    word: str | None = None

    def finding(self, accepted: Sequence[str]) -> HostFinding:
        """Return the finding to report: an error, or a warning once it is confirmed."""
        if self.word in accepted:
            return HostFinding(self.host, Finding(self.variable, self.text, "confirmed", WARNING))
        fix = f"{self.fix}; if it is intended: -e preflight_accept={self.word}" if self.word else self.fix
        return HostFinding(self.host, Finding(self.variable, self.text, fix))


def judge(hosts: Sequence[Host], *, whole: bool, accept: Sequence[str] = ()) -> list[HostFinding]:
    """Return the changes that must not be made, and each word of confirmation that matches no possible change.

    whole: the run covers all parts of the clusters, so that it can change a secret at both its ends.
    """
    found: list[Difference] = []
    for name in dict.fromkeys(host.ha["cluster"] for host in hosts):
        members = [host for host in hosts if host.ha["cluster"] == name]
        found += judge_cluster(members, whole=whole)
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


def judge_cluster(hosts: Sequence[Host], *, whole: bool) -> list[Difference]:
    """Return all differences of one cluster."""
    seen = [(host, host.deployed) for host in hosts if host.deployed is not None]
    alone = [difference for host, deployed in seen for judge_one in JUDGES for difference in judge_one(host, deployed)]
    return [*alone, *judge_members(seen), *judge_adverts(hosts), *judge_kept(seen), *judge_ends(hosts, whole=whole)]


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


def own_addresses(hosts: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the source addresses of the hosts, those of VRRP included, from their C(ha)."""
    addresses: set[str] = set()
    for ha in hosts:
        instances = (ha.get("vrrp") or {}).get("instances", ())
        addresses |= {ha["address"], *(item["source"] for item in instances if item.get("source"))}
    return addresses


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
    own = _mapping(host.variables.get("etcd_settings"))
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


def etcd_directory(etcd: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
    """Return where etcd keeps its data, unless etcd_settings say otherwise."""
    return str(variables.get("etcd_data_directory") or f"/var/lib/etcd/{etcd['token']}")


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


def _path(text: Any) -> str:
    return str(PurePosixPath(str(text)))


def _changed(host: Host, pairs: Mapping[str, tuple[Any, Any]]) -> Iterator[Difference]:
    for variable, (found, wished) in pairs.items():
        if found != wished:
            text = f"found {found}, declared {wished}: the member's data and the other members know the former"
            yield Difference(host.name, variable, text, f"{TAKE_BACK}; this can't be changed on a member with data")


def judge_data(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield declared settings that can't run a data directory, or that only initdb applies."""
    data = deployed.postgresql
    if data is None or "postgresql" not in host.ha["components"]:
        return
    version = str(host.variables.get("patroni_postgresql_version") or "")
    if version and version != data.version:
        text = f"{data.data_directory} is of PostgreSQL {data.version}, declared {version}"
        fix = f'{TAKE_BACK}, or set patroni_postgresql_version: "{data.version}"; upgrades are not supported yet'
        yield Difference(host.name, "patroni_postgresql_version", text, fix)
    for variable, found in (("patroni_encoding", data.encoding), ("patroni_locale", data.locale)):
        wished = host.variables.get(variable)
        if found and wished is not None and _plain(found) != _plain(str(wished)):
            text = f"the cluster was made with {found}, declared {wished}: only a new cluster takes it"
            yield Difference(host.name, variable, text, TAKE_BACK)


def _plain(name: str) -> str:
    return name.lower().replace("-", "")


def judge_archiving(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield where an archiving cluster would discard its WAL, or send it elsewhere than to its backups."""
    data = deployed.postgresql
    if data is None or "postgresql" not in host.ha["components"] or host.ha["backup"]:
        return
    found = archiver(asdict(data))
    wished = wished_parameters(host.variables)
    kept, served = archiver(wished), data.archive_command.startswith(PUSH)
    if not found or (kept and not served):
        return
    then = kept or ("archive_mode = off" if is_off(wished) else f"archive_command = {wished['archive_command']}")
    lost = "no WAL would follow the backups in the repository" if kept else "WAL would be thrown away"
    variable, fix = f"patroni_parameters.{then.partition(' ')[0]}", TAKE_BACK
    if served:
        variable, fix = "group backup", "put the backup host back into the group backup"
    text = f"found {mask_line(found)}, declared {mask_line(then)} and no backup host: {lost}"
    yield Difference(host.name, variable, text, fix, f"{NO_ARCHIVING}:{host.ha['cluster']}")


def wished_parameters(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the declared parameters of PostgreSQL in lower case, without those that the role patroni sets."""
    dynamic = _mapping(_mapping(variables.get("patroni_dynamic_configuration")).get("postgresql"))
    own = (_mapping(variables.get("patroni_parameters")), _mapping(dynamic.get("parameters")))
    given = {str(name).lower(): value for parameters in own for name, value in parameters.items()}
    return {"archive_mode": "on", "archive_command": "/bin/true", **given}


def _mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, {} for any other value, which another check refuses."""
    return value if isinstance(value, Mapping) else {}


def archiver(parameters: Mapping[str, Any]) -> str:
    """Return the parameter that archives WAL, with its value; "" where no WAL is kept."""
    library, command = (str(parameters.get(f"archive_{name}") or "") for name in ("library", "command"))
    if is_off(parameters):
        return ""
    if library:
        return f"archive_library = {library}"
    return "" if keeps_nothing(command) else f"archive_command = {command}"


def is_off(parameters: Mapping[str, Any]) -> bool:
    """Return whether PostgreSQL archives nothing at all."""
    return str(parameters["archive_mode"] or "off").lower() in {"off", "false", "no", "0"}


def keeps_nothing(command: str) -> bool:
    """Return whether a shell command can't archive: it does not take the file's name, or does nothing with it."""
    command = re.sub(r"\d?>+\s*(&\d|/dev/null)", "", command)
    if not re.search("%[pf]", command):
        return True
    words = command.split()
    does_nothing = PurePosixPath(words[0]).name in NO_OPERATIONS or words[-1] == "/dev/null"
    return does_nothing and not re.search(r"[;&|`<>\n]|\$\(", command)


def judge_repositories(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield where backups would start over in another place, or the host has those of another cluster."""
    found, wished = deployed.pgbackrest, host.ha["backup"]
    if found is None or not wished or not wished["kinds"]:
        return
    if found.stanza != wished["stanza"]:
        text = f"pgBackRest serves the stanza {found.stanza} here, declared {wished['stanza']}"
        fix = f"{TAKE_BACK}, a cluster can't be renamed; or give the hosts of {found.stanza} back to it"
        yield Difference(host.name, "clusters", text, fix)
        return
    word = f"{BACKUP_REPOSITORY}:{host.ha['cluster']}"
    elsewhere = set() if "repository" in wished["kinds"] else {wished["repository"]["address"]}
    lost = set(found.hosts) - elsewhere
    if lost:
        text = f"found the repository on {', '.join(sorted(lost))}, declared {wished['repository']['address']}"
        fix = f"{TAKE_BACK}: the backups and the WAL there would not be used any more"
        yield Difference(host.name, "group backup", text, fix, word)
    places = [repository["place"] for repository in wished_repositories(host.variables)]
    gone = [item for item in found.places if item not in places]
    if gone:
        text = f"found a repository in {', '.join(gone)}, declared {', '.join(places)}"
        fix = f"{TAKE_BACK}: the backups and the WAL there would not be used any more"
        yield Difference(host.name, _repository_variable(host), text, fix, word)


def judge_retention(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield where the next backup would expire backups or WAL that are kept now."""
    found, wished = deployed.pgbackrest, host.ha["backup"]
    if found is None or not wished or "repository" not in wished["kinds"]:
        return
    word = f"{BACKUP_RETENTION}:{host.ha['cluster']}"
    for repository in wished_repositories(host.variables):
        after = repository["retention"]
        before = found.retention.get(repository["place"], after)
        for kind in keeps_less(before, after):
            old, new = (one.get(kind.replace("_", "-")) or "all" for one in (before, after))
            text = f"found {old}, declared {new}: the next backup would expire backups or WAL that are kept now"
            yield Difference(host.name, repository["retention_variable"] + kind, text, TAKE_BACK, word)


def keeps_less(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the options of RETENTION with which a repository would keep less, or count differently."""
    if before.get("full-type", "count") != after.get("full-type", "count"):
        return ["full_type"]
    counts = {kind: [_count(one.get(kind, "")) for one in (before, after)] for kind in RETENTION[1:]}
    return [kind for kind, (old, new) in counts.items() if new < old]


def _count(text: str) -> float:
    return int(text) if text.isdecimal() and int(text) else math.inf


def _repository_variable(host: Host) -> str:
    several = "pgbackrest_repositories"
    return several if host.variables.get(several) else "pgbackrest_repository_path"


def judge_jobs(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield where the next run of a backup job would remove snapshots that are kept now."""
    for job in (job for job in host.variables.get("backup_jobs") or () if isinstance(job, Mapping)):
        before = deployed.kept.get(str(job.get("name")))
        key = "keep_newest" if job.get("kind") == "etcd_snapshot" else "keep"
        after = job.get(key) or DEFAULTS[key]
        if before is not None and keeps_fewer(before, after):
            text = f"found {before}, declared {after}: the next run would remove snapshots that are kept now"
            word = f"{BACKUP_RETENTION}:{host.ha['cluster']}"
            yield Difference(host.name, f"backup_jobs[{job['name']}].{key}", text, TAKE_BACK, word)


def keeps_fewer(before: Any, after: Any) -> bool:
    """Return whether a job would keep fewer snapshots, by number or by those of each period; {} keeps all."""
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return isinstance(before, int) and str(after).isdecimal() and int(after) < before
    counts = {period: int(count) for period, count in after.items() if str(count).isdecimal() and int(count)}
    return bool(counts) and (not any(before.values()) or any(counts.get(key, 0) < old for key, old in before.items()))


def judge_directories(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield directories that would change their owner although others use them."""
    for variable, told in deployed.taken.items():
        yield Difference(host.name, variable, told, "name a directory of its own")


def judge_emptied(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield repositories that would be created again although they received backups before."""
    if deployed.emptied and host.ha["backup"]:
        text = f"backups were made to {', '.join(deployed.emptied)}, which holds none of the stanza now"
        fix = "mount its volume"
        word = f"{BACKUP_REPOSITORY}:{host.ha['cluster']}"
        yield Difference(host.name, "pgbackrest_repository_path", text, fix, word)


def judge_components(host: Host, deployed: Deployed) -> Iterator[Difference]:
    """Yield each component that is enabled on a host which is no longer in its group."""
    for component in deployed.components:
        if component not in host.ha["components"]:
            text = f"{component} is enabled on {host.name}, which is not in the group"
            fix = f"put it back, or {LEAVES[component]}"
            yield Difference(host.name, f"group {component}", text, fix, f"{component}_members:{host.ha['cluster']}")


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


def judge_members(seen: Sequence[tuple[Host, Deployed]]) -> Iterator[Difference]:
    """Yield the members that etcd or Patroni has and the inventory lacks."""
    for component, service, undeclared in (
        ("etcd", "etcd", etcd_strangers),
        ("postgresql", "Patroni", patroni_strangers),
    ):
        told = {name: host for host, deployed in reversed(seen) for name in undeclared(host, deployed)}
        for name, host in sorted(told.items()):
            text = f"{service} has the member {name}, which the inventory lacks"
            fix = f"put the host back, or {LEAVES[component]}"
            word = f"{component}_members:{host.ha['cluster']}"
            yield Difference(host.name, f"group {component}", text, fix, word)


def judge_adverts(hosts: Sequence[Host]) -> Iterator[Difference]:
    """Yield the balancers' VRRP peers that are not hosts of the inventory."""
    declared = own_addresses(host.ha for host in hosts)
    told = {address: host for host in reversed(hosts) if host.deployed for address in host.deployed.vrrp_peers}
    for address, host in sorted(told.items()):
        text = f"{address} is a VRRP peer of {host.name} but not a host of the inventory: it may hold virtual IPs"
        fix = f"put the host back, or {LEAVES['keepalived']}"
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


def judge_kept(seen: Sequence[tuple[Host, Deployed]]) -> Iterator[Difference]:
    """Yield the changed secrets that a run would write at one end only."""
    for name in dict.fromkeys(name for _host, deployed in seen for name in deployed.secrets):
        verdicts = [(host, deployed.secrets[name]) for host, deployed in seen if name in deployed.secrets]
        variable = name if name.startswith("pgbackrest_repositories") else f"ha_secrets.{name}"
        if name not in ENDS and (told := why_refused(name, [verdict for _host, verdict in verdicts])):
            yield Difference(verdicts[0][0].name, variable, *told)


def why_refused(name: str, verdicts: Sequence[Verdict]) -> tuple[str, str] | None:
    """Return a secret's problem and fix, or None; a value that a running service accepts is right."""
    accepted = [verdict.accepted for verdict in verdicts if verdict.accepted is not None]
    stored = combined(verdict.stored for verdict in verdicts)
    if any(accepted) or (not accepted and stored is not False):
        return None
    if not accepted:
        return "differs from the deployed one, and no running service accepts it", NO_ROTATION
    if stored and name in ROLES:
        return (
            "is what all members have, but the role's password in the database is another: no new session can log in",
            f"set it on the primary, as root: psql -U postgres, then \\password and the role ({ROLES[name]})",
        )
    return "is not the one in use, and a run would change it on one side only", NO_ROTATION


def judge_ends(hosts: Sequence[Host], *, whole: bool) -> Iterator[Difference]:
    """Yield the changed secrets that site.yml would change, but this run not at all of their ends."""
    for name, ends in ENDS.items():
        holders = [host for host in hosts if set(ends) & set(host.ha["components"])]
        verdicts = {host.name: host.deployed.secrets.get(name, Verdict()) for host in holders if host.deployed}
        changed = [host for host, verdict in verdicts.items() if verdict.stored is False and not verdict.accepted]
        absent = [host.name for host in holders if host.deployed is None]
        if changed and absent:
            text = f"differs from the deployed one, and {', '.join(absent)} can't follow"
            yield Difference(changed[0], f"ha_secrets.{name}", text, f"{TAKE_BACK} until all hosts take part in a run")
        elif changed and not whole:
            text = "differs from the deployed one, which part of the cluster would keep"
            yield Difference(changed[0], f"ha_secrets.{name}", text, "run site.yml, which changes it everywhere")


def wished_repositories(variables: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the repositories as the role pgbackrest writes them, with the variables of their passphrase and retention.

    variables: evaluated, with the role's defaults.
    """
    common = str((variables.get("ha_secrets") or {}).get("pgbackrest_cipher", ""))
    listed = variables.get("pgbackrest_repositories")
    found = []
    for number, given in enumerate(listed or [{}]):
        kind = str(given.get("type") or "posix")
        own = given.get("cipher_pass")
        shared = not own and kind == "posix"
        cipher_type = str(given.get("cipher_type") or variables.get("pgbackrest_cipher_type", ""))
        passphrase = common if shared else str(own or "")
        element = f"pgbackrest_repositories[{number}]."
        options = repository_options(given, variables)
        found.append(
            {
                "variable": "pgbackrest_cipher" if shared else f"{element}cipher_pass",
                "type": options["type"],
                "path": options["path"],
                "path_variable": f"{element}path" if given.get("path") else "pgbackrest_repository_path",
                "place": place(options),
                "retention": retention(options),
                "retention_variable": f"{element if listed else 'pgbackrest_'}retention_",
                "cipher_type": cipher_type,
                "cipher_pass": "" if cipher_type == "none" else passphrase.strip(),  # as pgBackRest reads it
            }
        )
    return found


def repository_options(given: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, str]:
    """Return an element of pgbackrest_repositories as pgBackRest's options, without their prefix repoN-."""
    names = {"sftp_port": "sftp-host-port"}
    common = {f"retention_{kind}": variables.get(f"pgbackrest_retention_{kind}", "") for kind in RETENTION}
    common |= {"type": "posix", "path": variables.get("pgbackrest_repository_path", "")}
    declared = common | {key: value for key, value in given.items() if value is not None and key != "options"}
    more = given.get("options") if variables.get("pgbackrest_repositories") else variables.get(ONLY_OPTIONS)
    options = {names.get(key, key.replace("_", "-")): str(value) for key, value in declared.items()}
    return options | {str(key).removeprefix("repo1-"): str(value) for key, value in (more or {}).items()}


def wished(host: Host) -> dict[str, Any]:
    """Return what holdfast.ha.deployed_info compares on the host itself."""
    backup, postgresql, tls = host.ha["backup"] or {}, host.ha["postgresql"] or {}, host.ha["tls"]
    return {
        "secrets": {name: str(value) for name, value in (host.variables.get("ha_secrets") or {}).items()},
        "data_directory": postgresql.get("data_directory", ""),
        "stanza": backup.get("stanza", ""),
        "repositories": wished_repositories(host.variables) if "repository" in backup.get("kinds", ()) else [],
        "tls": {"ca": tls["ca"], "cert": tls["client_cert"], "key": tls["key"]},
        "units": UNITS,
        "etcd_users": ETCD_USERS,
        "stored": {secret.name: secret.stored for secret in SECRETS if secret.stored},
        "sql_roles": {secret: SQL_ROLES[variable] for secret, variable in ROLES.items()},
    }


def host_of(name: str, variables: Mapping[str, Any], root: Path, seen: Mapping[str, Any] | None = None) -> Host:
    """Return a host from its variables, evaluated when they are read, and the result of holdfast.ha.deployed_info.

    root: the collection's directory, which has the roles' defaults.
    """
    told = (seen or {}).get("deployed")
    deployed = Deployed.load(told) if told else None
    given: dict[str, Any] = {key: role_defaults(root, "pgbackrest").get(key) for key in VARIABLES}
    if deployed:
        platforms = _read(root / "roles" / "patroni" / "vars" / "main.yml")["patroni__platforms"]
        given["patroni_postgresql_version"] = platforms.get(deployed.system, {}).get("postgresql")
    for key in (key for key in VARIABLES if key in variables):
        try:
            given[key] = _evaluated(variables[key])
        except AnsibleUndefinedVariable:
            continue
        except AnsibleError:  # The error would show a secret that is not a template. The variable's user reports it.
            given[key] = None
    return Host(name, variables["ha"], {key: value for key, value in given.items() if value is not None}, deployed)


def _evaluated(value: Any) -> Any:
    """Return a variable and everything in it, which is evaluated when it is read."""
    if isinstance(value, Mapping):
        return {key: _evaluated(value[key]) for key in value}
    return [_evaluated(item) for item in value] if isinstance(value, list) else value


@cache
def _read(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return data
