# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import protection
from ansible_collections.holdfast.ha.plugins.module_utils.protection import (
    MARK,
    policy,
    reboots,
    unprotected,
    upgradable,
)

DUMP = """\
Unattended-Upgrade "";
Unattended-Upgrade::Package-Blacklist "";
Unattended-Upgrade::Package-Blacklist:: "etcd-server$";
Unattended-Upgrade::Package-Blacklist:: "postgresql-.*$";
Unattended-Upgrade::Package-Blacklist:: "broken(";
Unattended-Upgrade::Automatic-Reboot "true";
Unattended-Upgrade::Automatic-Reboot-Time "02:00";
"""


def test_a_host_without_a_policy(tmp_path: Path) -> None:
    assert policy(tmp_path / "policy-rc.d") == "absent"


@pytest.mark.parametrize(
    ("text", "whose"), [(f"#!/bin/sh\n# {MARK}: so\n", "own"), ("#!/bin/sh\nexit 101\n", "foreign"), ("", "foreign")]
)
def test_whose_policy_a_host_has(tmp_path: Path, text: str, whose: str) -> None:
    path = tmp_path / "policy-rc.d"
    path.write_text(text)
    assert policy(path) == whose
    link = tmp_path / "link"
    link.symlink_to(path)
    assert policy(link) == "foreign"


def test_a_directory_in_its_place_is_not_ours(tmp_path: Path) -> None:
    assert policy(tmp_path) == "foreign"


def test_units_that_an_upgrade_may_act_on() -> None:
    answers = {"etcd.service": 101, "haproxy.service": 0, "patroni.service": 104, "keepalived.service": 1}
    assert unprotected(answers, lambda unit, _action: answers[unit]) == [
        "haproxy.service",
        "patroni.service",
        "keepalived.service",
    ]


@pytest.mark.parametrize("allowed", ["stop", "start", "restart", "try-restart"])
def test_one_allowed_action_is_enough(allowed: str) -> None:
    assert unprotected(["a"], lambda _unit, action: 0 if action == allowed else 101) == ["a"]


def test_packages_that_unattended_upgrades_may_replace() -> None:
    names = ["etcd-server", "etcd-server-x", "postgresql", "postgresql-17"]
    assert upgradable(names, DUMP) == ["etcd-server-x", "postgresql"]
    assert upgradable(names, "") == names


@pytest.mark.parametrize(
    ("configuration", "expected"), [(DUMP, True), ("", False), (DUMP.replace('"true"', '"0"'), False)]
)
def test_whether_it_reboots(configuration: str, expected: bool) -> None:
    assert reboots(configuration) is expected


@pytest.mark.parametrize(
    ("there", "configuration", "expected"),
    [
        ((), "", protection.Found(protection.OWN, ["b.service"], [], False, False)),
        (("needrestart",), "", protection.Found(protection.OWN, ["b.service"], [], True, False)),
        (("needrestart", "exceptions"), "", protection.Found(protection.OWN, ["b.service"], [], False, False)),
        (("unattended",), "", protection.Found(protection.OWN, ["b.service"], ["x"], False, False)),
        (
            ("unattended",),
            'Unattended-Upgrade::Package-Blacklist:: "x";\nUnattended-Upgrade::Automatic-Reboot "true";',
            protection.Found(protection.OWN, ["b.service"], [], False, True),
        ),
    ],
)
def test_a_host_is_asked(tmp_path, monkeypatch, there, configuration, expected):
    def run(command):
        return (
            (0, configuration, "") if command[0] == "apt-config" else (101 if command[-2] == "a.service" else 0, "", "")
        )

    for name in ("policy", *there):
        (tmp_path / name).write_text(protection.MARK)
        (tmp_path / name).chmod(0o755)
    for constant, name in (("UNATTENDED", "unattended"), ("NEEDRESTART", "needrestart"), ("EXCEPTIONS", "exceptions")):
        monkeypatch.setattr(protection, constant, tmp_path / name)
    monkeypatch.setattr(protection, "POLICY", tmp_path / "policy")
    monkeypatch.setattr(protection, "policy", lambda: protection.OWN)
    assert protection.look(["x"], ["a.service", "b.service"], run) == expected
    assert protection.look([], [], run).is_complete == (not (expected.restarts or expected.reboots))


def test_an_apt_that_fails_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(protection, "UNATTENDED", tmp_path)
    with pytest.raises(OSError, match="apt-config exited with 100: broken"):
        protection.look([], [], lambda command: (100, "", "broken"))
