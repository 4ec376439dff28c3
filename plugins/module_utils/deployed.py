# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is deployed on a host of a cluster, read from its files and its services' answers: nothing here does I/O."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

MARK = "Managed by Ansible"
AUTHENTICATION = ("superuser", "replication", "rewind")
STANDIN = "_next"
"""What follows a login's name in the name of the one that stands in for it while its password changes."""
ABSENT = frozenset({1})
OPENED = frozenset({0, 2, 3})
"""Codes of a stanza's status in pgBackRest: not there; there, with or without a backup, or missing elsewhere."""
WRONG_KEY = re.compile("CryptoError|FormatError|repo (un)?encrypted")


@dataclass(frozen=True)
class Patroni:
    """Patroni's configuration; users are the roles by their kind: superuser, replication, rewind.

    stores are the addresses of etcd's members.
    """

    scope: str
    namespace: str
    name: str
    address: str
    port: int
    rest_port: int
    data_directory: str
    users: Mapping[str, str]
    stores: tuple[str, ...] = ()


@dataclass(frozen=True)
class PostgreSql:
    """A data directory; archive_* are "" where they are not set, encoding and locale where no server answers.

    idle: Patroni runs here, and nothing below it: no server, and nothing that fills the directory.
    """

    data_directory: str
    version: str
    archive_command: str = ""
    archive_library: str = ""
    archive_mode: str = ""
    encoding: str = ""
    locale: str = ""
    idle: bool = False


@dataclass(frozen=True)
class Etcd:
    """etcd's configuration where it has data; members are {peer URL: name}, None where unknown."""

    name: str
    data_directory: str
    wal_directory: str
    client_url: str
    peer_url: str
    members: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Repository:
    """A repository that a host reads directly; place identifies it."""

    place: str
    cipher_type: str = "none"
    cipher_pass: str = field(default="", repr=False)
    retention: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PgBackRest:
    """pgBackRest's configuration: hosts are those of repositories that others keep, places those that are read here.

    retention: by place the options repoN-retention-*, without this prefix, where backups expire by this host's.
    """

    stanza: str
    hosts: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    retention: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """A desired secret: whether the host has stored it, and whether the service accepts it; None when unknown.

    A host that uses a login's stand-in has not stored it. C(standin): whether the service has this login; C(foreign):
    whether that has another password. C(former): whether the service accepts the secret's former value.
    """

    stored: bool | None = None
    accepted: bool | None = None
    standin: bool | None = None
    foreign: bool | None = None
    former: bool | None = None


@dataclass(frozen=True)
class Deployed:
    """A host's observed state. components are those whose unit is enabled; patroni_members None where Patroni doesn't
    answer.

    system is the distribution with its release, as the role patroni writes it. vrrp_peers are the addresses of
    keepalived's peers here, and of other senders of VRRP adverts. taken has by variable the present user of a desired
    directory; kept by backup job how many it keeps, or how many of each period, {} for all. emptied are the paths of
    repositories that had backups of the stanza and no longer know it. trusted are the authorities that services trust,
    as PEM; keeps says whether the host's certificate is from one that they are to trust, None where it is of no use
    anyway.
    """

    patroni: Patroni | None = None
    postgresql: PostgreSql | None = None
    etcd: Etcd | None = None
    pgbackrest: PgBackRest | None = None
    components: tuple[str, ...] = ()
    patroni_members: tuple[str, ...] | None = None
    secrets: Mapping[str, Verdict] = field(default_factory=dict)
    system: str = ""
    vrrp_peers: tuple[str, ...] = ()
    taken: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, int | Mapping[str, int]] = field(default_factory=dict)
    emptied: tuple[str, ...] = ()
    trusted: str = ""
    keeps: bool | None = None

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Deployed:
        """Return what asdict() made plain."""
        patroni, backup, members = data["patroni"], data["pgbackrest"], data["patroni_members"]
        return cls(
            patroni=Patroni(**patroni | {"stores": tuple(patroni["stores"])}) if patroni else None,
            postgresql=PostgreSql(**data["postgresql"]) if data["postgresql"] else None,
            etcd=Etcd(**data["etcd"]) if data["etcd"] else None,
            pgbackrest=PgBackRest(
                backup["stanza"], tuple(backup["hosts"]), tuple(backup["places"]), dict(backup["retention"])
            )
            if backup
            else None,
            components=tuple(data["components"]),
            patroni_members=None if members is None else tuple(members),
            secrets={name: Verdict(**verdict) for name, verdict in data["secrets"].items()},
            system=data["system"],
            vrrp_peers=tuple(data["vrrp_peers"]),
            taken=dict(data["taken"]),
            kept=dict(data["kept"]),
            emptied=tuple(data["emptied"]),
            trusted=data["trusted"],
            keeps=data["keeps"],
        )


