# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox of every systemd service of the roles: the one list, and how a unit deviates from it.

All settings work in systemd 252, and in containers. A kernel without a feature ignores the setting.
RemoveIPC= is not among them: it would take the shared memory of a PostgreSQL that another unit of its user runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

SANDBOX: Mapping[str, str] = {
    "CapabilityBoundingSet": "",
    "LockPersonality": "true",
    "MemoryDenyWriteExecute": "true",
    "NoNewPrivileges": "true",
    "PrivateDevices": "true",
    "PrivateTmp": "true",
    "ProtectClock": "true",
    "ProtectControlGroups": "true",
    "ProtectHome": "true",
    "ProtectHostname": "true",
    "ProtectKernelLogs": "true",
    "ProtectKernelModules": "true",
    "ProtectKernelTunables": "true",
    "ProtectProc": "invisible",
    "ProtectSystem": "strict",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "true",
    "RestrictRealtime": "true",
    "RestrictSUIDSGID": "true",
    "SystemCallArchitectures": "native",
    # A refused call is an error that the program reports, not its end.
    "SystemCallErrorNumber": "EPERM",
    "SystemCallFilter": "@system-service",
    "UMask": "0077",
}


def sandbox(changes: Mapping[str, Any]) -> str:
    """Return the lines of a unit's sandbox with its deviations.

    changes: other values by setting; None leaves a setting out. Raises ValueError for an unknown setting.
    """
    unknown = sorted({*changes} - {*SANDBOX})
    if unknown:
        close = get_close_matches(unknown[0], SANDBOX, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"{unknown[0]} is not a setting of the sandbox{hint}")
    wanted = {**SANDBOX, **changes}
    return "\n".join(f"{name}={_text(value)}" for name, value in wanted.items() if value is not None)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else " ".join(map(str, value))
