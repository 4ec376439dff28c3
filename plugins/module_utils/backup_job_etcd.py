# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes a snapshot of an etcd member and verifies it: restores it, serves it with a scratch etcd, compares it with the
member."""

# A program that runs without Ansible.
# pylint: disable=ansible-bad-function

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.backup_job_tools import JobError, Runner, plain_environment
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import EtcdClient, Tls, WrongPasswordError
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError

EVERYTHING = {"key": "AA==", "range_end": "AA=="}  # from the key \0 on
ANSWER_SECONDS = 30.0
POLL_SECONDS = 0.2
STOP_SECONDS = 20
QUOTA = 16 * 2**30  # the scratch member must not refuse what the member holds
LEFT_OVER = ".proof"


@dataclass(frozen=True)
class Settings:
    """The member to take snapshots of, and their directory; an empty password means no login.

    ``timeout`` is the seconds within which the scratch etcd must serve.
    """

    directory: Path
    keep: int
    endpoint: str
    tls: Tls
    server_cert: str
    username: str
    password: str = field(repr=False)
    timeout: int


@dataclass(frozen=True)
class Contents:
    """The contents of an etcd at a revision: keys, and a hash that is comparable only after the same compaction."""

    keys: int
    hash: int
    compacted: int


def parse_settings(document: Mapping[str, Any]) -> Settings:
    """Return the settings of a job's document."""
    return Settings(
        directory=Path(document["directory"]),
        keep=int(document["keep"]),
        endpoint=document["endpoint"],
        tls=Tls(document["ca"], document["cert"], document["key"]),
        server_cert=document["server_cert"],
        username=document["username"],
        password=document["password"],
        timeout=int(document["timeout"]),
    )


def difference(member: Contents, restored: Contents) -> str | None:
    """Return how a restored snapshot differs from its member, or None."""
    if member.keys != restored.keys:
        return f"it has {restored.keys} keys, the member had {member.keys}"
    if member.compacted == restored.compacted and member.hash != restored.hash:
        return "the hash of its keys and values is not the member's"
    return None


def surplus(names: Sequence[str], keep: int) -> list[str]:
    """Return the snapshots that are older than the newest ones to keep."""
    return sorted(names)[: max(0, len(names) - keep)]


def take(document: Mapping[str, Any]) -> str:
    """Take and verify a snapshot; return what was done, raise JobError."""
    try:
        return Snapshot(parse_settings(document)).take()
    except EndpointError as error:
        raise JobError(str(error)) from error
    except WrongPasswordError as error:
        raise JobError(f"etcd refuses the password of its user {error}") from error


