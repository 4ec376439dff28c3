# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.modules import haproxy_info

ANSWERS = {
    "show info": "Version: 3.0\nPid: 7\nUptime_sec: 1\nCurrConns: 0\nMaxconn: 100\n",
    "show stat": (
        "# pxname,svname,status,scur,stot,check_status,check_code,check_duration,lastchg,weight,bck\n"
        "web,w1,DRAIN,0,0,,,,5,0,0\nweb,w2,DRAIN,0,0,,,,5,0,0\nweb,BACKEND,UP,0,0,,,,5,0,0\n"
    ),
    "show servers state": (
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight\n"
        "3 web 1 w1 ::1 2 8 0 1\n3 web 2 w2 ::1 2 8 1 1\n"
    ),
}


def test_load(monkeypatch):
    monkeypatch.setattr(haproxy_info, "ask", lambda path, command, timeout: ANSWERS[command])
    result = haproxy_info.load("/run/haproxy/admin.sock", 5)
    assert result["running"]
    assert result["process"]["pid"] == 7
    (pool,) = result["pools"]
    assert (pool["name"], [server["drained"] for server in pool["servers"]]) == ("web", [True, False])


def test_load_without_haproxy(tmp_path):
    result = haproxy_info.load(str(tmp_path / "admin.sock"), 1)
    assert not result["running"]
    assert result["pools"] == []
    assert "No such file" in result["error"]
