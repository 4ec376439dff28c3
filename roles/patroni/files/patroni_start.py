# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts Patroni so that it repeats a request to etcd that failed for the moment.

Patroni knows errors of etcd's HTTP gateway as the gateway's first version writes them. The second, which the etcd of
Debian 13 has, writes them otherwise: Patroni then takes "leader changed" in the answer to a keepalive for a refusal,
and demotes a healthy primary at once. So does an etcd that is about to lose its leadership and answers with an error
that has no code ("not a primary lessor"). See docs/failover.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

UNAVAILABLE = 14  # gRPC's code for what is worth another try
WITHOUT_CODE = frozenset({"not a primary lessor"})


def as_patroni_knows(data: Any) -> Any:
    """Return etcd's answer to a failed request in the form of the gateway's first version.

    Args:
        data: the decoded JSON, such as {"error": {"code": 14, "message": "etcdserver: leader changed"}} of a stream or
            {"code": 14, "message": "etcdserver: leader changed"}; anything else is returned as it is.
    """
    if not isinstance(data, Mapping):
        return data
    error = data.get("error")
    if isinstance(error, Mapping):
        return {**data, "error": {**error, "grpc_code": _code(error.get("grpc_code", error.get("code")), error)}}
    if "code" in data and "message" in data:
        return {**data, "error": error or data["message"], "code": _code(data["code"], data)}
    return data


def _code(code: Any, error: Mapping[str, Any]) -> Any:
    return UNAVAILABLE if error.get("message") in WITHOUT_CODE else code


def tolerant(handle: Callable[..., Any]) -> Callable[..., Any]:
    """Return Patroni's handler of etcd's errors, which is given each as it knows it."""

    def handle_known(data: Any, *args: Any, **kwargs: Any) -> Any:
        return handle(as_patroni_knows(data), *args, **kwargs)

    return handle_known


def prepare() -> None:
    """Let Patroni see etcd's errors as it knows them; a Patroni that handles them otherwise stays as it is."""
    from patroni.dcs import etcd3

    if hasattr(etcd3, "_raise_for_data"):
        etcd3._raise_for_data = tolerant(etcd3._raise_for_data)


if __name__ == "__main__":
    prepare()
    from patroni.__main__ import main

    main()
