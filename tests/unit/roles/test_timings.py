# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read from the files that the roles' own templates make, and from what users add to them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import kernel_settings, timings

from tests.unit.roles.render import ROLES, render

POOL = {
    "name": "primary",
    "port": 5000,
    "check": {"type": "http", "path": "/primary", "port": 8008, "tls": True},
    "servers": [{"name": name, "address": f"192.0.2.1{at}"} for at, name in enumerate(("db1", "db2"), 1)],
}
CHECKS = {
    "inter": 0.5, "fastinter": 0.25, "downinter": 0.5, "fall": 2, "rise": 1, "timeout_check": 1.5, "timeout_connect": 2,
}  # fmt: skip


@pytest.mark.parametrize(
    ("variables", "pool", "changed"),
    [
        ({}, {}, {}),
        ({}, {"backend_options": ["default-server downinter 150ms"]}, {"downinter": 0.15}),
        ({"haproxy_check_interval": "2s", "haproxy_check_fall": 3}, {}, {"inter": 2.0, "fall": 3}),
        ({"haproxy_check_timeout": 700}, {}, {"timeout_check": 0.7}),
        ({}, {"server_options": "inter 4s"}, {"inter": 4.0}),
        ({}, {"timeouts": {"connect": "5s"}}, {"timeout_connect": 5.0}),
        ({}, {"backend_options": ["default-server rise 3", "timeout check 900us"]}, {"rise": 3, "timeout_check": 9e-4}),
    ],
)
def test_the_checks_that_haproxy_runs_with(variables, pool, changed):
    text = render("haproxy", "haproxy.cfg.j2", {"haproxy_pools": [{**POOL, **pool}], **variables})
    assert timings.parse_haproxy(text) == {"primary": pytest.approx({**CHECKS, **changed})}


def test_of_servers_that_differ_the_slowest_setting_counts():
    servers = [{**POOL["servers"][0], "options": "inter 3s"}, {**POOL["servers"][1], "options": "fall 5"}]
    text = render("haproxy", "haproxy.cfg.j2", {"haproxy_pools": [{**POOL, "servers": servers}]})
    assert timings.parse_haproxy(text)["primary"] == pytest.approx({**CHECKS, "inter": 3.0, "fall": 5})


def test_the_checks_of_a_pool_that_is_checked_elsewhere_are_its():
    own = {"timeouts": {"connect": "100ms"}, "server_options": "inter 3s"}
    text = render("haproxy", "haproxy.cfg.j2", {"haproxy_pools": [{**POOL, **own}]})
    text += "backend other\n    server one 192.0.2.1:80 track primary/db1\n"
    told = timings.parse_haproxy(text)
    assert told.keys() == {"primary", "other"}
    assert told["primary"] == pytest.approx({**CHECKS, "inter": 3.0, "timeout_connect": 0.1})


def test_haproxys_own_defaults():
    text = "backend web\n    server one 192.0.2.1:80 check\nlisten stats\n    bind :8404\n"
    own = {"inter": 2.0, "fastinter": 2.0, "downinter": 2.0, "fall": 3, "rise": 2}
    expected = {**own, "timeout_check": None, "timeout_connect": None}
    assert timings.parse_haproxy(text) == {"web": expected, "stats": expected}


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("2s", 2.0), ("250", 0.25), ("1m", 60.0), ("7us", 7e-6)])
def test_haproxys_times(text, seconds):
    assert timings.seconds(text) == pytest.approx(seconds)


