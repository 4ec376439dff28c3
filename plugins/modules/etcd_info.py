#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: etcd_info
short_description: State of an etcd cluster
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Asks every endpoint at once and reports what answers. Members that are down are part of the report, not an error.
  - Also reports whether clients without a login, without a certificate and without TLS are turned away.
attributes:
  check_mode:
    support: full
    description: Nothing is changed.
  diff_mode:
    support: none
    description: Nothing is changed.
extends_documentation_fragment:
  - holdfast.ha.etcd
options:
  endpoints:
    description: Client URLs of all members.
    type: list
    elements: str
    required: true
  username:
    description: User to log in as where authentication is on. Only root sees everything.
    type: str
    default: root
  password:
    description: The user's password. Without it, what needs a login is left out.
    type: str
  timeout:
    description: Seconds an endpoint has for an answer.
    type: float
    default: 3
"""

EXAMPLES = r"""
- name: Ask etcd
  holdfast.ha.etcd_info:
    endpoints:
      - https://198.51.100.11:2379
      - https://198.51.100.12:2379
      - https://198.51.100.13:2379
    ca_path: /etc/holdfast/tls/ca.crt
    certificate_path: /etc/holdfast/tls/client.crt
    private_key_path: /etc/holdfast/tls/host.key
    password: "{{ ha_secrets.etcd_root }}"
  register: etcd
"""

RETURN = r"""
healthy:
  description: Whether every endpoint is healthy, they agree on one leader, and there are no alarms.
  returned: success
  type: bool
quorum:
  description: Whether the cluster serves.
  returned: success
  type: bool
leader:
  description: Name of the leader, if known.
  returned: success
  type: str
