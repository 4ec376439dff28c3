# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reload makes the REST interface trust what the file of the authorities has now.

At a reload Patroni compares the serial number of its own certificate, and reads all files again when it is another
one. Another authority alone would not be noticed before the next start: clients with certificates of that one would be
refused, or those of a former one still be accepted. Such clients are the other members, when they look for a leader.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

OPTIONS = "_RestApiServer__ssl_options"


def with_authorities(serial_number: Callable[..., Any]) -> Callable[..., Any]:
    """Return what Patroni compares (RestApiServer.get_certificate_serial_number), and the authorities beside it."""

    def number_and_authorities(server: Any, *args: Any) -> Any:
        number = serial_number(server, *args)
        path = getattr(server, OPTIONS).get("cafile")
        if number is None or not path:
            return number
        try:
            return f"{number} {hashlib.sha256(Path(path).read_bytes()).hexdigest()}"
        except OSError:
            return number

    return number_and_authorities


def replacements(serial_number: Any, *_used: Any) -> Mapping[str, Any]:
    """Return the replacement that also compares the authorities."""
    return {"patroni.api:RestApiServer.get_certificate_serial_number": with_authorities(serial_number)}
