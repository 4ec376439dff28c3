# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `component` does as root in directories of a service user."""

from __future__ import annotations

import grp
import json
import os
import pwd
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.module_utils import component as module_utils
from ansible_collections.holdfast.ha.plugins.modules import component

from tests.unit.planting import AS_USER, USER, Host, make_host, needs_root

pytestmark = needs_root
GROUP = grp.getgrgid(AS_USER.pw_gid).gr_name
THEIRS = {"owner": USER, "group": GROUP}


@pytest.fixture
def host() -> Iterator[Host]:
    yield from make_host()


def run(capsys: pytest.CaptureFixture[str], *, check: bool = False, **arguments: Any) -> dict[str, Any]:
    """Run the module; return its result."""
    with (
        patch_module_args({**arguments, "_ansible_check_mode": check, "_ansible_diff": True}),
        pytest.raises(SystemExit),
    ):
        component.main()
    return dict(json.loads(capsys.readouterr().out))


def asked(path: Path) -> dict[str, dict[str, Any]]:
    """What can be asked of a path."""
    return {
        "directory": {"directories": [{"path": str(path), **THEIRS}]},
        "file": {"files": [{"path": str(path), "content": "root's own", **THEIRS}]},
        "absence": {"absent": [str(path)]},
    }


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("kind", ["directory", "file", "absence"])
@pytest.mark.parametrize("below", ["", "shadow", "new", "new/below"])
def test_nothing_behind_a_planted_link_is_shown_or_changed(capsys, host, kind, below, check):
    host.plant(host.service / "token", host.precious)
    before = host.untouched()
    result = run(capsys, check=check, **asked(host.service / "token" / below)[kind])
    assert host.untouched() == before
    if below or kind == "directory":
        assert "/service/token is a symbolic link to" in result["msg"]
        assert "remove the link" in result["msg"]


@pytest.mark.parametrize("kind", ["directory", "file", "absence"])
def test_a_planted_file_is_neither_shown_nor_given_away(capsys, host, kind):
    host.plant(host.service / "conf", host.secret)
    before = host.untouched()
    result = run(capsys, **asked(host.service / "conf")[kind])
    assert host.untouched() == before
    assert "root's own" not in json.dumps([item["before"] for item in result.get("diff", [])])


def test_a_second_name_of_root_s_file_is_replaced(capsys, host):
    os.link(host.secret, host.service / "conf")
    result = run(capsys, **asked(host.service / "conf")["file"])
    assert "root's own" not in json.dumps([item["before"] for item in result["diff"]])
    assert (host.service / "conf").stat().st_uid == AS_USER.pw_uid
    assert (host.secret.stat().st_uid, host.secret.stat().st_nlink) == (0, 1)


def test_purging_never_leaves_the_directory(capsys, host):
    host.plant(host.service / "token", host.precious)
    before = host.untouched()
    run(capsys, purge=[{"pattern": f"{host.service}/*"}])
    assert host.untouched() == before
    assert not os.path.lexists(host.service / "token")
    host.plant(host.service / "token", host.precious)
    assert "is a symbolic link" in run(capsys, purge=[{"pattern": f"{host.service}/*/*"}])["msg"]
    assert host.untouched() == before


def test_what_another_user_left_is_purged_with_its_links(capsys, host):
    (host.root / "job-a").mkdir()
    os.chown(host.root / "job-a", AS_USER.pw_uid, AS_USER.pw_gid)
    host.plant(host.root / "job-a" / "cache", host.precious)
    (host.root / "job-b").mkdir()
    before = host.untouched()
    users = {f"{host.root}/job-a": USER, f"{host.root}/job-b": "root", f"{host.root}/job-c": "root"}
    purge = {"pattern": f"{host.root}/job-*"}
    assert not run(capsys, purge=[{**purge, "keep_of": users}])["changed"]
    assert not run(capsys, purge=[{**purge, "keep_of": {**users, f"{host.root}/job-a": "unknown-user"}}])["changed"]
    now = {**users, f"{host.root}/job-a": "root"}
    assert run(capsys, check=True, purge=[{**purge, "keep_of": now}])["changed_paths"] == [f"{host.root}/job-a"]
    assert run(capsys, purge=[{**purge, "keep_of": now}])["changed_paths"] == [f"{host.root}/job-a"]
    assert host.untouched() == before
    assert not run(capsys, purge=[{**purge, "keep_of": now}])["changed"]


def test_a_service_s_own_directory_is_made_and_left_alone(capsys, host):
    arguments = {
        "directories": [{"path": str(host.service / "a" / "data"), "mode": "0700", **THEIRS}],
        "files": [{"path": str(host.service / "a" / "new" / "conf"), "content": "x\n", "mode": "0640", **THEIRS}],
    }
    assert run(capsys, check=True, **arguments)["changed"]
    assert not (host.service / "a").exists()
    assert run(capsys, **arguments)["changed"]
    status = (host.service / "a" / "data").stat()
    assert (pwd.getpwuid(status.st_uid).pw_name, status.st_mode & 0o777) == (USER, 0o700)
    assert (host.service / "a").stat().st_uid == 0
    assert not run(capsys, **arguments)["changed"]
    (host.service / "a" / "new" / "conf").chmod(0o600)
    modified = (host.service / "a" / "new" / "conf").stat().st_mtime_ns
    assert run(capsys, **arguments)["changed"]
    assert (host.service / "a" / "new" / "conf").stat().st_mtime_ns == modified
    assert not run(capsys, **arguments)["changed"]


