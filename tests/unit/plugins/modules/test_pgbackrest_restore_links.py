# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A restore that root starts, beside a data directory whose user plants links to what is root's."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.modules import pgbackrest_restore

from tests.unit.planting import AS_USER, USER, Host, make_host, needs_root
from tests.unit.plugins.modules.test_pgbackrest_restore import CONTROL, PG_CTL, POSTGRES

pytestmark = [needs_root, pytest.mark.xdist_group("restores")]
# It is the user's, so it plants what the attacker would, in the very moment.
PGBACKREST = """\
for word; do case $word in --pg1-path=*) data=${word#*=} ;; esac; done
mkdir -p "$data/pg_wal" && echo 17 >"$data/PG_VERSION" && touch "$data/restored"
[ -z "$PLANTED" ] || ln -sfn "$TARGET" "$data/$PLANTED"
"""
TARGET = {
    "type": "time",
    "value": "then",
    "inclusive": True,
    "timeline": "latest",
    "set": "F1",
    "size": 1,
    "repository": 1,
}
STATES = ("room", "prepared", "recovered", "placed")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    for made in make_host():
        (made.root / "bin").mkdir()
        programs = {"pg_controldata": CONTROL, "postgres": POSTGRES, "pg_ctl": PG_CTL, "pgbackrest": PGBACKREST}
        for name, script in programs.items():
            (made.root / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
            (made.root / "bin" / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{made.root}/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        monkeypatch.setenv("PLANTED", "")
        made.as_user("mkdir", str(made.service / "lab"))
        made.as_user("touch", str(made.service / "lab" / "former"))
        (made.root / "pgbackrest.conf").write_text("[global]\nrepo1-path=/repo\n[lab]\npg1-path=/elsewhere\n")
        yield made


def run(capsys: pytest.CaptureFixture[str], host: Host, state: str, **more: Any) -> dict[str, Any]:
    """Run the module as root; return its result."""
    arguments = {
        "stanza": f"test-{host.root.name}",
        "path": str(host.service / "lab"),
        "state": state,
        "target": {**TARGET, "archive_end": None},
        "bin_directory": str(host.root / "bin"),
        "config": str(host.root / "pgbackrest.conf"),
        "timeout": 10,
        "user": USER,
        **more,
    }
    with patch_module_args(arguments), pytest.raises((SystemExit, OSError)):
        pgbackrest_restore.main()
    Path(f"/run/holdfast-restore-{arguments['stanza']}.lock").unlink()
    printed = capsys.readouterr().out
    return dict(json.loads(printed)) if printed else {}


def test_a_restore_is_the_user_s_from_beginning_to_end(capsys: pytest.CaptureFixture[str], host: Host) -> None:
    for state in STATES:
        assert "steps" in run(capsys, host, state, private_config=True)
    result = run(capsys, host, "prepared", private_config=True)
    assert (result["phase"], result["steps"]) == ("placed", [])
    assert {path.stat().st_uid for path in host.service.rglob("*")} == {AS_USER.pw_uid}
    ended = run(capsys, host, "finished", id=result["id"], keep=False)
    assert ended["steps"] == ["discard", "forget"]
    assert [path.name for path in host.service.iterdir()] == ["lab"]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("restoring-run", "precious"),
        ("restoring-run/lock", "precious"),
        ("restoring-run/pg_hba.conf", "precious/shadow"),
        ("restoring-run/pgbackrest.conf", "precious/shadow"),
        ("restoring-run/postgresql.log", "precious/shadow"),
        ("restoring", "precious"),
        ("restoring/recovery.signal", "precious/shadow"),
        ("restoring/recovery.signal", "precious/new"),
        ("restore.json", "precious/shadow"),
        ("restore.json.new", "precious/shadow"),
        ("restore.json.new", "precious/new"),
    ],
)
def test_a_planted_link_leads_root_nowhere(capsys, host, monkeypatch, name, target):
    planted = host.service / f"lab.{name}"
    host.as_user("mkdir", "-p", str(planted.parent))
    if planted.parent.name == "lab.restoring":
        monkeypatch.setenv("PLANTED", planted.name)
        monkeypatch.setenv("TARGET", str(host.root / target))
    else:
        host.plant(planted, host.root / target)
    before = host.untouched()
    for state in STATES:
        run(capsys, host, state, private_config="pgbackrest" in name)
    run(capsys, host, "finished", id="7", keep=False)
    assert host.untouched() == before


def test_a_data_directory_that_is_a_link_is_not_set_aside_with_what_it_leads_to(capsys, host):
    host.plant(host.service / "lab.before-7", host.precious)
    before = host.untouched()
    run(capsys, host, "finished", id="7", keep=False)
    assert host.untouched() == before


@pytest.mark.parametrize("identity", ["../../precious", "7/../../precious", ""])
def test_the_marker_names_no_path(capsys, host, identity):
    request = {key: TARGET[key] for key in ("type", "value", "inclusive", "timeline")} | {
        "set": None,
        "repository": None,
    }
    marker = {"id": identity, "phase": "prepared", "request": request}
    (host.service / "lab.restore.json").write_text(json.dumps(marker))
    assert run(capsys, host, "prepared")["id"].startswith("2")


def test_a_directory_in_which_the_user_may_make_nothing_is_named(capsys, host):
    os.chown(host.service, 0, 0)
    for state in ("room", "prepared"):
        for check in (False, True):
            failed = run(capsys, host, state, _ansible_check_mode=check)["msg"]
            assert f"{host.service} is not nobody's to write to" in failed
            assert f"chown nobody {host.service}" in failed


def test_a_user_that_does_not_exist_is_named(capsys, host):
    assert "no system user none-such" in run(capsys, host, "room", user="none-such")["msg"]
