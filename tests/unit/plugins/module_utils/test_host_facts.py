# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's preflight asks its programs."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import host_facts as sut
from ansible_collections.holdfast.ha.plugins.module_utils.packages import Packages

from tests.unit.plugins.module_utils.test_host_preflight import GOOD

BOOKWORM = dataclasses.replace(GOOD, os_version="12")
EXPORTER = "prometheus-pgbackrest-exporter"


@pytest.mark.parametrize(
    ("told", "refused"),
    [
        ("", True),
        (f"{EXPORTER}:\n  Installed: (none)\n  Candidate: (none)\n", True),
        (f"{EXPORTER}:\n  Installed: (none)\n  Candidate: 0.19.0-1\n", False),
    ],
)
def test_another_source_may_have_the_package(told, refused):
    module = SimpleNamespace(get_bin_path=str, run_command=lambda *_words, **_more: (0, told, ""))
    known = Packages(missing=[EXPORTER], broken=[], versions={})
    assert bool(list(sut.package_findings(module, BOOKWORM, known))) is refused


POLICY = (
    "postgresql-17:\n  Installed: (none)\n  Candidate: 17.6-0\n  Version table:\npostgresql-18:\n  Candidate: (none)\n"
)
TOLD = {"indextargets": "/etc/apt/sources.list:1\n", "pkgnames": "postgresql-17\npostgresql-18\n", "policy": POLICY}


def server_findings(version, repositories=(), told=None):
    """What is found on a bare host that is to run a version of PostgreSQL."""
    module = SimpleNamespace(
        params={"repositories": list(repositories)},
        get_bin_path=str,
        run_command=lambda command, environ_update: (0, (told or TOLD)[command[1]], ""),
    )
    known = Packages(missing=["patroni", f"postgresql-{version}"], broken=[], versions={})
    return [finding.value for finding in sut.server_findings(module, known, version)]


def test_a_version_of_postgresql_that_apt_lacks():
    lacks = "apt has no package postgresql-{}; of PostgreSQL's server it has 17"
    assert server_findings("17") == []
    assert server_findings("16") == [lacks.format(16)]
    assert server_findings("18") == [lacks.format(18)]


def test_what_apt_does_not_know_yet_is_not_refused():
    other = {"name": "other", "uris": ["file:/srv"], "suites": ["./"], "trusted": True}
    assert server_findings("16", [other]) == []
    assert server_findings("16", told={**TOLD, "indextargets": ""}) == []
    assert server_findings("16", [{"name": 5}]) == []


def test_an_installed_server_is_not_looked_up():
    module = SimpleNamespace(params={"repositories": []}, run_command=None)
    known = Packages(missing=["patroni"], broken=[], versions={"postgresql-16": "16.1"})
    assert list(sut.server_findings(module, known, "16")) == []


@pytest.mark.parametrize(
    ("content", "declared", "expected"), [(None, "", "17"), ("15\n", "", "15"), ("15\n", "16", "16"), ("x", "", "17")]
)
def test_the_version_that_a_host_alone_knows(tmp_path, monkeypatch, content, declared, expected):
    if content:
        (tmp_path / "PG_VERSION").write_text(content)
    monkeypatch.setattr(sut, "read", lambda _path: 'ID=debian\nVERSION_ID="13"\n')
    wanted = {"version": declared, "data_directory": str(tmp_path), "distributions": {"Debian 13": "17"}}
    assert sut.postgresql_version(wanted) == expected
    assert sut.postgresql_version({}) == ""
