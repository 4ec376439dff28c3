# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository is copied from one host to another: what is sent, in which order, and what the receiver stores."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import repository_copy as copying

FILES = {
    "backup/lab/backup.info": b"labels",
    "backup/lab/20260101F/pg_data.gz": b"x" * 3_000_000,
    "archive/lab/archive.info": b"ids",
    "archive/lab/17-1/000000010000000000000001.zst": b"wal",
    "archive/lab/17-1/000000010000000000000002.zst": b"",
}


class Wire:
    """One end of a connection: what the peer says, and what is said to it."""

    def __init__(self, heard):
        self.heard, self.said = io.BytesIO(heard), io.BytesIO()
        self.read, self.readline, self.write = self.heard.read, self.heard.readline, self.said.write

    def flush(self):
        pass


@pytest.fixture
def hosts(tmp_path):
    """Return the repository of a sender, and the empty one of a receiver with a path of the same length."""
    for name, content in FILES.items():
        path = tmp_path / "old" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    return str(tmp_path / "old"), str(tmp_path / "new")


def converse(old, new, seconds=60.0):
    """Copy once, and return the results of both and the names in the order in which they were sent."""
    listing = json.dumps(copying.scan([new])).replace(new, old).encode()
    sender = Wire(listing + b'\n{"stored": 0}\n')
    sent = copying.send(sender, [old], seconds)
    said = sender.said.getvalue().replace(old.encode(), new.encode())
    receiver = Wire(said)
    got = copying.receive(receiver, [new])
    order = re.findall(rb'{"path": "([^"]+)"', said)
    return sent, got, [path.decode().removeprefix(f"{new}/") for path in order]


def content(place):
    return {path.removeprefix(f"{place}/"): Path(path).read_bytes() for path in copying.scan([place])}


def test_everything_arrives_and_what_names_it_comes_last(hosts):
    old, new = hosts
    sent, got, order = converse(old, new)
    assert sent == got == {"files": 5, "bytes": 3_000_012, "done": True}
    assert content(new) == FILES
    assert copying.scan([new]) == {path.replace(old, new): seen for path, seen in copying.scan([old]).items()}
    assert {*order[-2:]} == {"backup/lab/backup.info", "archive/lab/archive.info"}


def test_a_second_copy_sends_what_has_changed(hosts):
    old, new = hosts
    converse(old, new)
    assert converse(old, new)[0] == {"files": 0, "bytes": 0, "done": True}
    Path(old, "backup/lab/backup.info").write_bytes(b"LABELS")
    assert converse(old, new)[2] == ["backup/lab/backup.info"]
    assert content(new)["backup/lab/backup.info"] == b"LABELS"


def test_it_goes_on_where_the_time_was_over(hosts):
    old, new = hosts
    calls = [converse(old, new, seconds=-1)[1] for _call in range(5)]
    assert [call["files"] for call in calls] == [1] * 5
    assert [call["done"] for call in calls] == [False] * 4 + [True]
    assert content(new) == FILES


def test_links_and_unfinished_files_stay(hosts):
    old, _new = hosts
    Path(old, "backup/lab/latest").symlink_to("/etc/passwd")
    for name in ("a.pgbackrest.tmp", f"b{copying.PART}"):
        Path(old, "archive/lab", name).touch()
    assert len(copying.scan([old])) == len(FILES)


def test_what_expires_meanwhile_is_left_out(hosts, monkeypatch):
    old, new = hosts
    found = copying.scan([old])
    Path(old, "archive/lab/17-1/000000010000000000000001.zst").unlink()
    monkeypatch.setattr(copying, "scan", lambda places: found if places == [old] else {})
    assert converse(old, new)[0]["done"]


def test_a_broken_connection_leaves_no_file_behind(hosts):
    old, new = hosts
    head = {"path": f"{new}/backup/lab/big", "size": 100, "time": 1, "mode": 0o640}
    with pytest.raises(copying.CopyError, match="in the middle of a file"):
        copying.receive(Wire(json.dumps(head).encode() + b"\nshort"), [new])
    assert copying.scan([new]) == {}
    with pytest.raises(copying.CopyError, match="ended the connection"):
        copying.send(Wire(b""), [old], 60)


@pytest.mark.parametrize("path", ["/etc/passwd", "/srv/repository-2/a", "/srv/repository/../a", "/srv/repository"])
def test_a_path_elsewhere_is_refused(path):
    with pytest.raises(copying.CopyError, match="not below /srv/repository"):
        copying.refuse_outside(path, ["/srv/repository"])
    copying.refuse_outside("/srv/repository/a..b", ["/srv/repository"])


def test_the_peer_is_known_by_its_common_name():
    subject = ((("organizationName", "x"),), (("commonName", "backup1"),))
    assert copying.common_name({"subject": subject}) == "backup1"
    assert copying.common_name({}) == ""
