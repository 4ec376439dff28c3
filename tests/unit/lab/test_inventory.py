# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's inventory with other hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lab import inventory as sut
from lab.engine import LabError

TEXT = """\
all:
  children:
    etcd:
      hosts: &databases
        db1: {ansible_host: 198.51.100.11}
        db2: {ansible_host: 198.51.100.12}
    postgresql:
      hosts: *databases
    haproxy:
      hosts:
        lb1: {ansible_host: 198.51.100.21}
"""
SPARES = {"db4": {"ansible_host": "198.51.100.14"}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"etcd": "db1 db2", "postgresql": "db1 db2", "haproxy": "lb1"}),
        ({"add": {"db4": ["postgresql"]}}, {"etcd": "db1 db2", "postgresql": "db1 db2 db4", "haproxy": "lb1"}),
        ({"add": {"lb1": ["etcd"]}}, {"etcd": "db1 db2 lb1", "postgresql": "db1 db2", "haproxy": "lb1"}),
        ({"remove": {"db2": ["etcd"]}}, {"etcd": "db1", "postgresql": "db1 db2", "haproxy": "lb1"}),
        ({"remove": {"db2": []}}, {"etcd": "db1", "postgresql": "db1", "haproxy": "lb1"}),
        ({"replace": {"db1": "db4"}}, {"etcd": "db4 db2", "postgresql": "db4 db2", "haproxy": "lb1"}),
    ],
)
def test_changed(change: dict[str, Any], expected: dict[str, str]):
    groups = sut.groups_of(TEXT)
    result = sut.changed(groups, SPARES, **change)
    assert {name: " ".join(hosts) for name, hosts in result.items()} == expected
    assert groups == sut.groups_of(TEXT)


def test_a_replacement_has_its_own_address():
    result = sut.changed(sut.groups_of(TEXT), SPARES, replace={"db1": "db4"})
    assert result["etcd"]["db4"] == {"ansible_host": "198.51.100.14"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"add": {"db9": ["etcd"]}}, "has a host db9; they have db1, db2, lb1, db4"),
        ({"add": {"db4": ["web"]}}, "no group web; it has etcd, postgresql, haproxy"),
        ({"remove": {"db9": []}}, "has a host db9"),
        ({"replace": {"db9": "db4"}}, "has a host db9"),
        ({"replace": {"db1": "db9"}}, "has a host db9"),
    ],
)
def test_unknown_names_are_refused(change: dict[str, Any], said: str):
    with pytest.raises(LabError, match=said):
        sut.changed(sut.groups_of(TEXT), SPARES, **change)


def test_it_is_written_over_an_older_one(tmp_path: Path):
    for host in ("db4", "db5"):
        folder = sut.write(tmp_path / "grown", add={host: ["postgresql"]})
    tree = yaml.safe_load((folder / "hosts.yml").read_text())["all"]
    assert "db5" in tree["children"]["postgresql"]["hosts"]
    assert "db4" not in tree["children"]["postgresql"]["hosts"]
    assert tree["vars"]["certificates_ca_directory"].endswith("inventory/lab/.pki")
    assert (folder / "group_vars/all/connection.yml").is_file()
    assert (folder / "topology.ha.yml").is_file()


@pytest.mark.parametrize(("release", "without"), [("bookworm", ["pgbackrest"]), ("trixie", None)])
def test_the_topology_of_a_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, without: Any):
    monkeypatch.setenv("LAB_OS", "bookworm")
    sut.write(tmp_path / "lab")
    monkeypatch.setenv("LAB_OS", release)
    folder = sut.write(tmp_path / "lab")
    written = yaml.safe_load((folder / "topology.ha.yml").read_text())["clusters"]["lab"]
    declared = yaml.safe_load((sut._LAB / "topology.ha.yml").read_text())["clusters"]["lab"]
    assert written.pop("monitoring", {}).get("without") == without
    assert written == declared


@pytest.mark.parametrize("release", ["bookworm", "trixie"])
def test_the_topology_with_another_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str):
    monkeypatch.setenv("LAB_OS", release)
    folder = sut.write(tmp_path / "lab", profile="fast")
    written = yaml.safe_load((folder / "topology.ha.yml").read_text())["clusters"]["lab"]
    assert written["profile"] == "fast"
    assert ("monitoring" in written) == (release == "bookworm")


def test_no_spare_host_takes_the_place_of_another():
    hosts: list[tuple[str, str]] = []
    for path in (sut._LAB / "hosts.yml", sut._SPARES):
        for group in sut.groups_of(path.read_text()).values():
            hosts += [(name, variables["ansible_host"]) for name, variables in group.items()]
    assert len({name for name, _address in hosts}) == len({address for _name, address in hosts}) == len(set(hosts))
