#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_member
short_description: How an etcd member without data gets into its cluster
version_added: 0.1.0
author: Holdfast contributors (@holdfast)
description:
  - Changes nothing for a member that has data. To be called on every member before etcd is started.
  - Without data it asks the other members. When none answers, or the cluster still waits for this member's first start,
    the cluster is being made. When they know the member as one that had been started, its data is lost,
    and it is removed from the cluster and added anew. When they don't know it, it is added.
  - What etcd has to be told then is written into an environment file, which etcd heeds on an empty data directory only.
  - >-
    When all members are started at once, one that has lost its data finds nobody to ask. Call the module there again
    with O(started=true) afterwards: it waits until the member has data, or the others tell that they knew it.
  - With O(peer_name) it also tells whether members may refuse peers without that name (RV(peer_name_required)). They
    may once every member presents a certificate with it, so that a cluster stays whole while members get theirs.
  - Membership is always read from the cluster, so an interrupted run is finished by the next one.
attributes:
  check_mode:
    support: full
    description: Predicts the way without changing the membership.
  diff_mode:
    support: full
    description: Shows the environment file.
extends_documentation_fragment:
  - holdfast.ha.etcd
options:
  name:
    description: Name of the member on this host, one of O(members).
    type: str
    required: true
  members:
    description: All members.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the member.
        type: str
        required: true
      address:
        description: Address of the member, IPv4 or IPv6.
        type: str
        required: true
  client_port:
    description: Port for clients.
    type: int
    default: 2379
  peer_port:
    description: Port for the other members.
    type: int
    default: 2380
  peer_name:
    description: DNS name in the certificates of all members, and of nobody else; empty for none.
    type: str
    default: ""
  settings_path:
    description: File with the settings of the member on this host, which says whether O(peer_name) is required already.
    type: path
  token:
    description: Token of the initial cluster.
    type: str
    required: true
  data_directory:
    description: Data directory of the member on this host.
    type: path
    required: true
  environment_path:
    description: Environment file to write.
    type: path
    required: true
  root_password:
    description: Password of root, to change the membership once authentication is on.
    type: str
    required: true
  unit:
    description: The systemd unit. When it runs, it is stopped while its member is replaced, and started again.
    type: str
    default: etcd.service
  started:
    description: Whether the unit has just been started, so that data is about to come.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for data, and for the cluster to accept a change of its membership.
    type: float
    default: 30
"""

EXAMPLES = r"""
- name: Decide how this member joins
  holdfast.ha.etcd_member:
    name: db1
    members:
      - name: db1
        address: 198.51.100.11
      - name: db2
        address: 198.51.100.12
      - name: db3
        address: 198.51.100.13
    token: holdfast-lab
    data_directory: /var/lib/etcd/holdfast-lab
    environment_path: /etc/etcd/bootstrap.env
    ca_path: /etc/holdfast/tls/ca.crt
    certificate_path: /etc/holdfast/tls/client.crt
    private_key_path: /etc/holdfast/tls/host.key
    root_password: "{{ ha_secrets.etcd_root }}"
"""

RETURN = r"""
peer_name_required:
  description: Whether the member is to refuse peers whose certificate lacks O(peer_name).
  returned: success
  type: bool
has_data:
  description: Whether the member had data, and so nothing was done.
  returned: success
  type: bool
join:
  description: The way of a member without data.
  returned: success
  type: str
  choices: [bootstrap, added, add, replace]
