# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every service is as confined as docs/hardening.md says."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.sandbox import SANDBOX

from tests.unit.roles.render import ROLES
from tests.unit.roles.services import SERVICES, exposure

OK = 4.9
"""systemd-analyze calls more than this medium, exposed or unsafe."""
ITS_USER_S = {"holdfast-job-NAME, command (root)"}
"""What root runs for the user can't be known."""
UNCONFINED = dict.fromkeys(
    ("firewall/files/nftables.conf", "keepalived/files/nftables.conf"), "adds a command to a unit of the distribution's"
)
PAGE = (ROLES.parent / "docs" / "hardening.md").read_text(encoding="utf-8")
ROWS = {
    name: (float(without), float(confined))
    for name, without, confined in re.findall(r"^\| `([^|]+)` \| ([\d.]+) \| ([\d.]+) \|", PAGE, re.MULTILINE)
}
VERSIONS = 0.3
"""How far systemd's versions are apart."""
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")


@needs_systemd
@pytest.mark.parametrize("name", SERVICES)
def test_a_service_s_exposure_is_what_the_docs_say(name: str, tmp_path: Path) -> None:
    service = SERVICES[name]
    found = exposure(service.bare, tmp_path), exposure(service.text, tmp_path)
    assert found == pytest.approx(ROWS[name], abs=VERSIONS), found
    assert found[1] <= OK or name in ITS_USER_S


def test_the_docs_name_no_other_service() -> None:
    assert set(ROWS) == set(SERVICES)


def test_no_service_is_left_out() -> None:
    found = {
        f"{path.relative_to(ROLES)}" for part in ("templates", "files") for path in ROLES.glob(f"*/{part}/*")
        if path.is_file() and "[Service]" in path.read_text(encoding="utf-8")
    }  # fmt: skip
    known = {f"{item.role}/templates/{item.template}" for item in SERVICES.values()}
    assert found == known | set(UNCONFINED)


@pytest.mark.parametrize("path", sorted(ROLES.glob("*/templates/*")), ids=lambda path: path.name)
def test_the_settings_are_written_in_one_place(path: Path) -> None:
    """A unit says how it deviates, and repeats nothing."""
    text = path.read_text(encoding="utf-8")
    own = re.findall(
        r"^(?:Protect|Restrict|Private|NoNewPrivileges|LockPersonality|UMask|MemoryDeny)\w*=.*", text, re.MULTILINE
    )
    assert own == []


FILES_ONLY = {"PrivateTmp", "ProtectControlGroups", "ProtectHome", "ProtectProc", "ProtectSystem", "UMask"}
"""What systemd needs no new privileges' end for."""


def test_the_docs_name_all_that_keeps_sudo_from_working() -> None:
    (block,) = re.findall(r"^```ini\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    named = {line.partition("=")[0] for line in block.splitlines()}
    assert named == {*SANDBOX} - FILES_ONLY - {"SystemCallErrorNumber"}


@pytest.mark.parametrize("mode", ["automatic", "off", "required"])
def test_patroni_reaches_its_watchdog(mode: str) -> None:
    service = SERVICES["patroni"]
    lines = type(service)(service.role, service.template, {**service.variables, "patroni_watchdog_mode": mode}).text
    assert ("PrivateDevices=true" in lines) is (mode == "off")
    assert ("DeviceAllow=/dev/char/10:130 rw" in lines) is (mode != "off")


def test_the_database_s_place_is_no_mount_of_the_unit_s_own() -> None:
    """patroni-set-aside renames the data directory."""
    text = SERVICES["patroni"].text
    assert "ReadWritePaths" not in text
    assert "ProtectSystem=full" in text


def test_haproxy_may_bind_foreign_addresses_after_a_mere_reload() -> None:
    service = SERVICES["haproxy"]
    texts = {
        type(service)(service.role, service.template, {"haproxy_bind_transparent": on}).text for on in (True, False)
    }
    assert len(texts) == 1
    assert "CAP_NET_RAW" in texts.pop()


def test_what_runs_postgresql_may_make_code() -> None:
    for name in ("patroni", "holdfast-clone-PORT", "holdfast-restore-verify"):
        assert "MemoryDenyWriteExecute" not in SERVICES[name].text
