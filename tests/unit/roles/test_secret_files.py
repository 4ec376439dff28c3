# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets as the readers of the roles' files find them, whatever characters they have."""

from __future__ import annotations

import json
import re
import shlex
import string
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from ansible_collections.holdfast.ha.plugins.plugin_utils.backup_jobs import Settings, plan
from ansible_collections.holdfast.ha.plugins.plugin_utils.secret_text import secret_problems

from tests.unit.plugins.plugin_utils.test_backup_jobs import COMMON, ETCD
from tests.unit.roles.render import ROLES, evaluate, render
from tests.unit.roles.test_pgbackrest import S3, inputs, options

EVERY = string.punctuation.replace("$", "")
PUNCTUATION = [f"{EVERY} {EVERY[::-1]}", "a$b$"]
EDGES = [f"{character}x{character}" for character in "\"'\\#;$%[]=:{}*&!|>?@`~"]
ASCII = [*PUNCTUATION, *EDGES, "yes", "0x1F", "1e3", "\\n%s%%{{x}}{% raw %}", "${HOME}$(id)`id`"]
WIDE = ["é", "中文ß", "\u00ad\u200d\ufeffx", "Å\u030a", "a\ufffd"]
PATRONI = {
    "ansible_facts": {"distribution": "Debian", "distribution_major_version": "13"},
    "patroni_scope": "lab",
    "patroni_name": "db1",
    "patroni_address": "192.0.2.11",
    "patroni_members": [{"name": "db1", "address": "192.0.2.11"}],
    "patroni_etcd_hosts": ["192.0.2.11:2379"],
    "patroni_memory_mb": 4096,
    "patroni_timing": {},
    "patroni__local_parameters": {},
    "patroni_etcd_username": "patroni",
}


def patroni(secret: str) -> list[str]:
    names = ("rest", "superuser", "replication", "rewind", "etcd")
    passwords = {f"patroni_{name}_password": f"{name}{secret}" for name in names}
    document = yaml.safe_load(render("patroni", "config.yml.j2", {**PATRONI, **passwords}))
    roles = document["postgresql"]["authentication"]
    found = {name: roles[name]["password"] for name in ("superuser", "replication", "rewind")}
    found |= {"rest": document["restapi"]["authentication"]["password"], "etcd": document["etcd3"]["password"]}
    return [value.removeprefix(name) for name, value in found.items()]


def pgbackrest(secret: str) -> list[str]:
    repository = {**S3, "cipher_pass": secret, "s3_key": secret, "s3_key_secret": secret}
    text = render("pgbackrest", "pgbackrest.conf.j2", inputs("db1", pgbackrest_repositories=[{}, repository]))
    # pgBackRest takes what follows the first = and drops blanks around it; only whole lines are comments or sections.
    lines = [line.partition("=") for line in text.split("\n") if line[:1] not in ("#", "[")]
    names = ("repo2-cipher-pass", "repo2-s3-key", "repo2-s3-key-secret")
    return [value.strip(" \t\r") for name, _equals, value in lines if name in names]


def pgbouncer(secret: str) -> list[str]:
    text = render("pgbouncer", "users.txt.j2", {"pgbouncer_password": secret})
    found = re.findall(r'^"(?:[^"]|"")*" "((?:[^"]|"")*)"$', text, re.MULTILINE)
    assert len(found) == len(text.splitlines()) == 2
    return [value.replace('""', '"') for value in found]


def lease_watcher(secret: str) -> list[str]:
    given = {
        "lease_watcher_scope": "lab",
        "lease_watcher_seconds": 8,
        "lease_watcher_endpoint": "https://127.0.0.1:2379",
    }
    document = json.loads(render("lease_watcher", "config.json.j2", {**given, "lease_watcher_password": secret}))
    return [document["access"]["password"]]


def haproxy(secret: str) -> list[str]:
    given = {"haproxy_pools": [], "haproxy_stats_addresses": ["*"], "haproxy_stats_password": secret}
    text = render("haproxy", "haproxy.cfg.j2", given)
    # Its quoting is that of a shell.
    (line,) = [line for line in text.split("\n") if " insecure-password " in line]
    words = shlex.split(line)
    assert words[:3] == ["user", "holdfast", "insecure-password"]
    return words[3:]