"""

import tempfile
import time
import typing as t
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.certificate import Found, dns_name
from ansible_collections.holdfast.ha.plugins.module_utils.certificate_proof import prove
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import (
    ROOT,
    Join,
    Member,
    Peer,
    PeerNames,
    bootstrap_environment,
    find_member,
    initial_cluster,
    judge_peer_names,
    plan_join,
    url,
)
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import (
    CONNECTION_ARGUMENTS,
    POLL_SECONDS,
    EtcdClient,
    Tls,
    WrongPasswordError,
    any_healthy,
    first_healthy,
    in_parallel,
    peer_members,
    presented_names,
    wait_for,
)
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient

PROBE_TIMEOUT = 2.0
HTTP_TIMEOUT = 5.0
REQUIRED = "ETCD_PEER_CERT_ALLOWED_HOSTNAME"
MEMBERSHIP_CHANGES = {Join.ADD, Join.REPLACE}
UNTOUCHED: dict[str, t.Any] = {"changed": False, "has_data": True, "join": None}

ARGUMENTS: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "members": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "address": {"type": "str", "required": True},
        },
    },
    "client_port": {"type": "int", "default": 2379},
    "peer_port": {"type": "int", "default": 2380},
    "peer_name": {"type": "str", "default": ""},
    "settings_path": {"type": "path"},
    # the name of the initial cluster, no secret
    "token": {"type": "str", "required": True, "no_log": False},
    "data_directory": {"type": "path", "required": True},
    "environment_path": {"type": "path", "required": True},
    **CONNECTION_ARGUMENTS,
    "root_password": {"type": "str", "required": True, "no_log": True},
    "unit": {"type": "str", "default": "etcd.service"},
    "started": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 30},
}


class RefusedError(Exception):
    """The member can't join safely."""


class Joiner:
    """A member without data on its way into the cluster."""

    def __init__(self, module: AnsibleModule) -> None:
        params = module.params
        self.module = module
        self.tls = Tls.from_params(params)
        self.peers = [Peer(member["name"], url(member["address"], params["peer_port"])) for member in params["members"]]
        self.me = next(peer for peer in self.peers if peer.name == params["name"])
        others = [member["address"] for member in params["members"] if member["name"] != params["name"]]
        self.other_peers = [self.tls.client(url(address, params["peer_port"]), PROBE_TIMEOUT) for address in others]
        self.other_clients = [
            EtcdClient(self.tls.client(url(address, params["client_port"]), HTTP_TIMEOUT)) for address in others
        ]
        self.deadline = time.monotonic() + params["timeout"]

    def run(self) -> dict[str, t.Any]:
        """Change the membership where needed, write the environment file, and return the module's result."""
        members = self.members_seen_by_others()
        join = plan_join(self.me, members)
        if join not in MEMBERSHIP_CHANGES:
            return self.tell_etcd(join, members)
        # The others may know this member as started because it just was: its data came before.
        if self.has_data():
            return UNTOUCHED
        self.refuse_other_data_directory()
        if self.module.check_mode:
            return self.tell_etcd(join, members)
        with stopped(self.module):
            return self.tell_etcd(join, self.change_membership())

    def tell_etcd(self, join: Join, members: t.Sequence[Member] | None) -> dict[str, t.Any]:
        """Write the environment file unless in check mode; return the module's result."""
        path = Path(self.module.params["environment_path"])
        before = path.read_text() if path.is_file() else ""
        cluster = initial_cluster(join, self.me, self.peers, members)
        after = bootstrap_environment(join, self.module.params["token"], cluster)
        if before != after and not self.module.check_mode:
            write(self.module, path, after)
        return {
            "changed": before != after or join in MEMBERSHIP_CHANGES,
            "has_data": False,
            "join": join.value,
            "diff": {"before_header": str(path), "after_header": str(path), "before": before, "after": after},
        }

    def members_seen_by_others(self) -> tuple[Member, ...] | None:
        """Return the cluster as another member knows it, best one that has seen this member started."""
        answers = [answer for answer in in_parallel(members_or_none, self.other_peers) if answer]
        return max(answers, key=self.knowledge_of_me, default=None)

    def knowledge_of_me(self, members: t.Sequence[Member]) -> int:
        """Rank a list of members: this one started, known, unknown."""
        seen = find_member(self.me, members)
        return 0 if seen is None else 1 + seen.started

    def change_membership(self) -> tuple[Member, ...]:
        """Remove the member whose data is lost, add it anew, and return the members then."""
        client = self.admin()
        join = plan_join(self.me, client.members())
        if join is Join.REPLACE:
            lost = find_member(self.me, client.members())
            if lost is not None:
                self.patiently(client, "/v3/cluster/member/remove", {"ID": str(lost.id)})
        if join in MEMBERSHIP_CHANGES:
            self.patiently(client, "/v3/cluster/member/add", {"peerURLs": [self.me.url]})
        return client.members()

    def data_comes(self) -> bool:
        """Wait until the member has data, or the others tell that it needs more than to be started."""
        while time.monotonic() < self.deadline:
            join = plan_join(self.me, self.members_seen_by_others())
            if self.has_data():
                return True
            if join is not Join.BOOTSTRAP:
                return False
            time.sleep(POLL_SECONDS)
        return True

    def has_data(self) -> bool:
        """Tell whether the member has been started meanwhile."""
        return has_data(self.module.params["data_directory"])

    def admin(self) -> EtcdClient:
        """Return a client of a healthy member, logged in where authentication is on."""
        seen = wait_for(self.other_clients, any_healthy, self.deadline - time.monotonic())
        client = first_healthy(self.other_clients, seen)
        if client is None:
            raise RefusedError(f"the cluster has no quorum to let {self.me.name} in anew: {seen}")
        return client.login(ROOT, self.module.params["root_password"]) or client

    def patiently(self, client: EtcdClient, path: str, body: dict[str, t.Any]) -> None:
        """Call the gateway until it accepts: after a change etcd refuses the next one for some seconds."""
        while True:
            try:
                client.call(path, body)
            except EndpointError as error:
                if "unhealthy cluster" not in error.message or time.monotonic() > self.deadline:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return

    def refuse_other_data_directory(self) -> None:
        """Fail when the unit runs on another data directory: that one isn't lost."""
        used = running_data_directory(self.module)
        wanted = self.module.params["data_directory"]
        if used is not None and used.startswith("/") and used != wanted and not used.endswith("/default"):
            raise RefusedError(f"{wanted} has no data, but etcd runs on {used}: stop it and move its data first")


