# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Harm done by hand is mended by one more run of site.yml, and the run after that changes nothing."""

from __future__ import annotations

import pytest
from lab_cluster import DATABASES, assert_converged, assert_healthy, converge, leader, on_node


def standby() -> str:
    return next(name for name in DATABASES if name != leader())


def stop_and_disable_haproxy() -> str:
    on_node("lb1", "systemctl", "disable", "--now", "haproxy.service")
    return "lb1"


def kill_and_mask_etcd() -> str:
    on_node("db2", "systemctl", "kill", "--signal=KILL", "etcd.service")
    on_node("db2", "systemctl", "mask", "--now", "etcd.service")
    return "db2"


def stop_patroni_on_a_standby() -> str:
    name = standby()
    on_node(name, "systemctl", "stop", "patroni.service")
    return name


def change_the_dynamic_configuration() -> str:
    on_node("db1", "patronictl", "-c", "/etc/patroni/config.yml", "edit-config", "--force", "-s", "ttl=77", "lab")
    return "db1"


def edit_pg_hba() -> str:
    name = leader()
    rules = on_node(name, "runuser", "-u", "postgres", "--", "psql", "-XAtc", "SHOW hba_file").strip()
    on_node(name, "sh", "-c", f"echo 'host all all 0.0.0.0/0 trust' >>{rules}")
    return name


def delete_a_rendered_file() -> str:
    on_node("lb2", "rm", "/etc/keepalived/keepalived.conf")
    return "lb2"


def disable_a_timer() -> str:
    on_node("backup1", "systemctl", "disable", "--now", "pgbackrest-backup@full.timer")
    return "backup1"


def remove_a_certificate() -> str:
    on_node("db3", "rm", "/etc/holdfast/tls/host.crt")
    return "db3"


@pytest.mark.parametrize(
    "harm",
    [
        stop_and_disable_haproxy,
        kill_and_mask_etcd,
        stop_patroni_on_a_standby,
        change_the_dynamic_configuration,
        edit_pg_hba,
        delete_a_rendered_file,
        disable_a_timer,
        remove_a_certificate,
    ],
)
def test_one_run_heals(harm) -> None:
    assert_healthy()
    harmed = harm()
    assert converge().changed[harmed] > 0
    assert_converged()