def parse_patroni(config: Any) -> Patroni | None:
    """Return the parsed configuration of Patroni, None for one that this collection did not write."""
    try:
        rest = urlsplit(f"//{config['restapi']['connect_address']}")
        served = urlsplit(f"//{config['postgresql']['connect_address']}")
        login = config["postgresql"]["authentication"]
        return Patroni(
            scope=str(config["scope"]),
            namespace=str(config["namespace"]),
            name=str(config["name"]),
            address=served.hostname or "",
            port=served.port or 0,
            rest_port=rest.port or 0,
            data_directory=str(config["postgresql"]["data_dir"]),
            users={kind: str(login[kind]["username"]).removesuffix(STANDIN) for kind in AUTHENTICATION},
            stores=_addresses((config.get("etcd3") or {}).get("hosts") or ()),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _addresses(hosts: str | Iterable[str]) -> tuple[str, ...]:
    """Return the addresses of hosts with ports, as Patroni takes them: a list, or a text with commas."""
    listed = hosts.split(",") if isinstance(hosts, str) else hosts
    return tuple(re.sub(r":\d+$", "", str(host).strip()).strip("[]") for host in listed)


Login = tuple[str, str]
"""A name and its password."""


def patroni_logins(config: Any) -> dict[str, Login]:
    """Return the logins in a configuration that parse_patroni() takes, by the names of ha_secrets."""
    login = config["postgresql"]["authentication"]
    found = {f"postgresql_{kind}": login[kind] for kind in AUTHENTICATION}
    found["patroni_rest"] = config["restapi"].get("authentication") or {}
    found["etcd_patroni"] = config.get("etcd3") or {}
    return {
        name: (str(part.get("username", "")), str(part["password"]))
        for name, part in found.items()
        if part.get("password") is not None
    }


def parse_archiving(configuration: str) -> dict[str, str]:
    """Return what the postgresql.conf that Patroni writes has of archive_command, archive_library and archive_mode."""
    found = re.findall(r"^(archive_(?:command|library|mode)) = '((?:[^']|'')*)'", configuration, re.MULTILINE)
    return {name: value.replace("''", "'") for name, value in found}


def parse_version(text: str) -> str:
    """Return the version in a PG_VERSION, "" when it holds none."""
    match = re.fullmatch(r"\d+(\.\d+)?", text.strip())
    return match[0] if match else ""


def parse_environment(text: str) -> dict[str, str]:
    """Return the variables of an environment file."""
    pairs = (line.partition("=") for line in text.splitlines() if not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, separator, value in pairs if separator}


def wal_directory(settings: Mapping[str, Any]) -> str:
    """Return where etcd keeps its write-ahead log by its settings, "" where they name no data directory."""
    own, data = settings.get("ETCD_WAL_DIR"), settings.get("ETCD_DATA_DIR")
    return str(PurePosixPath(own or f"{data}/member/wal")) if data else ""


def parse_pgbackrest(text: str) -> tuple[PgBackRest, tuple[Repository, ...]] | None:
    """Return what a pgbackrest.conf says, and the repositories that the host reads directly; None without a stanza."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",), comment_prefixes=("#",))
    try:
        parser.read_string(text)
    except configparser.Error:
        return None
    stanzas = [name for name in parser.sections() if name.partition(":")[0] != "global"]
    if not stanzas:
        return None
    options = dict(parser["global"]) if parser.has_section("global") else {}
    direct = tuple(_repository(options, number) for number in _numbers(options, "path"))
    hosts = tuple(options[f"repo{number}-host"] for number in _numbers(options, "host"))
    places = tuple(repository.place for repository in direct)
    retention = {repository.place: repository.retention for repository in direct if "full" in repository.retention}
    return PgBackRest(stanzas[0], hosts, places, retention), direct


def _numbers(options: Iterable[str], key: str) -> list[int]:
    found = (re.fullmatch(rf"repo(\d+)-{key}", option) for option in options)
    return sorted(int(match[1]) for match in found if match)


def _repository(options: Mapping[str, str], number: int) -> Repository:
    prefix = f"repo{number}-"
    own = {"type": "posix"} | {
        key.removeprefix(prefix): value for key, value in options.items() if key.startswith(prefix)
    }
    return Repository(
        place=place(own),
        cipher_type=own.get("cipher-type", "none"),
        cipher_pass=own.get("cipher-pass", ""),
        retention=retention(own),
    )


def place(options: Mapping[str, Any]) -> str:
    """Return what identifies a repository: its path, and for a remote one its type, server and bucket.

    options: pgBackRest's, without their prefix repoN-.
    """
    kind, path = options["type"], str(options["path"]).rstrip("/")
    if kind == "posix":
        return path
    where = {
        "s3": (_s3_server(options), options.get("s3-bucket")),
        "sftp": (options.get("sftp-host"), options.get("sftp-host-port") or 22),
        "azure": (options.get("azure-account"), options.get("azure-container")),
        "gcs": (options.get("gcs-bucket"),),
    }
    return ":".join(map(str, (kind, *where.get(kind, ()), path)))


def retention(options: Mapping[str, Any]) -> dict[str, str]:
    """Return what says how much of a repository is kept, without the prefix retention-, of options as place() takes."""
    prefix = "retention-"
    return {key.removeprefix(prefix): str(value) for key, value in options.items() if key.startswith(prefix)}


def _s3_server(options: Mapping[str, Any]) -> str:
    """Return host and port as pgBackRest connects to them."""
    endpoint = str(options.get("s3-endpoint", "")).lower().rpartition("://")[2].rstrip("/")
    host, port = re.findall(r"^(.*?)(?::(\d+))?$", endpoint, re.DOTALL)[0]
    return f"{options.get('storage-host') or host}:{options.get('storage-port') or port or 443}"


def parse_stored(path: str, text: str) -> list[Login]:
    """Return the logins in a service's file: a JSON document, HAProxy's or PgBouncer's."""
    if path.endswith(".json"):
        return parse_access(text)
    if path.endswith(".cfg"):
        found = re.findall(r"^ *user (\S+) insecure-password '((?:[^'\n]|'\\'')*)'$", text, re.MULTILINE)
        return [(name, password.replace("'\\''", "'")) for name, password in found]
    found = re.findall(r'^"((?:[^"]|"")*)" "((?:[^"]|"")*)"$', text, re.MULTILINE)
    return [(name, password.replace('""', '"')) for name, password in found]


def parse_access(text: str) -> list[Login]:
    """Return the login by which a service, or a backup job of etcd's, accesses another one, [] without one."""
    try:
        document = json.loads(text)
        access = document["settings"] if document.get("kind") == "etcd_snapshot" else document["access"]
        return [(str(access["username"]), str(access["password"]))] if access["password"] else []
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def parse_page(text: str) -> tuple[str, str] | None:
    """Return the address of HAProxy's statistics page and the user it asks for, None where it asks for none."""
    page = re.search(r"^frontend stats\n(?:[ \t].*\n)*?[ \t]+bind (\S+)", text, re.MULTILINE)
    login = parse_stored("haproxy.cfg", text)
    return (page[1], login[0][0]) if page and login else None


def is_stored(secret: str, logins: Iterable[Login]) -> bool:
    """Return whether a host logs in with a secret everywhere, and nowhere by a stand-in."""
    return all(password == secret and not name.endswith(STANDIN) for name, password in logins)


def parse_job(text: str) -> dict[str, Any]:
    """Return by its name how many snapshots a backup job keeps, {} for one that keeps none or can't be read."""
    try:
        document = json.loads(text)
        return {str(document["name"]): document["settings"]["keep"]}
    except (ValueError, KeyError, TypeError):
        return {}


def opens(information: str) -> bool | None:
    """Return by the answer of ``pgbackrest info`` whether a passphrase opens a repository, None for an empty one."""
    try:
        documents = json.loads(information, strict=False)
        status = (documents[0].get("repo") or documents)[0]["status"]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return None
    if status["code"] in OPENED:
        return True
    return False if status["code"] not in ABSENT and WRONG_KEY.search(status["message"]) else None


def is_empty(information: str) -> bool:
    """Return by the answer of ``pgbackrest info`` whether a repository does not know the stanza."""
    try:
        documents = json.loads(information, strict=False)
        return (documents[0].get("repo") or documents)[0]["status"]["code"] in ABSENT
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return False


def backup_log(configuration: str, stanza: str) -> str:
    """Return the path of pgBackRest's log of a stanza's backups, "" where its configuration names no log directory."""
    found = re.search(r"^log-path=(.+)$", configuration, re.MULTILINE)
    return f"{found[1].strip()}/{stanza}-backup.log" if found else ""


def backed_up_to(log: str, path: str) -> bool:
    """Return by pgBackRest's log whether a backup was completed in the repository in a directory."""
    for backup in log.split("backup command begin ")[1:]:
        options, _newline, rest = backup.partition("\n")
        number = re.search(r"--repo=(\d+)", options)
        into = f"--repo{number[1] if number else 1}-path={path}"
        if into in options.split() and "backup command end: completed successfully" in rest:
            return True
    return False


def combined(verdicts: Iterable[bool | None]) -> bool | None:
    """Return False when one is, else True when one is, None when nothing is known."""
    known = {verdict for verdict in verdicts if verdict is not None}
    return min(known) if known else None
