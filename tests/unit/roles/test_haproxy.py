# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's configuration."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.roles.render import render


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({}, ["status 200"]),
        ({"status": "200-399"}, ["status 200-399"]),
        ({"body": "it's up"}, ["status 200", r"string 'it'\''s up'"]),
        ({"body_pattern": '"role": "(a|b)"'}, ["status 200", """rstring '"role": "(a|b)"'"""]),
        ({"body": "up", "body_pattern": "a's"}, ["status 200", "string 'up'", r"rstring 'a'\''s'"]),
    ],
)
def test_a_check_expects_what_was_told(told: dict[str, str], expected: list[str]) -> None:
    server = {"name": "web1", "address": "192.0.2.1", "port": 80}
    pool: dict[str, Any] = {"name": "web", "port": 80, "check": {"type": "http", **told}, "servers": [server]}
    lines = render("haproxy", "haproxy.cfg.j2", {"haproxy_pools": [pool]}).splitlines()
    assert [line.partition("expect ")[2] for line in lines if "http-check expect" in line] == expected
