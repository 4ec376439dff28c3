# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a member of etcd joins its cluster, and whether it has data."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Found, dns_name
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_proof import prove
from ansible_collections.holdfast.ha.plugins.module_utils.deployed import parse_environment, wal_directory
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import (
    ROOT,
    Join,
    LookedAt,
    Member,
    Peer,
    PeerNames,
    bootstrap_environment,
    find_member,
    initial_cluster,
    judge_peer_names,
    plan_join,
    why_unknown,
)
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import (
    POLL_SECONDS,
    EtcdClient,
    Tls,
    any_healthy,
    first_healthy,
    health,
    in_parallel,
    peer_members,
    presented_names,
    wait_for,
)
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.url import https_url

PROBE_TIMEOUT = 2.0
HTTP_TIMEOUT = 5.0
REQUIRED = "ETCD_PEER_CERT_ALLOWED_HOSTNAME"
MEMBERSHIP_CHANGES = {Join.ADD, Join.REPLACE}
NOT_YET = ("unhealthy cluster", "not enough started members", "too many learner members")
"""What etcd answers for some seconds after a change of its members, and while another member has no vote yet."""
LAGS = ("in sync with leader", "request timed out", "no leader", "leader changed")
"""What it answers to the promotion of a learner that lags, and around a change of its leader."""


class RefusedError(Exception):
    """The member can't join safely."""


