# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What no failover mends: a part of the cluster is lost on all of its hosts. Needs the lab, about ten minutes."""

from __future__ import annotations

import pytest
from backup_lab import PLAYBOOKS, archive_all, backups, digest, fill, restore, stopwatch
from lab_cluster import (
    DATABASES,
    SITE,
    Run,
    assert_converged,
    converge,
    leader,
    on_node,
    replace_nodes,
    run_playbook,
    sql,
    wait_until,
)


def etcd_lost(*arguments: str) -> Run:
    """Run etcd_lost.yml, confirmed."""
    return run_playbook(PLAYBOOKS / "etcd_lost.yml", "-e", "etcd_lost_confirm=lab", *arguments)


def test_the_repository_host_is_lost() -> None:
    before = fill("without_repository")
    replace_nodes("backup1")
    sql("INSERT INTO without_repository (id) VALUES (0)")
    with stopwatch("a new repository with a full backup"):
        converge()
    assert [backup.type for backup in backups()] == ["full"]
    assert run_playbook(PLAYBOOKS / "restore_verify.yml").code == 0
    assert_converged()
    sql("DELETE FROM without_repository WHERE id = 0")
    assert digest("without_repository") == before


@pytest.mark.parametrize("stopped", [False, True], ids=["PostgreSQL runs", "and PostgreSQL is down"])
def test_etcd_loses_its_data_on_all_members(stopped: bool) -> None:
    before = fill("without_etcd")
    named = ["-e", f"etcd_lost_leader={leader()}"] if stopped else []
    # A running Patroni takes an etcd of a lower term for a stale one; one restart is etcd's leader's.
    for node in DATABASES:
        on_node(node, "systemctl", "restart", "etcd")
    for node in DATABASES:
        on_node(node, "systemctl", "stop", "etcd")
        on_node(node, "sh", "-c", "rm -rf /var/lib/etcd/*")
    for node in DATABASES if stopped else ():
        on_node(node, "systemctl", "stop", "patroni")
    with stopwatch("etcd from nothing, the database from its own data"):
        assert run_playbook(PLAYBOOKS / "etcd.yml").code == 0
        told = run_playbook(PLAYBOOKS / "postgresql.yml")
        assert "etcd_lost.yml lets the cluster go on" in told.output, told.output[-4000:]
        assert "not healthy within" not in told.output, "members waited for what can't be declared"
        foretold = etcd_lost("--check", *named)
        assert foretold.code == 0, foretold.output[-4000:]
        assert " leads: " in foretold.output
        done = etcd_lost(*named)
        assert done.code == 0, done.output[-4000:]
        converge()
    assert digest("without_etcd") == before
    assert_converged()


def test_a_member_without_data_makes_no_empty_cluster() -> None:
    """It is started first beside an etcd that lost its data; those that have the data come later."""
    before = fill("beside_an_empty_member")
    primary = leader()
    empty = next(node for node in DATABASES if node != primary)
    for node in DATABASES:
        on_node(node, "systemctl", "stop", "patroni")
    for node in DATABASES:
        on_node(node, "systemctl", "stop", "etcd")
        on_node(node, "sh", "-c", "rm -rf /var/lib/etcd/*")
    on_node(empty, "sh", "-c", "rm -rf /var/lib/postgresql/lab")
    assert run_playbook(PLAYBOOKS / "etcd.yml").code == 0
    begun = on_node(empty, "date", "+%s").strip()
    on_node(empty, "systemctl", "start", "patroni")

    def said() -> str:
        return on_node(empty, "journalctl", "--unit=patroni", f"--since=@{begun}", "--no-pager", "--output=cat")

    wait_until(lambda: said().count("waiting for site.yml to permit a new cluster") > 2, seconds=60, what="it waits")
    done = etcd_lost("-e", f"etcd_lost_leader={primary}")
    assert done.code == 0, done.output[-4000:]
    converge()
    assert digest("beside_an_empty_member") == before
    assert_converged()


def test_all_database_hosts_are_lost() -> None:
    before = fill("without_databases")
    archive_all()
    replace_nodes(*DATABASES)
    with stopwatch("site.yml and restore.yml"):
        refused = run_playbook(SITE)
        assert refused.code != 0
        assert "database is not the one" in " ".join(refused.output.split()), refused.output[-3000:]
        restored = restore()
        assert restored.code == 0, restored.output[-4000:]
    assert digest("without_databases") == before
    assert_converged()
