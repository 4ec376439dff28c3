# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The amendments are in effect in the installed Patroni. Needs the lab; changes nothing."""

from __future__ import annotations

import json
import time

import pytest
from lab_cluster import on_node

START = "/usr/local/lib/holdfast/patroni"
ASK = f"""
import json, runpy, sys
runpy.run_path("{START}")["amend"]()
from patroni.dcs import etcd3
try:
    error = etcd3._raise_for_data(json.loads(sys.argv[1]), 503)
except etcd3.Etcd3Exception as raised:
    error = raised
print(*(kind.__name__ for kind in type(error).__mro__))
"""


def last_line(program: str, *arguments: str) -> str:
    """Return what a program says after the amendments' names."""
    return on_node("db1", "python3", "-c", program, *arguments).splitlines()[-1]


def test_every_amendment_fits_the_installed_patroni() -> None:
    ask = f"""
import runpy
print(runpy.run_path("{START}")["amend"]())
from patroni.version import __version__
from patroni_start.table import AMENDMENTS
print(*(amendment.name for amendment in AMENDMENTS if __version__ in amendment.versions), sep="\\n")
"""
    said = on_node("db1", "python3", "-c", ask).splitlines()
    at = said.index("True")
    assert [line.partition("amended: ")[2] for line in said[:at]] == said[at + 1 :]


def test_a_member_tells_from_whom_it_receives() -> None:
    ask = """
import ssl, urllib.request, yaml
context = ssl.create_default_context(cafile="/etc/holdfast/tls/ca.crt")
listen = yaml.safe_load(open("/etc/patroni/config.yml"))["restapi"]["listen"]
print(urllib.request.urlopen(f"https://{listen}/vote", context=context).read().decode())
"""
    answers = [json.loads(on_node(node, "python3", "-c", ask)) for node in ("db1", "db2", "db3")]
    upstreams = [answer["upstreams"] for answer in answers if answer["role"] == "replica"]
    assert len(upstreams) == 2
    assert upstreams[0] == upstreams[1]
    assert len(upstreams[0]) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"error": {"code": 2, "message": "not a primary lessor"}}, "Unavailable"),
        ({"error": {"code": 14, "message": "etcdserver: leader changed"}}, "Unavailable"),
        ({"error": {"code": 7, "message": "etcdserver: permission denied"}}, "PermissionDenied"),
        ({"code": 14, "message": "etcdserver: request timed out", "details": []}, "Unavailable"),
        ({"code": 3, "message": "etcdserver: revision of auth store is old", "details": []}, "InvalidArgument"),
        ({"error": {"code": 2, "message": "something else"}}, "Unknown"),
    ],
)
def test_an_answer_is_what_patroni_calls_it(answer: dict[str, object], kind: str) -> None:
    assert kind in last_line(ASK, json.dumps(answer)).split()


def test_the_wait_for_the_next_cycle_is_amended() -> None:
    ask = f'import runpy; runpy.run_path("{START}")["amend"](); from patroni.ha import Ha; print(Ha.watch.__qualname__)'
    assert last_line(ask).startswith("watching_postmaster")


def test_a_promotion_is_told_again() -> None:
    ask = f"""
import runpy
runpy.run_path("{START}")["amend"]()
from patroni.postgresql import Postgresql
print(Postgresql._wait_promote.__qualname__)
"""
    assert last_line(ask).startswith("repeating_signal")


def test_connections_do_not_wait_for_acknowledgements() -> None:
    ask = f"""
import runpy, socket
from types import SimpleNamespace
runpy.run_path("{START}")["amend"]()
from patroni import api
from patroni.dcs import etcd3
sock, etcd = socket.socket(), SimpleNamespace(ttl=20, loop_wait=1, _retry=SimpleNamespace(deadline=3))
etcd3.Etcd3.set_socket_options(etcd, sock, None)
options = ((socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.SOL_SOCKET, socket.SO_KEEPALIVE))
print(*(sock.getsockopt(*one) > 0 for one in options))
print(api.RestApiHandler.disable_nagle_algorithm, api.RestApiHandler.wbufsize < 0)
"""
    assert on_node("db1", "python3", "-c", ask).split()[-4:] == ["True", "True", "True", "True"]


def test_patroni_runs_so() -> None:
    pid = on_node("db1", "systemctl", "show", "--property=MainPID", "--value", "patroni").strip()
    assert START in on_node("db1", "cat", f"/proc/{pid}/cmdline").split("\0")


def test_checks_of_the_balancers_leave_no_tracebacks() -> None:
    """Two balancers ask a standby whether it leads, twice a second."""
    begun = on_node("db1", "date", "+%s").strip()
    time.sleep(5)
    for node in ("db1", "db2", "db3"):
        said = on_node(node, "journalctl", "--unit=patroni", f"--since=@{begun}", "--no-pager", "--output=cat")
        assert "Exception happened during processing of request" not in said