class Snapshot:
    """A snapshot in progress: it gets its name only after it is verified."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.work = settings.directory / LEFT_OVER
        self.file = self.work / "snapshot.db"
        self.runner = Runner(
            {**plain_environment("ETCD"), "ETCDCTL_API": "3"}, (settings.password,) if settings.password else ()
        )

    def take(self) -> str:
        """Take the snapshot, verify it, name it, and remove the oldest ones."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(mode=0o700)
        try:
            least, revision = self._save()
            member = self._contents(self.settings.endpoint, revision)
            self._prove(revision, member)
            name = time.strftime("etcd-%Y%m%dT%H%M%SZ.db", time.gmtime())
            size = self.file.stat().st_size
            self.file.replace(self.settings.directory / name)
        finally:
            shutil.rmtree(self.work, ignore_errors=True)
        self._prune()
        return f"{name}: {member.keys} keys at revision {revision} (at least {least}), {size} bytes, proven"

    def _save(self) -> tuple[int, int]:
        """Save a snapshot; return the member's revision before it, and one that the snapshot must have reached."""
        settings = self.settings
        client = self._login(settings.endpoint)
        reason = client.unhealthy_because()
        if reason is not None:
            raise JobError(f"the member {settings.endpoint} is not healthy: {reason}")
        least = int(client.call("/v3/kv/range", {**EVERYTHING, "count_only": True})["header"]["revision"])
        self._ask(client, "snapshot", "save", str(self.file))
        status = json.loads(
            self.runner.output([self._tool(), "snapshot", "status", str(self.file), "--write-out=json"])
        )
        # A compaction removes the newest revisions if these were deletions; the file then has a lower one.
        return least, max(least, int(status["revision"]))

    def _contents(self, endpoint: str, revision: int) -> Contents:
        """Return what an etcd holds at a revision; raise an error when it hasn't reached it."""
        client = self._login(endpoint)
        counted = client.call("/v3/kv/range", {**EVERYTHING, "count_only": True, "revision": revision})
        # The JSON gateway of etcd 3.4 and 3.5 answers with the hash of the whole file instead.
        told = self._ask(client, "endpoint", "hashkv", f"--rev={revision}", "--write-out=json")
        hashed = json.loads(told)[0]["HashKV"]
        return Contents(int(counted.get("count", 0)), int(hashed["hash"]), int(hashed.get("compact_revision", 0)))

    def _ask(self, client: EtcdClient, *arguments: str) -> str:
        """Return the output of etcdctl, which gets the password in its environment."""
        settings, tls = self.settings, self.settings.tls
        login = {"ETCDCTL_USER": f"{settings.username}:{settings.password}"} if client.token else {}
        runner = Runner({**self.runner.environment, **login}, self.runner.secrets)
        access = [f"--endpoints={client.http.base_url}", f"--cacert={tls.ca}", f"--cert={tls.cert}", f"--key={tls.key}"]
        return runner.output(["etcdctl", *arguments, *access])

    def _prove(self, revision: int, member: Contents) -> None:
        with self._scratch() as endpoint:
            restored = self._contents(endpoint, revision)
        problem = difference(member, restored)
        if problem:
            raise JobError(f"the snapshot is not proven, at revision {revision} {problem}")

    @contextmanager
    def _scratch(self) -> Iterator[str]:
        """Serve the snapshot on loopback; yield its client URL."""
        client, peer = (f"https://127.0.0.1:{port}" for port in free_ports(2))
        data, tls = self.work / "data", self.settings.tls
        cluster = ["--name=proof", f"--data-dir={data}", f"--initial-cluster=proof={peer}"]
        cluster += [f"--initial-advertise-peer-urls={peer}"]
        self.runner.output([self._tool(), "snapshot", "restore", str(self.file), *cluster])
        served = [f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}"]
        secured = [
            f"--{kind}{option}"
            for kind in ("", "peer-")
            for option in (
                f"cert-file={self.settings.server_cert}",
                f"key-file={tls.key}",
                f"trusted-ca-file={tls.ca}",
                "client-cert-auth",
            )
        ]
        log = self.work / "etcd.log"
        with log.open("w", encoding="utf-8") as output:
            argv = [
                "etcd",
                *cluster,
                *served,
                *secured,
                "--logger=zap",
                "--log-level=warn",
                f"--quota-backend-bytes={QUOTA}",
            ]
            process = subprocess.Popen(argv, env=self.runner.environment, stdout=output, stderr=output)
            try:
                self._await(client, process, log)
                yield client
            finally:
                end(process)

    def _await(self, endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
        http = EtcdClient(self.settings.tls.client(endpoint, ANSWER_SECONDS))
        deadline = time.monotonic() + self.settings.timeout
        while (reason := http.unhealthy_because()) is not None:
            if process.poll() is not None or time.monotonic() > deadline:
                words = log.read_text(encoding="utf-8", errors="replace").strip()[-1000:]
                raise JobError(f"the restored snapshot is not served: {reason}; {words}")
            time.sleep(POLL_SECONDS)

    def _login(self, endpoint: str) -> EtcdClient:
        client = EtcdClient(self.settings.tls.client(endpoint, ANSWER_SECONDS))
        if not self.settings.password:
            return client
        return client.login(self.settings.username, self.settings.password) or client

    @staticmethod
    def _tool() -> str:
        """Return the program that reads snapshots: etcdutl from etcd 3.5 on, etcdctl before."""
        return "etcdutl" if shutil.which("etcdutl") else "etcdctl"

    def _prune(self) -> None:
        directory = self.settings.directory
        for name in surplus([path.name for path in directory.glob("etcd-*Z.db")], self.settings.keep):
            (directory / name).unlink()


def free_ports(count: int) -> list[int]:
    """Return free TCP ports of the loopback."""
    sockets = [socket.socket() for _number in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def end(
    process: subprocess.Popen[bytes], stop: Callable[[subprocess.Popen[bytes]], None] = subprocess.Popen.terminate
) -> None:
    """Terminate a process, and kill it if it does not end."""
    stop(process)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
