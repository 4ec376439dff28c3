# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says of its firewall."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.holdfast.ha.plugins.modules import firewall_info as sut


@pytest.mark.parametrize(
    ("kept", "listed", "has", "found"),
    [
        (b"rules", "rules", True, (True, True, True)),
        (b"rules", "others", False, (True, True, False)),
        (b"rules", None, False, (False, True, False)),
        (None, "rules", True, (True, False, False)),
        (None, None, False, (False, False, False)),
    ],
)
def test_the_table_is_compared_with_what_is_kept(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    kept: bytes | None,
    listed: str | None,
    has: bool,
    found: tuple[bool, bool, bool],
) -> None:
    monkeypatch.setattr(sut.safe_path, "read", lambda _path: kept)
    monkeypatch.setattr(sut.firewall_kernel.Kernel, "listed", lambda _self: listed)
    monkeypatch.setattr(sut.firewall_kernel.Kernel, "has", lambda _self, content: has and content == "rules")
    with patch_module_args({}), pytest.raises(SystemExit):
        sut.main()
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["changed"], told["loaded"], told["kept"], told["same"]) == (False, *found)