endpoints:
  description: Every endpoint asked.
  returned: success
  type: list
  elements: dict
  contains:
    endpoint: {description: The URL., type: str}
    name: {description: Name of its member. Null when not known., type: str}
    healthy: {description: Whether it serves with a quorum behind it., type: bool}
    error: {description: Why not., type: str}
    leader: {description: Whether it is the leader., type: bool}
    version: {description: Version of etcd., type: str}
    db_size: {description: Size of its database in bytes., type: int}
    db_size_in_use: {description: Bytes of it in use., type: int}
    revision: {description: Revision of the keys., type: int}
    raft_term: {description: Term of the leader's election., type: int}
    raft_index: {description: Index of the last log entry committed., type: int}
members:
  description: The cluster's members, as one that serves knows them.
  returned: success
  type: list
  elements: dict
  contains:
    name: {description: Name of the member., type: str}
    id: {description: Id in hexadecimal., type: str}
    peer_urls: {description: URLs for the other members., type: list, elements: str}
    client_urls: {description: URLs for clients. Empty before the first start., type: list, elements: str}
    learner: {description: Whether it has no vote yet., type: bool}
alarms:
  description: Raised alarms, as C(name ALARM).
  returned: success
  type: list
  elements: str
auth_enabled:
  description: Whether a client without a login is refused. Null when no endpoint could tell.
  returned: success
  type: bool
plaintext_refused:
  description: Whether every endpoint that is up refuses clients without TLS. Null when none could tell.
  returned: success
  type: bool
certificate_required:
  description: Whether every endpoint that is up refuses clients without a certificate. Null when none could tell.
  returned: success
  type: bool
errors:
  description: What else went wrong, for example a refused login.
  returned: success
  type: list
  elements: str
"""

import typing as t
from dataclasses import asdict, replace

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.holdfast.ha.plugins.module_utils.etcd import Member
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_api import (
    CONNECTION_ARGUMENTS,
    EtcdClient,
    Tls,
    WrongPasswordError,
    in_parallel,
)
from ansible_collections.holdfast.ha.plugins.module_utils.etcd_report import Report, Seen, summarise
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError, HttpJsonClient

ARGUMENTS: dict[str, t.Any] = {
    "endpoints": {"type": "list", "elements": "str", "required": True},
    **CONNECTION_ARGUMENTS,
    "username": {"type": "str", "default": "root"},
    "password": {"type": "str", "no_log": True},
    "timeout": {"type": "float", "default": 3},
}


class Observer:
    """Asks endpoints, and takes no answer for an answer."""

    def __init__(self, params: dict[str, t.Any]) -> None:
        self.tls = Tls.from_params(params)
        self.endpoints: list[str] = params["endpoints"]
        self.username: str = params["username"]
        self.password: str | None = params["password"]
        self.timeout: float = params["timeout"]
        self.errors: list[str] = []

    def report(self) -> Report:
        """Return what is seen of the whole cluster."""
        seen = in_parallel(self.look_at, self.endpoints)
        serving = next((one.endpoint for one in seen if one.error is None), None)
        members: tuple[Member, ...] = ()
        alarms: list[dict[str, t.Any]] = []
        if serving is not None:
            client = self.logged_in(self.client(serving))
            seen = in_parallel(lambda one: self.look_again(one, client.token), seen)
            members = self.attempt(client.members) or ()
            alarms = (self.attempt(lambda: client.call("/v3/maintenance/alarm", {"action": "GET"})) or {}).get(
                "alarms", []
            )
        return summarise(seen, members, alarms, self.errors)

    def look_at(self, endpoint: str) -> Seen:
        """Return what one endpoint tells without a login."""
        client = self.client(endpoint)
        try:
            status = client.call("/v3/maintenance/status")
        except EndpointError as error:
            if error.status is None:
                return Seen(endpoint, error=error.message)
            status = {}  # refused without a login since etcd 3.4.42, 3.5.28 and 3.6.9
        return Seen(
            endpoint,
            error=client.unhealthy_because(),
            status=status,
            anonymous_refused=refuses(lambda: client.call("/v3/kv/range", {"key": "AA==", "count_only": True})),
            plaintext_refused=self.refuses_plaintext(endpoint),
            certificate_required=self.requires_certificate(endpoint),
        )

    def look_again(self, seen: Seen, token: str | None) -> Seen:
        """Return the same with the status of an endpoint that tells it after a login only."""
        if seen.status or seen.error is not None or token is None:
            return seen
        client = replace(self.client(seen.endpoint), token=token)
        return replace(seen, status=self.attempt(lambda: client.call("/v3/maintenance/status")) or {})

    def client(self, endpoint: str) -> EtcdClient:
        """Return a client of an endpoint."""
        return EtcdClient(self.tls.client(endpoint, self.timeout))

    def logged_in(self, client: EtcdClient) -> EtcdClient:
        """Return the client with a token where one is needed and to be had."""
        if self.password is None:
            return client
        try:
            return client.login(self.username, self.password) or client
        except WrongPasswordError:
            self.errors.append(f"the password of {self.username} is refused")
        except EndpointError as error:
            self.errors.append(str(error))
        return client

    def attempt(self, ask: t.Callable[[], t.Any]) -> t.Any:
        """Return an answer, or None and note why there is none."""
        try:
            return ask()
        except EndpointError as error:
            self.errors.append(str(error))
            return None

    def refuses_plaintext(self, endpoint: str) -> bool:
        """Tell whether a client without TLS gets nothing."""
        plain = HttpJsonClient(endpoint.replace("https://", "http://", 1), timeout=self.timeout)
        return refuses(lambda: plain.request("GET", "/version"))

    def requires_certificate(self, endpoint: str) -> bool:
        """Tell whether a client without a certificate gets nothing."""
        bare = HttpJsonClient(endpoint, ca=self.tls.ca, timeout=self.timeout)
        return refuses(lambda: bare.request("GET", "/version"))


def refuses(ask: t.Callable[[], t.Any]) -> bool:
    """Tell whether a request fails."""
    try:
        ask()
    except EndpointError:
        return True
    return False


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    module.exit_json(changed=False, **asdict(Observer(module.params).report()))


if __name__ == "__main__":
    main()
