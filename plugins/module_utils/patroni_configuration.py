# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Brings Patroni's dynamic configuration into the declared state."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.http_json import EndpointError
from ansible_collections.holdfast.ha.plugins.module_utils.masking import mask
from ansible_collections.holdfast.ha.plugins.module_utils.patroni import hindrance, restart_order
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_api import (
    ClusterError,
    PatroniApi,
    await_applied,
    until,
)
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_config import apply_patch, plan
from ansible_collections.holdfast.ha.plugins.module_utils.patroni_etcd import Rescue, Store

CONFLICT = 409
VALUE_CHANGED = "(a value that is not shown changed)\n"


def load(api: PatroniApi, timeout: float, rescue: Rescue) -> dict[str, Any] | None:
    """Return the stored configuration, None when a running cluster has lost it.

    Waits up to ``timeout`` seconds for a cluster that is still being created.
    """
    reason = "no member answers"
    for _left in until(time.monotonic() + timeout):
        led = api.view().leader is not None
        answers = [] if led else api.answers()
        rescue.permit(answers)
        try:
            stored = api.read_configuration()
            if stored is not None or led:
                return stored
            reason = f"the cluster has no leader and no configuration yet{hindrance(answers)}"
        except EndpointError as error:
            reason = str(error)
        rescue.look(answers)
    raise ClusterError(f"no dynamic configuration within {timeout:g} s: {reason}")


def store(api: PatroniApi, current: dict[str, Any] | None, patch: dict[str, Any]) -> None:
    """Store the planned configuration."""
    if current is None:
        api.put_configuration(patch)
    else:
        api.patch_configuration(patch)


def rescue_of(params: dict[str, Any], check_mode: bool) -> Rescue:
    """Return the rescue of an abandoned bootstrap; it does nothing in check mode."""
    store = Store.from_params(params["etcd"], params["etcd_password"]) if params["etcd"] and not check_mode else None
    return Rescue(store)


def converge(api: PatroniApi, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Compute the plan, apply it unless in check mode, and return the module's result."""
    try:
        current = load(api, 0 if check_mode else params["timeout"], rescue_of(params, check_mode))
    except ClusterError:
        if not check_mode:
            raise
        current = None
    patch = plan(current or {}, params["config"], params["exact"], params["keep"])
    if patch and not check_mode:
        store(api, current, patch)
        await_applied(api.without(params["others"]), params["timeout"])
    before, after = mask(current or {}), mask(apply_patch(current or {}, patch))
    diff = {"before": before, "after": after}
    if patch and before == after:
        diff["prepared"] = VALUE_CHANGED
    return {
        "changed": bool(patch),
        "config": after,
        "patch": mask(patch),
        "pending_restart": [member.name for member in restart_order(api.view())],
        "diff": diff,
    }


def converge_despite_others(api: PatroniApi, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Plan again if the configuration was changed concurrently."""
    try:
        return converge(api, params, check_mode)
    except EndpointError as error:
        if error.status != CONFLICT:
            raise
        return converge(api, params, check_mode)
