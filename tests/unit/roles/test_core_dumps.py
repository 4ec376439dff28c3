# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every systemd unit of the roles."""

from __future__ import annotations

from pathlib import Path

import pytest

ROLES = Path(__file__).resolve().parents[3] / "roles"
SERVICES = {
    f"{path.relative_to(ROLES)}": path.read_text()
    for directory in ("templates", "files")
    for path in sorted(ROLES.glob(f"*/{directory}/*"))
    if path.is_file() and "[Service]" in path.read_text()
}
WITHOUT_SECRETS = {
    "firewall/files/nftables.conf",
    "firewall/templates/holdfast-firewall.service.j2",
    "keepalived/files/nftables.conf",
    "keepalived/templates/drop-in.conf.j2",
    "keepalived/templates/filter.service.j2",
}


@pytest.mark.parametrize("name", sorted({*SERVICES} - WITHOUT_SECRETS))
def test_a_service_that_knows_secrets_leaves_no_core(name: str) -> None:
    assert "\nLimitCORE=0\n" in SERVICES[name]


def test_the_exceptions_exist() -> None:
    assert {*SERVICES} >= WITHOUT_SECRETS
