# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads what is deployed on this host."""

from __future__ import annotations

import os
import pwd
import stat
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils import certificate_proof, deployed
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import EtcdClient, Tls
from ansible_collections.holdfast.ha.plugins.module_utils.host_preflight import parse_os_release
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.login_trial import (
    Trials,
    Values,
    each,
    merged,
    try_console,
    try_etcd,
    try_page,
    try_rest,
    try_roles,
)
from ansible_collections.holdfast.ha.plugins.module_utils.places import Access, Account, whose
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import ask, psycopg2
from ansible_collections.holdfast.ha.plugins.module_utils.url import https_url
from ansible_collections.holdfast.ha.plugins.module_utils.vrrp import parse_peers, strangers

try:
    import yaml
except ImportError:  # comes with Patroni
    yaml = None  # type: ignore[assignment]

PATRONICTL = "/root/.config/patroni/patronictl.yaml"
PGBACKREST = "/etc/pgbackrest.conf"
JOBS = Path("/etc/holdfast/jobs")
WANTS = Path("/etc/systemd/system/multi-user.target.wants")
LARGEST = 2**20
SECONDS = 3.0
SERVER = """
    SELECT (SELECT json_object_agg(rolname, rolpassword) FROM pg_authid WHERE rolname = ANY(%s)),
           pg_encoding_to_char(encoding), datcollate
    FROM pg_database WHERE datname = 'template0'
"""


class BlindError(Exception):
    """The observed state can't be read; the message says why, and the fix."""


class Server(NamedTuple):
    """What a server returns: its stored passwords, by role; encoding and locale of new databases."""

    passwords: Mapping[str, str | None]
    encoding: str
    locale: str


class Unit(NamedTuple):
    """A component's unit and the collection's file that it reads."""

    name: str = ""
    configuration: str = ""


def read(path: str) -> str:
    """Return a regular file's text, "" for anything else: some lie in directories in which other users can create
    files."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="utf-8", errors="replace") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return file.read(LARGEST)
    return ""


def patroni_config(path: str) -> Any:
    """Return Patroni's configuration, or its copy for patronictl; None where there is none that can be read."""
    for text in filter(None, map(read, (path, PATRONICTL))):
        if yaml is None:
            raise BlindError(f"{sys.executable} lacks PyYAML: set ansible_python_interpreter to /usr/bin/python3")
        with suppress(yaml.YAMLError):
            config = yaml.safe_load(text)
            if deployed.parse_patroni(config):
                return config
    return None


def postgresql(directory: str, unit: str) -> deployed.PostgreSql | None:
    """Return the state of a data directory by its files, None for other directories."""
    version = deployed.parse_version(read(f"{directory}/PG_VERSION"))
    archiving = deployed.parse_archiving(read(f"{directory}/postgresql.conf"))
    idle = len(processes_of(unit)) == 1
    return deployed.PostgreSql(directory, version, **archiving, idle=idle) if version else None


def processes_of(unit: str) -> list[int]:
    """Return the processes in a unit's control group."""
    groups = {path.parent.name: read(str(path)) for path in Path("/proc").glob("[0-9]*/cgroup")}
    return [int(process) for process, group in groups.items() if f"/{unit}" in group]


def with_standins(logins: Iterable[str]) -> list[str]:
    """Return the names of logins, and of those that may stand in for them."""
    return [name for login in logins for name in (login, f"{login}{deployed.STANDIN}")]


def ask_server(config: Any, patroni: deployed.Patroni, roles: Iterable[str]) -> Server | None:
    """Return the answer of this host's server, None without one."""
    settings = {
        "host": (config["postgresql"].get("parameters") or {}).get("unix_socket_directories", "/var/run/postgresql"),
        "port": patroni.port,
        "user": patroni.users["superuser"],
        "dbname": "postgres",
    }
    with suppress(psycopg2.Error, TimeoutError):
        (passwords, encoding, locale), *_rest = ask(settings, SERVER, (list(roles),), SECONDS)
        return Server(passwords or {}, encoding, locale)
    return None


def etcd(path: str) -> deployed.Etcd | None:
    """Return etcd's configuration, None where it has no data."""
    settings = deployed.parse_environment(read(path))
    wal = deployed.wal_directory(settings)
    if not wal or not any(Path(wal).glob("*.wal")):
        return None
    return deployed.Etcd(
        name=settings.get("ETCD_NAME", ""),
        data_directory=settings["ETCD_DATA_DIR"],
        wal_directory=wal,
        client_url=settings.get("ETCD_ADVERTISE_CLIENT_URLS", ""),
        peer_url=settings.get("ETCD_INITIAL_ADVERTISE_PEER_URLS", ""),
    )