def job(secret: str) -> list[str]:
    declared = {
        "name": "a",
        "kind": "files",
        "schedule": "daily",
        "paths": ["/etc"],
        "repository": "/srv/a",
        "password": secret,
        "environment": {"TOKEN": secret},
    }
    documents = [
        json.loads(file["content"])["settings"]
        for each in (declared, {"name": "b", "kind": "etcd_snapshot", "schedule": "daily"})
        for file in plan([each], Settings("db1", COMMON, {**ETCD, "password": secret}))["files"]
        if file.get("secret")
    ]
    return [documents[0]["password"], documents[0]["environment"]["TOKEN"], documents[1]["password"]]


def alertmanager(secret: str) -> list[str]:
    given = [{"name": "a", "email": {"auth_password": secret}, "webhook": {"url": secret}}]
    document = yaml.safe_load(render("alertmanager", "alertmanager.yml.j2", {"alertmanager_receivers": given}))
    receiver = document["receivers"][1]
    return [receiver["email_configs"][0]["auth_password"], receiver["webhook_configs"][0]["url"]]


READERS: Mapping[str, tuple[Any, str]] = {
    "patroni": (patroni, "ha_secrets.postgresql_superuser"),
    "pgbackrest": (pgbackrest, "ha_secrets.pgbackrest_cipher"),
    "pgbouncer": (pgbouncer, "ha_secrets.pgbouncer"),
    "lease_watcher": (lease_watcher, "ha_secrets.etcd_lease_watcher"),
    "haproxy": (haproxy, "ha_secrets.haproxy_stats"),
    "job": (job, "ha_secrets.etcd_root"),
    "alertmanager": (alertmanager, "alertmanager_receivers"),
}


@pytest.mark.parametrize("secret", [*ASCII, *WIDE])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_not_refused_arrives_as_it_was_given(reader: str, secret: str) -> None:
    read, name = READERS[reader]
    if list(secret_problems(name, secret)):
        assert reader == "patroni", "only what it can't carry is refused"
        assert not secret.isascii()
        return
    assert {*read(secret)} == {secret}


def test_the_repository_s_own_passphrase_too() -> None:
    assert options("backup1", 1, pgbackrest_cipher_pass="a#b=c;d")["cipher-pass"] == "a#b=c;d"


POOL = {"name": "a", "port": 1, "servers": [{"name": "b", "address": "192.0.2.1"}]}


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        ({"haproxy_pools": [POOL]}, False),
        ({"haproxy_pools": [{**POOL, "frontend_options": [], "server_options": ""}]}, False),
        ({"haproxy_stats_addresses": ["*"]}, True),
        ({"haproxy_global_options": ["setenv PW never-show-me"]}, True),
        ({"haproxy_defaults_options": ["tcp-check send AUTH\\ never-show-me"]}, True),
        ({"haproxy_pools": [{**POOL, "frontend_options": ["x"]}]}, True),
        ({"haproxy_pools": [POOL, {**POOL, "backend_options": ["x"]}]}, True),
        ({"haproxy_pools": [{**POOL, "server_options": "x"}]}, True),
        ({"haproxy_pools": [{**POOL, "bind_options": "x"}]}, True),
        ({"haproxy_pools": [{**POOL, "servers": [{"name": "b", "address": "192.0.2.1", "options": "x"}]}]}, True),
    ],
)
def test_lines_in_haproxy_s_own_words_make_its_configuration_secret(given: Mapping[str, Any], holds: bool) -> None:
    assert evaluate("haproxy", "{{ haproxy__holds_secrets }}", given) is holds
    (task,) = yaml.safe_load((ROLES / "haproxy" / "tasks" / "service.yml").read_text(encoding="utf-8"))
    file = task["holdfast.ha.component"]["files"][0]
    assert evaluate("haproxy", file["secret"], given) is holds
    assert evaluate("haproxy", file["mode"], given) == ("0600" if holds else "0644")
