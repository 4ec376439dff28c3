# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Patroni retries a request that etcd can't serve for the moment.

Until 4.1.1 Patroni reads errors of etcd's HTTP gateway only in the format of the gateway's first version. The etcd of
Debian 13 has the second: Patroni then takes "leader changed" in the answer to a keepalive for a refusal, and demotes a
healthy primary at once. Until 4.1.3 it does the same when an etcd that is about to lose its leadership answers with an
error without a code ("not a primary lessor").
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

UNAVAILABLE = 14  # gRPC's code of an error that the client should retry
WITHOUT_CODE = frozenset({"not a primary lessor"})


def normalized(data: Any) -> Any:
    """Return etcd's answer to a failed request in the format of the gateway's first version.

    Args:
        data: the decoded JSON, such as {"error": {"code": 14, "message": "etcdserver: leader changed"}} of a stream or
            {"code": 14, "message": "etcdserver: leader changed"}; anything else is returned as it is.
    """
    if not isinstance(data, Mapping):
        return data
    error = data.get("error")
    if isinstance(error, Mapping):
        code = _code(error.get("grpc_code", error.get("code")), error)
        return {**data, "error": {**error, "code": code, "grpc_code": code}}
    if "code" in data and "message" in data:
        return {**data, "error": error or data["message"], "code": _code(data["code"], data)}
    return data


def _code(code: Any, error: Mapping[str, Any]) -> Any:
    return UNAVAILABLE if error.get("message") in WITHOUT_CODE else code


def normalizing_errors(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's handler of etcd's errors (_raise_for_data), which gets each in the format that it reads."""

    def handle_known(data: Any, *args: Any, **kwargs: Any) -> Any:
        return handle(normalized(data), *args, **kwargs)

    return handle_known


def replacements(handle: Any) -> Mapping[str, Any]:
    """Return the replacement of the handler."""
    return {"patroni.dcs.etcd3:_raise_for_data": normalizing_errors(handle)}
