# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seven extensions: installed, loaded, used, copied, updated and dropped. Needs the lab, 20 minutes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from backup_lab import PLAYBOOKS, archive_all, as_postgres, stopwatch, superuser_sql, take_backup
from lab_cluster import DATABASES, INVENTORY, ROOT, Run, attempt, leader, on_node, run_playbook, sql

MINE = ROOT / ".lab/extensions"
SEVEN: list[dict[str, object]] = [
    {"name": "vector", "databases": ["app"]},
    {"name": "postgis"},
    {"name": "pgaudit"},
    {"name": "pg_cron", "databases": ["app"]},
    {"name": "pg_repack", "databases": ["app"]},
    {"name": "pg_partman", "databases": ["app"], "schema": "partman"},
    {"name": "pg_stat_statements", "databases": ["app", "postgres"]},
]
LIBRARIES = "pg_stat_statements,pgaudit,pg_cron"
USES = {
    "vector": ("SELECT '[1,2,3]'::vector <-> '[1,2,5]'", "2"),
    "postgis": ("SELECT ST_AsText(ST_Centroid('POLYGON((0 0,2 0,2 2,0 2,0 0))'::geometry))", "POINT(1 1)"),
    "pg_cron": ("SELECT count(*) FROM cron.job", "0"),
    "pg_repack": ("SELECT repack.version() ~ '^pg_repack '", "t"),
    "pg_partman": ("SELECT count(*) FROM partman.part_config", "0"),
    "pg_stat_statements": ("SELECT count(*) > 0 FROM pg_stat_statements", "t"),
}
"""A query with each extension, and its answer."""
CREATED = "SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension WHERE extname <> 'plpgsql'"


def declare(extensions: list[dict[str, object]]) -> None:
    """Write the lab's inventory with these extensions."""
    shutil.rmtree(MINE, ignore_errors=True)
    shutil.copytree(INVENTORY, MINE, symlinks=True)
    [path] = MINE.glob("*topology.ha.yml")
    document = yaml.safe_load(path.read_text())
    document["clusters"]["lab"]["extensions"] = extensions
    path.write_text(yaml.safe_dump(document))


def run(playbook: str, *arguments: str, inventory: Path = MINE) -> Run:
    """Run a playbook that must succeed."""
    with stopwatch(" ".join((playbook, *arguments))):
        done = run_playbook(PLAYBOOKS / f"{playbook}.yml", *arguments, inventory=inventory)
    assert done.code == 0, done.output[-6000:]
    return done


def app(statement: str) -> str:
    """Run SQL in the database app as the superuser on the leader."""
    return on_node(leader(), *as_postgres("psql", "-XAtq", "-d", "app", "-c", statement)).strip()


@pytest.fixture(scope="module", autouse=True)
def lab() -> Iterator[None]:
    """The lab as it was, afterwards."""
    try:
        yield
    finally:
        declare([{**one, "state": "absent"} for one in SEVEN])
        run("site")
        run("site", inventory=INVENTORY)
        shutil.rmtree(MINE)


def test_bad_declarations_are_refused_before_anything_is_changed() -> None:
    for extensions, told in (
        ([{"name": "vector", "databases": ["nowhere"]}], "nowhere"),
        ([{"name": "pg_cron", "databases": ["app", "postgres"]}], "several databases"),
        ([{"name": "no_such_extension", "databases": ["app"]}], "no_such_extension"),
        ([{"name": "rum", "databases": ["app"], "package": "postgresql-%v-no-such"}], "postgresql-17-no-such"),
    ):
        declare(extensions)
        done = run_playbook(PLAYBOOKS / "site.yml", inventory=MINE)
        assert done.code != 0
        assert told in done.output
    assert app(CREATED) == ""


def test_a_dry_run_shows_them() -> None:
    declare(SEVEN)
    done = run("site", "--check", "--diff")
    assert "postgresql-17-pgvector" in done.output
    assert app(CREATED) == ""


def test_seven_extensions_in_one_run() -> None:
    declare(SEVEN)
    run("site")
    assert superuser_sql("SHOW shared_preload_libraries") == LIBRARIES
    assert app(CREATED) == "pg_cron,pg_partman,pg_repack,pg_stat_statements,pgaudit,postgis,vector"
    assert superuser_sql(CREATED) == "pg_stat_statements"
    for name, (query, answer) in USES.items():
        assert (name, app(query)) == (name, answer)
    assert set(run("site").changed.values()) == {0}
    run("status", "-e", "status_wait=60")


def test_a_table_with_them_survives_a_switchover() -> None:
    sql("CREATE TABLE points (id int PRIMARY KEY, at geometry, embedding vector(2))")
    sql("INSERT INTO points VALUES (1, 'POINT(1 2)', '[1,2]')")
    run("switchover", "-e", f"switchover_to={next(name for name in DATABASES if name != leader())}")
    assert sql("SELECT ST_X(at) || ' ' || (embedding <-> '[1,3]') FROM points") == "1 1"


def test_a_restore_and_a_clone_have_them() -> None:
    archive_all()
    assert take_backup("diff").code == 0
    run("restore_verify")
    place = ("-e", "clone_source=lab", "-e", "clone_host=backup1", "-e", "clone_directory=/srv/clone")
    run("clone", *place, "-e", "clone_port=5433")
    query = ("psql", "-XAtq", "-h", "/run/holdfast-clone-5433", "-p", "5433", "-d", "app", "-c")
    told = on_node("backup1", *as_postgres(*query, "SELECT embedding <-> '[1,3]' FROM points"))
    assert told.strip() == "1"
    run("clone", *place, "-e", "clone_port=5433", "-e", "clone_state=absent", "-e", "clone_confirm=/srv/clone")


def test_what_objects_depend_on_is_not_dropped() -> None:
    declare([{**one, "state": "absent"} if one["name"] == "vector" else one for one in SEVEN])
    done = run_playbook(PLAYBOOKS / "site.yml", inventory=MINE)
    assert done.code != 0
    assert "column embedding of table points depends on type vector" in done.output
    sql("DROP TABLE points")
    run("site")
    assert "vector" not in app(CREATED)


def test_a_library_waits_for_the_restart_that_is_left_to_restart_yml() -> None:
    waits = ("-e", json.dumps({"patroni_restart_pending": False}))
    declare([*SEVEN, {"name": "pg_squeeze", "databases": ["app"]}])
    done = run("site", *waits)
    assert "wait for a restart" in done.output
    assert "app: pg_squeeze" in done.output
    run("restart")
    run("site", *waits)
    assert "pg_squeeze" in app(CREATED)
    declare([*SEVEN, {"name": "pg_squeeze", "databases": ["app"], "state": "absent"}])
    run("site")
    assert "pg_squeeze" not in app(CREATED)


def test_dropped_again() -> None:
    declare([{**one, "state": "absent"} for one in SEVEN])
    run("site")
    assert app(CREATED) == ""
    assert superuser_sql("SHOW shared_preload_libraries") == ""
    assert set(run("site").changed.values()) == {0}
    assert attempt("db1", "dpkg", "-s", "postgresql-17-pgvector").returncode == 0
