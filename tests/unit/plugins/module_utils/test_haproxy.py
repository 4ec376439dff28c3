# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import socket
import threading

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import haproxy

INFO = """\
Name: HAProxy
Version: 3.0.11-1+deb13u5
Pid: 1573
Uptime: 0d 0h00m40s
Uptime_sec: 40
Maxconn: 8000
CurrConns: 2
Unstoppable Jobs: 1
"""

STAT = """\
# pxname,svname,scur,stot,status,weight,act,bck,lastchg,check_status,check_code,check_duration,last_chk,check_desc,\
addr,mode,
stats,FRONTEND,0,0,OPEN,,,,,,,,,,,http,
primary,FRONTEND,3,9,OPEN,,,,,,,,,,,tcp,
primary,db1,3,9,UP,1,1,0,226,L7OK,200,13,OK,Layer7 check passed,198.18.0.11:5432,tcp,
primary,db2,0,0,DOWN,1,1,0,12,L7STS,503,7,Service Unavailable,Layer7 wrong status,198.18.0.12:5432,tcp,
primary,BACKEND,3,9,UP,1,1,0,226,,,,,,,tcp,
standby,FRONTEND,0,4,OPEN,,,,,,,,,,,tcp,
standby,db1,0,0,DRAIN,1,1,0,5,L7OK,200,1,,Layer7 check passed,198.18.0.11:5432,tcp,
standby,db2,0,4,UP 1/2,1,0,1,5,* L4TOUT,,1500,,Layer4 timeout,"[2001:db8::12]:5432",tcp,
standby,BACKEND,0,4,UP,1,1,1,5,,,,,,,tcp,

"""


def test_info():
    assert haproxy.parse_info(INFO) == haproxy.Process("3.0.11-1+deb13u5", 1573, 40, 2, 8000)


def test_info_refuses_other_text():
    with pytest.raises(ValueError, match="lacks the field 'Version'"):
        haproxy.parse_info("Unknown command: show info\n")


def test_stat_has_pools_in_order():
    pools = haproxy.parse_stat(STAT)
    assert [(pool.name, pool.status, pool.mode, pool.up, pool.sessions, pool.sessions_total) for pool in pools] == [
        ("primary", "UP", "tcp", 1, 3, 9),
        ("standby", "UP", "tcp", 1, 0, 4),
    ]


@pytest.mark.parametrize(
    ("pool", "server", "field", "value"),
    [
        (0, 0, "name", "db1"),
        (0, 0, "address", "198.18.0.11:5432"),
        (0, 0, "state", "up"),
        (0, 0, "check", "L7OK"),
        (0, 0, "check_code", 200),
        (0, 0, "check_ms", 13),
        (0, 0, "reason", "OK"),
        (0, 0, "backup", False),
        (0, 0, "sessions", 3),
        (0, 0, "since", 226),
        (0, 1, "state", "down"),
        (0, 1, "reason", "Service Unavailable"),
        (1, 0, "state", "drain"),
        (1, 0, "reason", "Layer7 check passed"),
        (1, 1, "state", "up"),
        (1, 1, "status", "UP 1/2"),
        (1, 1, "check", "L4TOUT"),
        (1, 1, "check_code", None),
        (1, 1, "backup", True),
        (1, 1, "address", "[2001:db8::12]:5432"),
    ],
)
def test_stat_server(pool, server, field, value):
    assert getattr(haproxy.parse_stat(STAT)[pool].servers[server], field) == value


def test_stat_of_a_pool_that_is_checked_elsewhere():
    elsewhere = STAT.replace("\nprimary,", "\nprimary.checks,").replace("primary.checks,FRONTEND", "primary,FRONTEND")
    rows = "".join(re.findall(r"primary,db.*\n|primary,BACKEND.*\n", STAT))
    own = re.sub(r"(L7OK|L7STS),.*?,(198)", r",,,,,\2", rows)
    pools = haproxy.parse_stat(elsewhere.replace("standby,FRONTEND", own + "standby,FRONTEND"))
    assert pools == haproxy.parse_stat(STAT)


def test_stat_refuses_other_text():
    with pytest.raises(ValueError, match="Permission denied"):
        haproxy.parse_stat("Permission denied\n")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("UP", "up"),
        ("UP 1/3", "up"),
        ("DOWN", "down"),
        ("DOWN 1/2", "down"),
        ("NOLB", "drain"),
        ("DRAIN", "drain"),
        ("DRAIN (agent)", "drain"),
        ("MAINT", "maint"),
        ("MAINT (via primary/db1)", "maint"),
        ("MAINT(resolution)", "maint"),
        ("no check", "unchecked"),
        ("something new", "down"),
    ],
)
def test_state(status, state):
    assert haproxy.state_of(status) == state


def test_ask_reads_until_the_end(tmp_path):
    path = str(tmp_path / "admin.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()

        def answer():
            connection, _address = listener.accept()
            with connection:
                assert connection.recv(100) == b"show info\n"
                connection.sendall(b"Version: ")
                connection.sendall(b"3.0\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert haproxy.ask(path, "show info", 5) == "Version: 3.0\n"
        thread.join()


def test_ask_nobody(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        haproxy.ask(str(tmp_path / "admin.sock"), "show info", 5)