def peer_names(module: AnsibleModule) -> PeerNames:
    """Look at every member's certificate, and judge whether the cluster's name may be required of it."""
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
    return judge_peer_names(named, has_data(params["data_directory"]), is_required(params))


def is_required(params: dict[str, t.Any]) -> bool:
    """Tell whether this member's settings require the cluster's name already."""
    path = Path(params["settings_path"] or "")
    return path.is_file() and f"{REQUIRED}={params['peer_name']}" in path.read_text().splitlines()


def members_or_none(http: HttpJsonClient) -> tuple[Member, ...] | None:
    """Return the members a peer port tells, or None when it doesn't answer."""
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


def has_data(data_directory: str) -> bool:
    """Tell whether a member has ever been started on a data directory: etcd looks for the same files."""
    return any(Path(data_directory, "member", "wal").glob("*.wal"))


def write(module: AnsibleModule, path: Path, content: str) -> None:
    """Replace a file at once."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=module.tmpdir, delete=False) as staged:
        staged.write(content)
    Path(staged.name).chmod(0o644)
    module.atomic_move(staged.name, str(path))
    path.chmod(0o644)


@contextmanager
def stopped(module: AnsibleModule) -> t.Iterator[None]:
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


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    params = module.params
    if params["name"] not in [member["name"] for member in params["members"]]:
        module.fail_json(msg=f"name {params['name']!r} is none of the members")
    names = peer_names(module)
    if names.hindrance:
        module.warn(f"Peers without the name {params['peer_name']} are let in until the next run; {names.hindrance}")
    told = {"peer_name_required": names.required}
    if has_data(params["data_directory"]) or (params["started"] and module.check_mode):
        module.exit_json(**UNTOUCHED, **told)
    try:
        joiner = Joiner(module)
        if params["started"] and joiner.data_comes():
            module.exit_json(**UNTOUCHED, **told)
        result = joiner.run()
    except (RefusedError, EndpointError) as error:
        module.fail_json(msg=str(error))
    except WrongPasswordError:
        module.fail_json(msg="etcd refuses the password of root")
    module.exit_json(**result, **told)


if __name__ == "__main__":
    main()