class Joiner:
    """A member that joins the cluster: without data, or as a learner whose vote an interrupted run still owes it."""

    def __init__(self, module: AnsibleModule) -> None:
        params = module.params
        self.module = module
        self.tls = Tls.from_params(params)
        port, members = params["peer_port"], params["members"]
        self.peers = [Peer(member["name"], https_url(member["address"], port)) for member in members]
        self.me = next(peer for peer in self.peers if peer.name == params["name"])
        others = {member["name"]: member["address"] for member in members if member["name"] != self.me.name}
        self.other_peers = {
            name: self.tls.client(https_url(address, port), PROBE_TIMEOUT) for name, address in others.items()
        }
        self.other_clients = [
            EtcdClient(self.tls.client(https_url(address, params["client_port"]), HTTP_TIMEOUT))
            for address in others.values()
        ]
        self.looked_at = LookedAt.of(params["token"], params["looked_at"] or ())
        self.deadline = time.monotonic() + params["timeout"]

    def run(self) -> dict[str, Any]:
        """Change the membership where needed, write the permit, and return the module's result."""
        join, members = self.decide()
        if join is None or self.has_data():
            return self.with_vote(result(self.module))
        if join not in MEMBERSHIP_CHANGES or self.module.check_mode:
            return self.permit(join, members)
        with stopped(self.module):
            # A start that an earlier run permitted may have just been under way.
            done = result(self.module) if self.has_data() else self.permit(join, self.change_membership())
        return self.with_vote(done)

    def decide(self) -> tuple[Join | None, tuple[Member, ...]]:
        """Return how the member joins, or None when it has data meanwhile, and the members that the others know."""
        while True:
            answers = self.ask_others()
            quorum = bool(answers) and any_healthy(health(self.other_clients))
            join = plan_join(self.me, self.peers, answers, self.looked_at, quorum)
            if join is not None or self.has_data() or self.awaits_a_start():
                return join, max(answers.values(), key=len, default=())
            if self.module.check_mode or time.monotonic() >= self.deadline:
                raise RefusedError(why_unknown(self.me, self.peers, answers, self.looked_at))
            time.sleep(POLL_SECONDS)

    def awaits_a_start(self) -> bool:
        """Return whether a run, unlike check mode, would have started a member that could answer."""
        return self.module.check_mode and bool(self.looked_at.full - {self.me.name})

    def ask_others(self) -> dict[str, tuple[Member, ...]]:
        """Return by name the members that each of the others knows, without those who don't answer."""
        answers = in_parallel(members_or_none, self.other_peers.values())
        return {name: answer for name, answer in zip(self.other_peers, answers, strict=True) if answer}

    def permit(self, join: Join, members: Sequence[Member]) -> dict[str, Any]:
        """Write the permit unless in check mode; return the module's result."""
        path = Path(self.module.params["permit_path"])
        cluster = initial_cluster(join, self.me, self.peers, members)
        after = bootstrap_environment(join, self.module.params["token"], cluster)
        if not self.module.check_mode:
            write(self.module, path, after)
        diff = {"before_header": str(path), "after_header": str(path), "before": "", "after": after}
        return result(self.module, changed=True, join=join.value, diff=diff)

    def change_membership(self) -> tuple[Member, ...]:
        """Remove the member whose data is lost, add it again, and return the resulting members.

        It is added as a learner: a member that has not started yet must not count for the quorum.
        """
        client = self.admin()
        lost = find_member(self.me, client.members())
        if lost is not None:
            self.patiently(client, "/v3/cluster/member/remove", {"ID": str(lost.id)})
        self.patiently(client, "/v3/cluster/member/add", {"peerURLs": [self.me.url], "isLearner": True})
        return client.members()

    def is_learner(self) -> bool:
        """Return whether the others know the member as one without a vote."""
        known = (find_member(self.me, members) for members in self.ask_others().values())
        return any(member is not None and member.learner for member in known)

    def with_vote(self, done: dict[str, Any]) -> dict[str, Any]:
        """Give a learner its vote once it has caught up, unless in check mode; return the module's result."""
        if not self.is_learner():
            return done
        if not self.module.check_mode:
            self.deadline = max(self.deadline, time.monotonic() + self.module.params["timeout"])
            self.promote()
        return done | {"changed": True}

    def promote(self) -> None:
        """Ask etcd's leader for the vote until the member has it.

        Another member would pass the request on without its login, and the leader refuse it.
        """
        reason = "etcd has no leader among the other members"
        while self.is_learner():
            for client in self.other_clients:
                try:
                    if promoted(client.login(ROOT, self.module.params["root_password"]) or client, self.me):
                        return
                except EndpointError as error:
                    if error.status is not None and not any(text in error.message for text in LAGS):
                        raise
                    reason = error.message
            if time.monotonic() >= self.deadline:
                raise RefusedError(f"{self.me.name} has no vote in etcd yet: {reason}. Run this again")
            time.sleep(POLL_SECONDS)

    def has_data(self) -> bool:
        """Return whether the member has been started meanwhile."""
        return has_data(self.module)

    def admin(self) -> EtcdClient:
        """Return a client of a healthy member, logged in where authentication is on."""
        seen = wait_for(self.other_clients, any_healthy, self.deadline - time.monotonic())
        client = first_healthy(self.other_clients, seen)
        if client is None:
            raise RefusedError(
                f"{self.me.name} lost its data, and without it the cluster has no quorum to add it again: {seen}. "
                "Start the members that have data; when too many are lost for good, see docs/etcd-recovery.md"
            )
        return client.login(ROOT, self.module.params["root_password"]) or client

    def patiently(self, client: EtcdClient, path: str, body: dict[str, Any]) -> None:
        """Call the gateway until it accepts; etcd refuses a change that is not safe yet."""
        while True:
            try:
                client.call(path, body)
            except EndpointError as error:
                if not any(text in error.message for text in NOT_YET) or time.monotonic() > self.deadline:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return


def promoted(client: EtcdClient, me: Peer) -> bool:
    """Promote a learner where the client's member leads, and return whether it has a vote; raise EndpointError."""
    status = client.call("/v3/maintenance/status")
    member = find_member(me, client.members())
    if member is None or not member.learner:
        return member is not None
    if status["leader"] != status["header"]["member_id"]:
        return False
    client.call("/v3/cluster/member/promote", {"ID": str(member.id)})
    return True


def peer_names(module: AnsibleModule) -> PeerNames:
    """Check every member's certificate, and decide whether members may require the cluster's name in it."""
    params = module.params
    if not params["peer_name"]:
        return PeerNames(False)
    tls, wanted = Tls.from_params(params), dns_name(params["peer_name"])
    others = [member for member in params["members"] if member["name"] != params["name"]]
    presented = in_parallel(
        lambda member: presented_names(member["address"], params["peer_port"], tls, PROBE_TIMEOUT), others
    )
    named = {
        member["name"]: None if names is None else wanted in names
        for member, names in zip(others, presented, strict=True)
    }
    own = prove(tls.cert, tls.key, Path(tls.ca).read_text()) if Path(tls.ca).is_file() else ""
    named[params["name"]] = isinstance(own, Found) and wanted in own.names
    return judge_peer_names(named, has_data(module), is_required(params))