def test_the_adverts_and_scripts_that_keepalived_runs_with():
    instance = {"virtual_router_id": 51, "source": "192.0.2.21", "peers": ["192.0.2.22"], "interface": "eth0"}
    text = render(
        "keepalived",
        "keepalived.conf.j2",
        {
            "keepalived_instances": [
                {**instance, "name": "main", "priority": 150, "addresses": ["192.0.2.100/24"]},
                {**instance, "name": "slow", "priority": 90, "addresses": ["2001:db8::1/64"], "advert_int": 1},
            ],
            "keepalived_track_scripts": [
                {"name": "haproxy", "http": {"port": 8405}},
                {"name": "own", "command": ["/bin/true"], "interval": 2, "timeout": 3, "fall": 4},
            ],
            "keepalived__takes_fractions": True,
            "keepalived__interfaces": {},
            "keepalived__track_script_names": ["haproxy", "own"],
            "keepalived_router_id": "lb1",
        },
    )
    assert timings.parse_keepalived(text) == {
        "instances": {"main": {"advert_int": 0.2, "priority": 150}, "slow": {"advert_int": 1.0, "priority": 90}},
        "scripts": {
            "haproxy": {"interval": 0.5, "timeout": 1.0, "fall": 2},
            "own": {"interval": 2.0, "timeout": 3.0, "fall": 4},
        },
    }


def test_keepaliveds_own_defaults():
    script = "vrrp_script s {\n script /bin/true\n interval 3\n}\n"
    text = f"{script}vrrp_instance i {{\n virtual_ipaddress {{\n 192.0.2.1\n }}\n}}\n"
    assert timings.parse_keepalived(text) == {
        "instances": {"i": {"advert_int": 1.0, "priority": 100}},
        "scripts": {"s": {"interval": 3.0, "timeout": 3.0, "fall": 1}},
    }


def test_etcds_timing():
    settings = {"ETCD_NAME": "db1", "ETCD_HEARTBEAT_INTERVAL": 50, "ETCD_ELECTION_TIMEOUT": 700}
    told = {"etcd__default_settings": settings, "etcd__peer_settings": {}, "etcd_settings": {"ETCD_NAME": "x"}}
    text = render("etcd", "etcd.env.j2", told)
    assert timings.parse_etcd(text) == {"heartbeat_interval": 0.05, "election_timeout": 0.7}
    assert timings.parse_etcd("") == {"heartbeat_interval": 0.1, "election_timeout": 1.0}


# The whole host

WATCHER = {
    "access": {"password": "a secret"},
    "rules": {"seconds": 8, "stall": 1.5, "interval": 0.5, "fencing_after": 2},
}


@pytest.fixture
def host(tmp_path):
    """Return a function that puts a file of the host into a directory of its own."""

    def put(path: str, text: str) -> str:
        file = tmp_path / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return str(tmp_path)

    return put


def test_a_host_without_any_part(tmp_path):
    assert timings.read(lambda unit: True, str(tmp_path)) == dict.fromkeys(timings.PARSERS)


@pytest.mark.parametrize(("runs", "told"), [(True, {"seconds": 8, "interval": 0.5, "fencing_after": 2}), (False, None)])
def test_a_watcher_counts_only_while_it_runs_and_keeps_its_secret(host, runs, told):
    root = host(timings.LEASE_WATCHER, json.dumps(WATCHER))
    found = timings.read(lambda unit: runs, root)
    assert found["lease_watcher"] == told
    assert "secret" not in repr(found)


@pytest.mark.parametrize(("live", "told"), [("5", "5"), ("15", "15"), (None, None)])
def test_the_kernel_s_settings_are_compared_with_their_file(host, live, told):
    root = host(kernel_settings.PATH, kernel_settings.render({"net.ipv4.tcp_retries2": "5"}, ""))
    if live:
        host("/proc/sys/net/ipv4/tcp_retries2", f"{live}\n")
    found = timings.read(lambda unit: True, root)
    assert found["connections"] == {"net.ipv4.tcp_retries2": {"kept": "5", "live": told}}


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (timings.HAPROXY, "defaults\n    timeout check ${TIMEOUT}\n"),
        (timings.HAPROXY, "defaults\n    timeout check\n"),
        (timings.KEEPALIVED, "vrrp_instance a {\n    priority high\n}\n"),
        (timings.LEASE_WATCHER, "{}"),
        (timings.LEASE_WATCHER, "no JSON"),
        (timings.ETCD, "ETCD_ELECTION_TIMEOUT=soon\n"),
    ],
)
def test_a_file_that_can_not_be_understood_is_named(host, path, text):
    with pytest.raises(ValueError, match=Path(path).name):
        timings.read(lambda unit: True, host(path, text))