def test_an_administrator_s_link_to_another_volume_stays(capsys, host):
    (host.root / "volume").mkdir()
    (host.root / "data").symlink_to("volume")
    arguments = {"directories": [{"path": str(host.root / "data"), "mode": "0700", **THEIRS}]}
    assert run(capsys, **arguments)["changed"]
    assert (host.root / "volume").stat().st_uid == AS_USER.pw_uid
    assert (host.root / "data").is_symlink()
    assert not run(capsys, **arguments)["changed"]


@pytest.mark.parametrize(("shown", "told"), [(True, "why it is refused"), (False, "its output is not shown")])
def test_the_words_about_a_secret_file_are_shown_on_demand_only(capsys, tmp_path, shown, told):
    path = str(tmp_path / "conf")
    validate = "sh -c 'echo why it is refused >&2; exit 1' %s"
    file = {"path": path, "secret": True, "validate": validate, "validate_shown": shown, **THEIRS}
    result = run(capsys, files=[file], secrets={path: "hidden"})
    assert told in result["msg"]
    assert "hidden" not in result["msg"]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """A directory of units that systemd itself does not read."""
    monkeypatch.setattr(module_utils, "_SYSTEMD_DIRECTORY", f"{tmp_path}/")
    monkeypatch.setattr(component.Host, "daemon_reload", lambda _host: None)
    return tmp_path


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("a@full.timer", "[Timer]\nOnCalendar=Sun *-*-* 01:00:00\n", "OnCalendar=Sun 25:00"),
        ("a@full.timer", "[Timer]\nOnCalendar=daily\nRandomizedDelaySec=5min\n", "RandomizedDelaySec=12 hourz"),
        ("a@.service", "[Service]\nExecStart=/not/there %i\nTimeoutStartSec=12h\n", "TimeoutStartSec=12 hourz"),
        ("etcd.service.d/holdfast.conf", "[Service]\nNice=-10\n", "Nice=fast"),
        ("a.service", "[Service]\nExecStart=/bin/true\nMemoryMax=1G\n", "MemoryMax=lots"),
    ],
)
def test_a_unit_whose_values_systemd_cannot_read_is_not_put_in_place(capsys, systemd, name, good, bad):
    path = systemd / name
    content = re.sub(rf"^{bad.partition('=')[0]}=.*", bad, good, flags=re.MULTILINE)
    result = run(capsys, files=[{"path": str(path), "content": content, **THEIRS}])
    assert f"{path} was not replaced: systemd does not understand {bad} (" in result["msg"]
    assert not path.exists()
    assert run(capsys, files=[{"path": str(path), "content": good, **THEIRS}])["changed"]
    assert path.read_text() == good


@pytest.mark.parametrize("keys", [[], ["ldapbindpasswd"]])
@pytest.mark.parametrize(
    "content", ["local all all peer\n", "local all all peer\nhost a b c ldap ldapbindpasswd=S3CRET\n"]
)
def test_the_diff_of_a_secret_file_shows_what_is_no_secret_if_it_has_keys(capsys, host, content, keys):
    path = str(host.root / "pg_hba.conf")
    file = {"path": path, "secret": True, "secret_keys": keys, "mode": "0640"}
    diff = json.dumps(run(capsys, files=[file], secrets={path: content})["diff"])
    assert "S3CRET" not in diff
    assert ("local all all peer" in diff) is bool(keys)


def test_what_was_secret_is_not_shown_when_it_goes_or_opens(capsys, host):
    path = host.root / "users.txt"
    path.write_text("S3CRET\n")
    path.chmod(0o640)
    for arguments in ({"absent": [str(path)]}, {"files": [{"path": str(path), "content": "new\n"}]}):
        result = run(capsys, check=True, **arguments)
        assert result["changed"]
        assert "S3CRET" not in json.dumps(result)


@pytest.mark.parametrize(
    ("keys", "shown"), [(None, "S3CRET\nnew"), (["password"], "***\nnew"), ([], "it names line 3")]
)
def test_a_validator_reads_the_staged_files_and_tells_no_secret(capsys, host, keys, shown):
    main, other = str(host.root / "main"), str(host.root / "other")
    content, secret = "password: S3CRET\n", keys is not None
    file = {"path": main, "validate": f"sh -c 'cat $1 $2; echo $0:3: bad; exit 1' %s {main} {other}"}
    file |= {"secret": True, "secret_keys": keys} if secret else {"content": content}
    files = [file, {"path": other, "content": "new\n"}]
    message = run(capsys, files=files, secrets={main: content} if secret else {})["msg"]
    assert shown in message
    assert ("S3CRET" in message) is not secret
    assert not Path(main).exists()
