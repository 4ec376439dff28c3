# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import managed_files, protection, service_age
from ansible_collections.holdfast.ha.plugins.module_utils import metrics_survey as sut
from ansible_collections.holdfast.ha.plugins.module_utils.apt_plan import Upgrade
from ansible_collections.holdfast.ha.plugins.module_utils.component import FoundUnit
from ansible_collections.holdfast.ha.plugins.module_utils.metrics_settings import Settings
from ansible_collections.holdfast.ha.plugins.module_utils.metrics_text import Sample, labelled

SETTINGS = Settings("", 15, "db1", ("a.service", "b.service"), (), ("x",), ("a.service",), "", "", "", (), "", {})


class Apt:
    def __init__(self, run):
        self.installed = dict

    def look(self):
        return None

    def plans(self, known, scopes, names, versions, downgrade):
        assert (scopes, names) == (["stack"], ("x",))
        return {
            "stack": [Upgrade("x", "1", "2", True), Upgrade("y", "1", "2", False), Upgrade("new", "", "1", True)],
            "system": [Upgrade("z", "1", "2", True)],
        }


def test_packages_of_the_stack_that_wait(monkeypatch):
    monkeypatch.setattr(sut, "Apt", Apt)
    assert sut.waiting(SETTINGS) == [Sample("packages_waiting", 2), Sample("packages_waiting_security", 1)]


@pytest.mark.parametrize(
    ("found", "value"),
    [
        (protection.Found("own", [], [], False, False), True),
        (protection.Found("own", ["a.service"], [], False, False), False),
        (protection.Found("own", [], ["x"], False, False), False),
        (protection.Found("own", [], [], True, False), False),
        (protection.Found("own", [], [], False, True), False),
    ],
)
def test_protection(monkeypatch, found, value):
    monkeypatch.setattr(protection, "look", lambda packages, units, run: found)
    assert sut.protected(SETTINGS) == [Sample("protection", value)]


def test_what_is_due(monkeypatch):
    services = [service_age.Service(unit, FoundUnit()) for unit in SETTINGS.units]
    monkeypatch.setattr(sut, "Apt", Apt)
    monkeypatch.setattr(service_age, "look", lambda units, packages, run: [(services[0], ["why"]), (services[1], [])])
    monkeypatch.setattr(service_age, "reboot", lambda release: service_age.Reboot(True, ["why"], "", 1))
    expected = labelled("unit_needs_restart", "unit", {"a.service": 1, "b.service": 0})
    assert sut.due(SETTINGS) == [*expected, Sample("reboot_required", 1)]


def test_certificates_by_kind(tmp_path: Path, monkeypatch):
    for name in ("host.crt", "ca.crt", "host.key"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(sut.certificate_x509, "end_of", lambda path, read: len(read(path)))
    expected = labelled("certificate_end_timestamp_seconds", "kind", {"authority": 6, "host": 8})
    assert sut.certificates(tmp_path) == expected


def test_drift(tmp_path: Path, monkeypatch):
    record, file = tmp_path / "files.json", tmp_path / "own.conf"
    monkeypatch.setattr(managed_files, "PATH", str(record))
    assert sut.drift() == []
    file.write_text("ours")
    managed_files.save({str(file): managed_files.digest(b"ours")})
    assert sut.drift() == [Sample("drift_files", 0)]
    file.write_text("theirs")
    assert sut.drift() == [Sample("drift_files", 1)]