DATA = {"patroni_data_directory": "/var/lib/postgresql/17/lab"}


@pytest.mark.parametrize("amended", [True, False])
def test_whether_patroni_is_amended_is_read_as_it_is_rendered(amended):
    assert timings.parse_patroni(render("patroni", "drop-in.conf.j2", DATA | {"patroni_amended": amended})) == {
        "amended": amended,
        "unchanged": False,
    }


START = "#!/usr/bin/python3 -I\n" + (ROLES / "patroni" / "files" / "start_patroni.py").read_text(encoding="utf-8")
AMENDED, PLAIN, NONE = "4711", "4712", "4713"
PROCESSES = {AMENDED: ("/usr/bin/python3", "-I", timings.AMENDED), PLAIN: ("/usr/bin/python3", "/usr/bin/patroni")}
ASKED = f"[Service]\nExecStart=\nExecStart={timings.AMENDED} /etc/patroni/config.yml\n"


def cmdline(process: str) -> tuple[str, str]:
    return f"/proc/{process}/cmdline", "\0".join((*PROCESSES[process], "/etc/patroni/config.yml", ""))


@pytest.mark.parametrize(
    ("drop_in", "record", "runs", "told"),
    [
        (ASKED, f"{AMENDED}\n", True, (True, False)),
        (ASKED, None, True, (False, True)),
        (ASKED, PLAIN, True, (False, True)),
        (ASKED, NONE, True, (False, True)),
        (ASKED, None, False, (True, False)),
        ("", AMENDED, True, (True, False)),
        ("", AMENDED, False, (False, False)),
        ("", None, True, (False, False)),
        (ASKED, "", True, (False, True)),
        (ASKED, f"../proc/{AMENDED}", True, (False, True)),
        (ASKED, "1" * 5000, True, (False, True)),
    ],
)
def test_whether_patroni_runs_amended(host, drop_in, record, runs, told):
    root = host(timings.PATRONI, drop_in)
    for process in PROCESSES:
        host(*cmdline(process))
    if record is not None:
        host(timings.RECORD, record)
    assert timings.read(lambda unit: runs, root)["patroni"] == dict(zip(("amended", "unchanged"), told, strict=True))


@pytest.mark.parametrize("plant", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path.parents[2] / "elsewhere")])
def test_nothing_but_a_file_tells_which_patroni_is_amended(host, plant):
    host("/elsewhere", AMENDED)
    root = host(*cmdline(AMENDED))
    path = Path(root, timings.RECORD.lstrip("/"))
    path.parent.mkdir(parents=True)
    plant(path)
    assert not timings.is_amended(root)


@pytest.mark.parametrize(
    ("drop_in_at", "program_at", "amendment_at", "due"),
    [
        (999.5, 999.5, 999.5, False),
        (999.5, 1000.5, 999.5, True),
        (1000.5, 999.5, 999.5, True),
        (999.5, 999.5, 1000.5, True),
        (999.5, None, None, False),
    ],
)
def test_whether_patroni_runs_since_before_its_files_changed(host, drop_in_at, program_at, amendment_at, due):
    amendment = f"{timings.AMENDED}_start/table.py"
    written = {timings.PATRONI: drop_in_at, timings.AMENDED: program_at, amendment: amendment_at}
    for path, written_at in written.items():
        if written_at is not None:
            root = host(path, START if path == timings.AMENDED else "")
            os.utime(Path(root, path.lstrip("/")), (0, written_at))
    assert timings.restart_due(1000.0, root) is due


def test_a_script_s_own_packages_are_those_beside_it_that_it_imports(tmp_path):
    for name in ("patroni_start/table.py", "patroni_start/amendment.py", "other/module.py", "patroni_start/data.json"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    script = tmp_path / "patroni"
    script.write_text(START)
    names = [str(file.relative_to(tmp_path)) for file in timings.script_files(script)]
    assert names == ["patroni", "patroni_start/amendment.py", "patroni_start/table.py"]
    assert timings.script_files(tmp_path / "none") == []
