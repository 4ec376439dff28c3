# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules for pgBackRest's repositories and archive queue, which otherwise only pgBackRest on the hosts would check."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.holdfast.ha.plugins.plugin_utils.reading.problems import HIDDEN, Opaque, Problems

REPOSITORIES = "pgbackrest_repositories"
QUEUE = "pgbackrest_archive_push_queue_max"
OPTIONS = "pgbackrest_options"
REPOSITORY_OPTIONS = "pgbackrest_repository_options"
MOST = 8
LEAST_QUEUE = 64 * 2**20
"""Bytes: below one WAL segment, by default 16 MiB, pgBackRest would discard all WAL."""

NAMED = ("io-timeout", "db-timeout", "process-max", "compress-type", "log-path", "spool-path", "start-fast")
TLS = ("address", "port", "ca-file", "cert-file", "key-file")
OWN = {
    **dict.fromkeys(("lock-path", *(f"tcp-keep-alive-{part}" for part in ("idle", "interval", "count"))), ""),
    "protocol-timeout": "pgbackrest_db_timeout",
    "repo1-path": "pgbackrest_repository_path",
    **{f"tls-server-{part}": f"pgbackrest_tls_{part}".replace("-file", "") for part in TLS},
    **{
        name: f"pgbackrest_{name}"
        for name in (*NAMED, "archive-async", "archive-get-queue-max", "archive-push-queue-max")
    },
    **{
        f"repo1-{name}": f"pgbackrest_{name}"
        for name in ("cipher-type", "bundle", "retention-full-type", "retention-full")
    },
}
"""The options that the role writes, and the variable for each, "" for none. pgBackRest refuses duplicates."""

NEEDED = {
    "posix": (),
    "s3": ("s3_bucket", "s3_endpoint", "s3_region"),
    "sftp": ("sftp_host", "sftp_user"),
}
"""The required keys of a repository, by its type."""

DIGITS = {"md5": 32, "sha1": 40, "sha256": 64}
"""Hexadecimal digits of a fingerprint."""


def check_repositories(value: Any, problems: Problems) -> None:
    """Note missing and incompatible keys; of vaulted or templated values only the presence is checked."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        return  # of the wrong type, which another check reports
    if len(value) > MOST:
        problems.add(REPOSITORIES, HIDDEN, f"has {len(value)} repositories", f"keep {MOST} at most")
    for number, item in enumerate(value):
        where = f"{REPOSITORIES}[{number}]"
        kind = item.get("type", "posix")
        if not isinstance(kind, Opaque) and kind in NEEDED:
            for key, fix in _missing(kind, item):
                problems.add(f"{where}.{key}", HIDDEN, f"is missing in a repository of the type {kind}", fix)
            _check_foreign(where, kind, item, problems)
        _check_own(where, item, problems)
    _check_values(value, problems)


def check_queue(value: Any, problems: Problems) -> None:
    """Note an invalid queue size, with which no WAL would be archived."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return
    size = re.fullmatch(r"(\d+)(?:([kmgtp])i?)?b?", str(value), re.IGNORECASE)
    if size and int(size[1]) * 1024 ** " kmgtp".index((size[2] or " ").lower()) < LEAST_QUEUE:
        what = "is less than 64MiB: pgBackRest would discard WAL and report it as archived"
        problems.add(QUEUE, value, what, "write 64MiB or more, or leave it empty to discard no WAL")
    elif not size and not re.fullmatch(r"|[1-9]\d?%", str(value)):
        problems.add(QUEUE, value, "is neither a size nor a share of the volume", "write it like 64GiB or 60%")


def check_options(variable: str, value: Any, problems: Problems) -> None:
    """Note options that the role sets itself."""
    for name in sorted(map(str, value)) if isinstance(value, dict) else ():
        if name in OWN:
            fix = f"remove it; {OWN[name].replace('-', '_')} is for that" if OWN[name] else "remove it"
            problems.add(f"{variable}.{name}", HIDDEN, "is set by the role pgbackrest, and can't be set twice", fix)


def _missing(kind: str, item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each required key and its fix."""
    for key in NEEDED[kind]:
        if not item.get(key):
            yield key, "add it; see docs/backups.md, several repositories"
    encrypted = item.get("cipher_type", "aes-256-cbc") != "none"
    if kind != "posix" and encrypted and not item.get("cipher_pass"):
        yield "cipher_pass", "give it a vaulted passphrase of its own, for the database hosts know it too"
    if kind == "s3" and item.get("s3_key_type", "shared") == "shared":
        for key in ("s3_key", "s3_key_secret"):
            if not item.get(key):
                yield key, "add it, vaulted, or set s3_key_type to auto or web-id"
    if kind == "sftp":
        if not item.get("sftp_private_key") and not item.get("sftp_private_key_file"):
            yield "sftp_private_key", "add it, vaulted, or sftp_private_key_file"
        if item.get("sftp_host_key_check", "fingerprint") == "fingerprint" and not item.get("sftp_host_fingerprint"):
            yield "sftp_host_fingerprint", "add it, or set sftp_host_key_check to strict"


def _check_foreign(where: str, kind: str, item: Mapping[str, Any], problems: Problems) -> None:
    """Note keys of another type, which would be ignored."""
    for key in sorted(item):
        owner = {"s3": "s3", "storage": "s3", "sftp": "sftp"}.get(key.partition("_")[0])
        if owner not in {None, kind}:
            what = f"has no effect in a repository of the type {kind}"
            problems.add(f"{where}.{key}", HIDDEN, what, f"remove it, or set type to {owner}")


def _check_own(where: str, item: Mapping[str, Any], problems: Problems) -> None:
    """Note options of a repository that the role sets from the element's keys."""
    options = item.get("options")
    for name in sorted(map(str, options)) if isinstance(options, dict) else ():
        if f"repo1-{name}" in OWN:
            what = "is set by the role pgbackrest, and can't be set twice"
            problems.add(
                f"{where}.options.{name}", HIDDEN, what, f"remove it; the key {name.replace('-', '_')} is for that"
            )


def _check_values(items: list[dict[str, Any]], problems: Problems) -> None:
    """Note values that otherwise only pgBackRest on the hosts would refuse."""
    places: dict[Any, int] = {}
    for number, item in enumerate(items):
        where = f"{REPOSITORIES}[{number}]"
        fingerprint, digits = item.get("sftp_host_fingerprint"), DIGITS.get(item.get("sftp_host_key_hash", "sha256"))
        if isinstance(fingerprint, str) and digits and not re.fullmatch(f"[0-9a-f]{{{digits}}}", fingerprint):
            what = f"is not {digits} lower-case hexadecimal digits"
            fix = "awk '{print $2}' ssh_host_ecdsa_key.pub | base64 -d | sha256sum"
            problems.add(f"{where}.sftp_host_fingerprint", fingerprint, what, fix)
        bucket = item.get("s3_bucket")
        if isinstance(bucket, str) and "." in bucket and item.get("storage_verify_tls", True):
            what = "has a dot, so that the server's certificate can't match it"
            problems.add(f"{where}.s3_bucket", bucket, what, "use a bucket without one, or storage_verify_tls: false")
        path = item.get("path", "") if item.get("type", "posix") == "posix" else None
        if isinstance(path, str) and path in places:
            what = f"is the directory of {REPOSITORIES}[{places[path]}], too"
            problems.add(f"{where}.path", path or HIDDEN, what, "give each posix repository a path of its own")
        elif isinstance(path, str):
            places[path] = number