def is_required(params: dict[str, Any]) -> bool:
    """Return whether this member's settings require the cluster's name already."""
    return f"{REQUIRED}={params['peer_name']}" in read_settings(params).splitlines()


def read_settings(params: dict[str, Any]) -> str:
    """Return the member's settings as they are deployed, "" where there are none."""
    path = Path(params["settings_path"] or "")
    return path.read_text() if path.is_file() else ""


def members_or_none(http: HttpJsonClient) -> tuple[Member, ...] | None:
    """Return the members that a peer port returns, or None when it doesn't answer."""
    try:
        return peer_members(http)
    except EndpointError:
        return None


def running_data_directory(module: AnsibleModule) -> str | None:
    """Return the data directory of the running unit, or None when it doesn't run."""
    _rc, pid, _err = module.run_command(["systemctl", "show", "--value", "--property=MainPID", module.params["unit"]])
    try:
        environment = Path("/proc", pid.strip(), "environ").read_bytes()
    except OSError:
        return None
    pairs = (entry.partition(b"=") for entry in environment.split(b"\0"))
    return next((value.decode() for name, _sep, value in pairs if name == b"ETCD_DATA_DIR"), None)


def has_data(module: AnsibleModule) -> bool:
    """Return whether a member has ever been started on the data directory, by the files that etcd checks."""
    return any(Path(wal_of(module.params)).glob("*.wal"))


def wal_of(params: dict[str, Any]) -> str:
    """Return where the member is to have its write-ahead log."""
    return wal_directory({"ETCD_DATA_DIR": params["data_directory"], "ETCD_WAL_DIR": params["wal_directory"]})


def result(module: AnsibleModule, **more: Any) -> dict[str, Any]:
    """Return the module's result, with the keys it always has."""
    params = module.params
    data = has_data(module)
    empty = not data and running_data_directory(module) != params["data_directory"]
    found = {"name": params["name"], "token": params["token"], "empty": empty}
    return {"changed": False, "has_data": data, "learner": False, "found": found, "join": None, **more}


def look(module: AnsibleModule) -> dict[str, Any]:
    """Remove an earlier run's permit, and return whether there is data and a vote.

    Raises RefusedError if the data is elsewhere.
    """
    permit = Path(module.params["permit_path"])
    left = permit.exists()
    if left and not module.check_mode:
        permit.unlink(missing_ok=True)
    found = result(module, changed=left)
    if not found["has_data"]:
        refuse_other_data_directory(module)
        return found
    return found | {"learner": Joiner(module).is_learner()}


def refuse_other_data_directory(module: AnsibleModule) -> None:
    """Fail when the unit runs on another data directory, or is set up for other data: that isn't lost."""
    used = running_data_directory(module)
    wanted = module.params["data_directory"]
    if used is not None and used.startswith("/") and used != wanted and not used.endswith("/default"):
        raise RefusedError(f"{wanted} has no data, but etcd runs on {used}: stop it and move its data first")
    kept = wal_directory(parse_environment(read_settings(module.params)))
    if kept and any(Path(kept).glob("*.wal")):
        raise RefusedError(
            f"the member's write-ahead log is in {kept}, not in {wal_of(module.params)}: "
            "take the change of its directories back, or stop etcd and move its data first"
        )


def write(module: AnsibleModule, path: Path, content: str) -> None:
    """Replace a file at once."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=module.tmpdir, delete=False) as staged:
        staged.write(content)
    Path(staged.name).chmod(0o644)
    module.atomic_move(staged.name, str(path))
    path.chmod(0o644)


@contextmanager
def stopped(module: AnsibleModule) -> Iterator[None]:
    """Keep the unit stopped within the block; start it again when it ran, without waiting."""
    unit = module.params["unit"]
    _rc, state, _err = module.run_command(["systemctl", "show", "--value", "--property=ActiveState", unit])
    runs = state.strip() in {"active", "activating"}
    if runs:
        module.run_command(["systemctl", "stop", unit], check_rc=True)
    try:
        yield
    finally:
        if runs:
            module.run_command(["systemctl", "start", "--no-block", unit], check_rc=True)
