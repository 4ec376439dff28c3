# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Metrics are only for clients with a certificate of the cluster's authority.

Patroni itself asks for certificates either for unsafe requests only, or for all. If it asked for all, HAProxy's checks
would depend on the balancers' certificates, too: one that ends would take all servers out of all pools.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any


def for_certificates(do_get: Callable[..., Any]) -> Callable[..., Any]:
    """Return an answer of the REST interface (RestApiHandler.do_GET_metrics) that refuses nameless clients.

    TLS has verified a client's certificate; without one getpeercert() returns None.
    """

    def answer(handler: Any, *args: Any) -> Any:
        if hasattr(handler.request, "getpeercert") and handler.request.getpeercert():
            return do_get(handler, *args)
        return handler.send_error(HTTPStatus.FORBIDDEN, "client certificate required")

    return answer


def replacements(do_get: Any) -> Mapping[str, Any]:
    """Return the replacement that asks for a certificate."""
    return {"patroni.api:RestApiHandler.do_GET_metrics": for_certificates(do_get)}
