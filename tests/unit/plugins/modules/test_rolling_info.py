# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import apt_plan
from ansible_collections.holdfast.ha.plugins.modules import rolling_info

from tests.unit.plugins.module_utils.apt_plan_data import FILES, INSTALLED, POLICIES, SIMULATED

SHOWN = "Id=none.service\nActiveState=inactive\n\nId=other.service\nActiveState=active\nNeedDaemonReload=yes\n"
PRINTED = {
    ("dpkg-query", "--show"): INSTALLED,
    ("apt-cache", "policy"): POLICIES,
    ("apt-get", "--simulate"): SIMULATED.replace("Inst python3-etcd", "Kept python3-etcd"),
    ("apt-get", "update"): "",
    ("systemctl", "show"): SHOWN,
}
GIVEN: dict[str, Any] = {
    "names": [],
    "units": [{"component": "x", "unit": "none.service"}, {"component": "y", "unit": "alias.service"}],
    "versions": {"typo": "1"},
    "allow_downgrade": False,
    "refresh": True,
    "lock_timeout": 1,
}


def fake(check_mode: bool) -> tuple[Any, list[str]]:
    """A module on a host that prints what is recorded, and the programs that it ran."""
    ran: list[str] = []

    def run_command(
        command: Sequence[str], environ_update: Mapping[str, str], check_rc: bool = False
    ) -> tuple[int, str, str]:
        assert environ_update["LC_ALL"] == "C"
        ran.append(" ".join(command[:2]))
        return 0, FILES if list(command) == ["apt-cache", "policy"] else PRINTED[tuple(command[:2])], ""

    return SimpleNamespace(params=GIVEN, check_mode=check_mode, run_command=run_command), ran


def test_what_a_host_needs(monkeypatch):
    monkeypatch.setattr(
        rolling_info.service_age, "reboot", lambda release: rolling_info.service_age.Reboot(False, [], "x", 1)
    )
    module, ran = fake(check_mode=False)
    found = rolling_info.load(module)
    assert ran[0] == "apt-get update"
    assert found["stack"] == []
    assert {
        "name": "haproxy",
        "installed": "3.0.11-1+deb13u5",
        "candidate": "3.0.11-1+deb13u5+hf2",
        "security": True,
    } in (found["system"])
    assert found["held"] == ["etcd-server", "pgbouncer", "tzdata"]
    assert found["unknown"] == ["typo"]
    assert found["units"] == [
        {"component": "x", "unit": "none.service", "active": False, "reasons": []},
        {
            "component": "y",
            "unit": "alias.service",
            "active": True,
            "reasons": ["systemd has not read its unit files since they changed"],
        },
    ]
    assert found["reboot"] == {"required": False, "reasons": [], "boot": "x", "up": 1}
    assert set(apt_plan.SCOPES) < found.keys()


def test_check_mode_fetches_no_lists(monkeypatch):
    monkeypatch.setattr(
        rolling_info.service_age, "reboot", lambda release: rolling_info.service_age.Reboot(False, [], "x", 1)
    )
    module, ran = fake(check_mode=True)
    rolling_info.load(module)
    assert "apt-get update" not in ran
