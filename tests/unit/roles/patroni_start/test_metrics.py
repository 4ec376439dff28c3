# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Only a client with a certificate reads metrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from patroni_start.metrics import for_certificates


def encrypted(certificate: Any) -> Any:
    return SimpleNamespace(getpeercert=lambda: certificate)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (encrypted({"subject": ()}), "metrics"),
        (encrypted({}), 403),
        (encrypted(None), 403),
        (SimpleNamespace(), 403),
    ],
    ids=["with a certificate", "one that was not verified", "without", "without TLS"],
)
def test_metrics_need_a_certificate(request_: Any, answer: Any) -> None:
    said: list[Any] = []
    handler = SimpleNamespace(request=request_, send_error=lambda status, _why: said.append(int(status)))
    for_certificates(lambda _handler: said.append("metrics"))(handler)
    assert said == [answer]
