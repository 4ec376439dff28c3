# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scratch instance is told, and who may log in to it."""

from __future__ import annotations

import re
import shlex
from typing import Any

from tests.unit.roles.render import render

INPUTS: dict[str, Any] = {
    "clone_stanza": "lab",
    "clone_directory": "/srv/clone",
    "clone_port": "5433",
    "clone_point": {"postgresql_version": "17"},
}
OVER_TCP = {"clone_listen_addresses": "*", "clone_clients": "192.0.2.0/24, 2001:db8::/64"}


def command(**variables: Any) -> list[str]:
    """Return the unit's command, read as systemd does."""
    unit = render("clone", "clone.service.j2", INPUTS | variables)
    found = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", unit, re.MULTILINE)
    assert found
    return shlex.split(found[1].replace("\\\n", "").replace("%%", "%").replace("$$", "$"))


def settings(**variables: Any) -> dict[str, str]:
    words = command(**variables)
    assert words[:3] == ["/usr/lib/postgresql/17/bin/postgres", "-D", "/srv/clone/data"]
    assert set(words[3::2]) == {"-c"}
    return {name: value for name, _equals, value in (word.partition("=") for word in words[4::2])}


def test_a_clone_keeps_to_itself() -> None:
    told = settings()
    assert (told["archive_mode"], told["listen_addresses"], told["ssl"]) == ("off", "", "off")
    for name in ("archive_command", "restore_command", "primary_conninfo", "synchronous_standby_names"):
        assert told[name] == ""
    assert told["unix_socket_directories"] == "/run/holdfast-clone-5433"
    assert told["cluster_name"] == "lab-clone-5433"
    assert told["max_logical_replication_workers"] == "0"


def test_parameters_win_over_the_usual_ones_but_not_over_what_keeps_it_apart() -> None:
    told = settings(clone_parameters={"max_connections": 20, "archive_mode": "on", "work_mem": "8MB"})
    assert (told["max_connections"], told["work_mem"], told["archive_mode"]) == ("20", "8MB", "off")


def test_parameters_reach_postgresql_as_they_are() -> None:
    odd = '%m [%p] "q" $x \\'
    assert settings(clone_parameters={"log_line_prefix": odd})["log_line_prefix"] == odd


def test_only_the_local_socket_unless_told_otherwise() -> None:
    assert "host" not in render("clone", "pg_hba.conf.j2", INPUTS)
    assert "SupplementaryGroups" not in render("clone", "clone.service.j2", INPUTS)


def test_over_tcp_with_tls_only() -> None:
    assert settings(**OVER_TCP)["ssl"] == "on"
    lines = render("clone", "pg_hba.conf.j2", INPUTS | OVER_TCP).splitlines()
    assert lines[3:] == [f"hostssl all all {network} scram-sha-256" for network in ("192.0.2.0/24", "2001:db8::/64")]
    assert "SupplementaryGroups=ssl-cert\n" in render("clone", "clone.service.j2", INPUTS | OVER_TCP)
