# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The targets of a fault, by the present roles."""

from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.faults import Target
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import Expected, View


def etcd_leader_wanted(target: Target, expected: Expected, view: View) -> str:
    """Return the host that must lead etcd before the fault, "" if the present leader may stay."""
    if target is Target.PRIMARY_LEADING_ETCD and view.etcd_leader != view.leader:
        return view.leader if view.leader in expected.etcd else ""
    if target in {Target.PRIMARY, Target.ETCD_LEADER} and view.etcd_leader == view.leader:
        return next((host for host in expected.etcd if host != view.leader), "")
    return ""


def choose(target: Target, expected: Expected, view: View, everybody: tuple[str, ...], number: int) -> tuple[str, ...]:
    """Return the fault's target hosts; number counts its injections from 1."""
    standbys = tuple(host for host in expected.databases if host != view.leader)
    others = [host for host in expected.etcd if host != view.leader]
    majority = len(expected.etcd) // 2 + 1
    choices: dict[Target, tuple[str, ...]] = {
        Target.PRIMARY: (view.leader,),
        Target.PRIMARY_LEADING_ETCD: (view.leader,),
        Target.STANDBY: (standbys[(number - 1) % len(standbys)],) if standbys else (),
        Target.ALL_STANDBYS: standbys,
        Target.ETCD_LEADER: (view.etcd_leader,),
        Target.ETCD_MAJORITY: tuple([*others, view.leader][:majority]),
        Target.VIP_HOLDER: (view.vip_holder,),
        Target.BACKUP_HOST: expected.backup,
        Target.CLUSTER: everybody,
        Target.ONE_BY_ONE: (*standbys, *(host for host in everybody if host not in expected.databases), view.leader),
    }
    return choices[target]
