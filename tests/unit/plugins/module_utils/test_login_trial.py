# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import login_trial as sut
from ansible_collections.holdfast.ha.plugins.module_utils.http_json import HttpJsonClient
from ansible_collections.holdfast.ha.plugins.module_utils.scram import verifier

VALUES = sut.Values({"postgresql_rewind": "new", "ha_role_passwords.app": "same"}, {"postgresql_rewind": "old"})
ROLES = {"postgresql_rewind": "rewinder", "ha_role_passwords.app": "app"}


@pytest.mark.parametrize(
    ("stored", "accepted", "former"), [("old", False, True), ("new", True, False), ("else", False, False)]
)
def test_roles_are_judged_by_what_the_server_stored(stored, accepted, former):
    passwords = {"rewinder": verifier(stored, b"salt"), "app": verifier("same", b"salt"), "rewinder_next": None}
    found = sut.try_roles(ROLES, passwords, VALUES)
    assert found.accepted == {"postgresql_rewind": accepted, "ha_role_passwords.app": True}
    assert found.former == {"postgresql_rewind": former}
    assert found.standing == {"postgresql_rewind": True, "ha_role_passwords.app": False}
    assert found.foreign == {"postgresql_rewind": True}


def test_a_stand_in_with_the_desired_password_is_no_foreign_one():
    passwords = {"rewinder": None, "rewinder_next": verifier("new", b"salt")}
    assert sut.try_roles(ROLES, passwords, VALUES).foreign == {"postgresql_rewind": False}


def test_a_role_that_does_not_exist_gives_no_verdict():
    assert sut.try_roles(ROLES, {}, VALUES).accepted == dict.fromkeys(ROLES)


@pytest.mark.parametrize(
    ("one", "other", "accepted", "former"),
    [
        ((True, False), (True, False), True, False),
        ((True, False), (False, True), False, True),
        ((True, None), (None, True), True, True),
        ((None, None), (None, None), None, None),
    ],
)
def test_a_secret_of_two_services_needs_both(one, other, accepted, former):
    found = sut.merged(
        sut.Trials({"pgbouncer": one_accepted}, {"pgbouncer": one_former}) for one_accepted, one_former in (one, other)
    )
    assert (found.accepted["pgbouncer"], found.former["pgbouncer"]) == (accepted, former)


@pytest.fixture
def server():
    """Serve as Patroni does to a change, and as HAProxy to a reader."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            login = base64.b64decode(self.headers.get("Authorization", "").removeprefix("Basic ")).decode()
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            right = 400 if self.command == "PATCH" else 200
            self.send_response({"holdfast:new": right, "holdfast:without a certificate": 403}.get(login, 401))
            self.end_headers()

        do_GET = do_PATCH = answer  # noqa: N815

        def log_message(self, *_arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.parametrize(("password", "expected"), [("new", True), ("old", False), ("without a certificate", None)])
def test_patroni_s_interface_is_tried_with_what_it_refuses(server, password, expected):
    assert sut.try_rest(HttpJsonClient(server, username="holdfast", password=password)) is expected


@pytest.mark.parametrize(("password", "expected"), [("new", True), ("old", False)])
def test_a_page_is_tried(server, password, expected):
    assert sut.try_page(HttpJsonClient(server, username="holdfast", password=password)) is expected


def test_who_does_not_answer_gives_no_verdict():
    silent = HttpJsonClient("http://127.0.0.1:9", username="holdfast", password="x", timeout=1)
    assert sut.try_rest(silent) is sut.try_page(silent) is None


def test_values_are_not_shown():
    assert "new" not in repr(VALUES)
    assert "old" not in repr(VALUES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('FATAL:  password authentication failed for user "app"', True),
        ("FATAL:  SASL authentication failed", True),
        ('FATAL:  no pg_hba.conf entry for host "192.0.2.1"', False),
        ("connection refused", False),
    ],
)
def test_a_refused_password_is_told_from_other_errors(text, expected):
    assert sut.is_refused_password(Exception(text)) is expected