def ask_etcd(
    found: deployed.Etcd, tls: Tls, users: Mapping[str, str], values: Values
) -> tuple[dict[str, str] | None, Trials]:
    """Return the members {peer URL: name}, None if unknown, and what etcd says of its users."""
    client = EtcdClient(tls.client(f"https://127.0.0.1:{urlsplit(found.client_url).port}", SECONDS))
    trials = Trials()
    try:
        trials, admin = try_etcd(client, users, values)
        return {url: member.name for member in admin.members() for url in member.peer_urls}, trials
    except (EndpointError, OSError, ValueError):
        return None, trials


def patroni_members(found: deployed.Patroni, tls: Tls) -> tuple[str, ...] | None:
    """Return the names of the members that Patroni here knows, None when it doesn't answer."""
    try:
        answer = tls.client(https_url(found.address, found.rest_port), SECONDS).request("GET", "/cluster")
        return tuple(sorted(str(member["name"]) for member in answer["members"]))
    except (EndpointError, OSError, ValueError, KeyError, TypeError):
        return None


def taken_directories(directories: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Return by variable the user of an existing directory that its desired owner can't have exclusively."""
    accounts = [Account(entry.pw_name, entry.pw_uid, entry.pw_dir) for entry in pwd.getpwall()]
    names = {account.uid: account.name for account in accounts}
    found = {}
    for item in directories:
        with suppress(OSError):
            real = os.path.realpath(item["path"])
            status = os.stat(real)  # noqa: PTH116 (text)
            access = Access(names.get(status.st_uid, str(status.st_uid)), stat.S_IMODE(status.st_mode))
            wanted = Access(item["owner"], 0o700)
            why = whose(item["path"], access, wanted, accounts) or whose(real, access, wanted, accounts)
            found[item["variable"]] = f"{item['path']} {why}" if why else ""
    return {variable: why for variable, why in found.items() if why}


def vrrp_peers(module: AnsibleModule, path: str) -> tuple[str, ...]:
    """Return keepalived's peers here, and other senders of VRRP adverts."""
    return tuple(sorted({*parse_peers(read(path)), *strangers(module)}))


def components(units: Mapping[str, Unit]) -> tuple[str, ...]:
    """Return the components that are enabled here with the collection's configuration."""
    enabled = (
        component
        for component, unit in units.items()
        if (WANTS / unit.name).is_symlink() and deployed.MARK in read(unit.configuration)
    )
    return tuple(sorted(enabled))


def opens(module: AnsibleModule, stanza: str, repository: Mapping[str, str]) -> bool | None:
    """Try a repository on this host with the desired passphrase; None where there is nothing to try."""
    return deployed.opens(information(module, stanza, repository))


def emptied(module: AnsibleModule, wished: Mapping[str, Any], configuration: str) -> tuple[str, ...]:
    """Return the paths of repositories that have lost the stanza, for example because their volume is not mounted."""
    log = read(deployed.backup_log(configuration, wished.get("stanza", "")))
    return tuple(
        item["path"]
        for item in wished.get("repositories", ())
        if deployed.backed_up_to(log, item["path"]) and deployed.is_empty(information(module, wished["stanza"], item))
    )


def information(module: AnsibleModule, stanza: str, repository: Mapping[str, str]) -> str:
    """Return pgBackRest's information on a repository on this host, "" without a repository."""
    if repository["type"] != "posix" or not module.get_bin_path("pgbackrest"):
        return ""
    environment = {
        "LC_ALL": "C.UTF-8",
        "PGBACKREST_REPO1_PATH": repository["path"],
        "PGBACKREST_REPO1_CIPHER_TYPE": repository["cipher_type"],
    }
    if repository["cipher_type"] != "none":
        environment["PGBACKREST_REPO1_CIPHER_PASS"] = repository["cipher_pass"]
    command = ["pgbackrest", "--no-config", "--log-level-file=off", f"--stanza={stanza}", "--output=json", "info"]
    user = ["runuser", "-u", "postgres", "--"]
    _code, output, _error = module.run_command([*user, *command], environ_update=environment, cwd="/", errors="replace")
    return str(output)


def try_repositories(
    module: AnsibleModule, wished: Mapping[str, Any], stored: Iterable[deployed.Repository]
) -> dict[str, deployed.Verdict]:
    """Return what is known of the desired repositories, by the variable of their passphrase."""
    there = {repository.place: (repository.cipher_type, repository.cipher_pass) for repository in stored}
    found: dict[str, list[deployed.Verdict]] = {}
    for item in wished.get("repositories", ()):
        known = there.get(item["place"])
        same = None if known is None else known == (item["cipher_type"], item["cipher_pass"])
        found.setdefault(item["variable"], []).append(deployed.Verdict(same, opens(module, wished["stanza"], item)))
    return {
        name: deployed.Verdict(
            deployed.combined(one.stored for one in of), deployed.combined(one.accepted for one in of)
        )
        for name, of in found.items()
    }


def stored_logins(config: Any, stored: Mapping[str, str]) -> dict[str, list[deployed.Login]]:
    """Return the logins in the files of this host, by the names of ha_secrets; a path may have C(*)."""
    found = {name: [login] for name, login in deployed.patroni_logins(config).items()} if config else {}
    for name, path in stored.items():
        paths = sorted(map(str, Path(path).parent.glob(Path(path).name))) if "*" in path else [path]
        found[name] = [login for one in paths for login in deployed.parse_stored(one, read(one))]
    return {name: logins for name, logins in found.items() if logins}


def prove(
    wished: Mapping[str, Any], patroni: deployed.Patroni | None, logins: Mapping[str, Any], tls: Tls, values: Values
) -> Trials:
    """Try the logins that this host alone has: Patroni's REST interface, PgBouncer's console and HAProxy's page."""
    found = []
    if patroni:
        place, user = https_url(patroni.address, patroni.rest_port), wished["rest_user"]
        rest = replace(tls.client(place, SECONDS), username=user)
        found.append(each("patroni_rest", values, lambda value: try_rest(replace(rest, password=value))))
    if "pgbouncer" in logins and wished["console"]:
        console = wished["console"]
        found.append(each("pgbouncer", values, lambda value: try_console(console["port"], console["user"], value)))
    if page := deployed.parse_page(read(wished.get("stored", {}).get("haproxy_stats", ""))):
        client = HttpJsonClient(f"http://{page[0]}", username=page[1], timeout=SECONDS)
        found.append(each("haproxy_stats", values, lambda value: try_page(replace(client, password=value))))
    return merged(found)


def look(module: AnsibleModule, wished: Mapping[str, Any]) -> deployed.Deployed:
    """Return what is deployed on this host."""
    values = Values(wished.get("secrets", {}), wished.get("former", {}))
    tls = Tls(**{name: wished.get("tls", {}).get(name, "") for name in ("ca", "cert", "key")})
    units = {component: Unit(*unit) for component, unit in wished.get("units", {}).items()}
    unit = units.get("postgresql", Unit())
    config = patroni_config(unit.configuration)
    patroni = deployed.parse_patroni(config)
    data = postgresql(patroni.data_directory if patroni else wished.get("data_directory", ""), unit.name)
    store, trials = etcd(units.get("etcd", Unit()).configuration), Trials()
    if store:
        members, trials = ask_etcd(store, tls, wished.get("etcd_users", {}), values)
        store = replace(store, members=members)
    if patroni and data and psycopg2:
        roles = wished.get("sql_roles", {}) | {f"postgresql_{kind}": role for kind, role in patroni.users.items()}
        if server := ask_server(config, patroni, with_standins(roles.values())):
            trials.merge(try_roles(roles, server.passwords, values))
            data = replace(data, encoding=server.encoding, locale=server.locale)
    logins = stored_logins(config, wished.get("stored", {}))
    if wished.get("prove"):
        trials.merge(prove(wished, patroni, logins, tls, values))
    configuration = read(PGBACKREST)
    backup, repositories = deployed.parse_pgbackrest(configuration) or (None, ())
    return deployed.Deployed(
        patroni=patroni,
        postgresql=data,
        etcd=store,
        pgbackrest=backup,
        components=components(units),
        patroni_members=patroni_members(patroni, tls) if patroni and data else None,
        secrets={**verdicts(logins, trials, values), **try_repositories(module, wished, repositories)},
        system=system(),
        vrrp_peers=vrrp_peers(module, units.get("keepalived", Unit()).configuration),
        taken=taken_directories(wished.get("directories", ())),
        kept={name: keep for path in JOBS.glob("*.json") for name, keep in deployed.parse_job(read(str(path))).items()},
        emptied=emptied(module, wished, configuration),
        trusted=read(tls.ca),
        keeps=keeps(wished.get("certificate", ""), tls, wished.get("trusted", "")),
    )


def verdicts(
    logins: Mapping[str, Iterable[deployed.Login]], trials: Trials, values: Values
) -> dict[str, deployed.Verdict]:
    """Return what is known of each desired secret."""
    known = {*logins, *trials.accepted, *trials.former, *trials.standing} & values.desired.keys()
    return {
        name: deployed.Verdict(
            stored=deployed.is_stored(values.desired[name], logins[name]) if name in logins else None,
            accepted=trials.accepted.get(name),
            standin=trials.standing.get(name),
            foreign=trials.foreign.get(name),
            former=trials.former.get(name),
        )
        for name in sorted(known)
    }


def keeps(certificate: str, tls: Tls, trusted: str) -> bool | None:
    """Return whether the host's certificate is accepted by who trusts these authorities (PEM); None where it is not by
    who trusts those of now, or no authorities are wished for."""
    present = read(tls.ca)
    if not trusted or not present or isinstance(certificate_proof.prove(certificate, tls.key, present), str):
        return None
    return not isinstance(certificate_proof.prove(certificate, tls.key, trusted), str)


def system() -> str:
    """Return the distribution with its release, such as Debian 13."""
    name, release = parse_os_release(Path("/etc/os-release").read_text(encoding="utf-8"))
    return f"{name.capitalize()} {release}"
