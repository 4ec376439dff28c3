# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.hosts import node, ssh_options
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal


def test_the_lab_is_reached() -> None:
    variables = {
        "ansible_host": "198.51.100.11",
        "ansible_user": "root",
        "ansible_ssh_private_key_file": "/lab/key",
        "ansible_ssh_common_args": "-o UserKnownHostsFile=/lab/known -o StrictHostKeyChecking=accept-new",
        "ansible_become": True,
    }
    made = node("db1", variables, "holdfast-")
    assert (made.address, made.port, made.user, made.key_file) == ("198.51.100.11", 22, "root", "/lab/key")
    assert (made.known_hosts, made.accept_new_keys, made.container) == ("/lab/known", True, "holdfast-db1")
    assert not made.become  # root already


def test_an_ordinary_user_becomes_root() -> None:
    made = node("db1", {"ansible_user": "admin", "ansible_become": "yes", "ansible_port": "2222"}, "")
    assert (made.address, made.port, made.user, made.become) == ("db1", 2222, "admin", True)


def test_a_proxy_command_is_filled_in() -> None:
    arguments = "-o ProxyCommand='ssh -W %h:%p -l %r jump'"
    made = node("db1", {"ansible_host": "192.0.2.1", "ansible_user": "me", "ansible_ssh_common_args": arguments}, "")
    assert made.proxy_command == "ssh -W 192.0.2.1:22 -l me jump"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ansible_ssh_common_args": "-J jump"}, "ProxyJump=jump: the drill can't"),
        ({"ansible_become": True, "ansible_become_method": "doas"}, "'doas': the drill knows sudo only"),
    ],
)
def test_what_it_can_not_do_is_refused(variables, message) -> None:
    with pytest.raises(Refusal, match=message):
        node("db1", variables, "")


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ("", {}),
        ("-o Port=2222 -oUser=me", {"port": "2222", "user": "me"}),
        ("-p 22 -o Port=23", {"port": "22"}),
        ("-C -o 'UserKnownHostsFile=/a b'", {"userknownhostsfile": "/a b"}),
    ],
)
def test_ssh_options(arguments, options) -> None:
    assert ssh_options(arguments) == options
