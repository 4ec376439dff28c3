# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Verdict
from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation import plan as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation.render import plan_lines

SETTLED = Verdict(stored=True, accepted=True, standin=False, former=False)
CHANGED = Verdict(stored=False, accepted=False, standin=False, former=True)


def moves(**verdicts):
    return sut.plan(sut.states_of([verdicts]))


def test_what_is_settled_needs_nothing():
    left = moves(etcd_patroni=SETTLED, postgresql_superuser=SETTLED, patroni_rest=Verdict(stored=True))
    assert left == sut.Moves()


@pytest.mark.parametrize(
    ("name", "opened", "changed", "gone", "parts"),
    [
        ("etcd_patroni", [{"name": "patroni_next", "like": "patroni"}], ["patroni"], ["patroni_next"], ["etcd"]),
        ("etcd_root", [{"name": "root_next", "like": "root"}], [], ["root_next"], []),
        (
            "postgresql_replication",
            [{"name": "replicator_next", "like": "replicator", "replication": True}],
            ["replicator"],
            ["replicator_next"],
            ["replication"],
        ),
        ("pgbouncer", [{"name": "pgbouncer_next", "like": "pgbouncer"}], ["pgbouncer"], ["pgbouncer_next"], []),
        ("postgresql_superuser", [], ["postgres"], [], []),
        ("ha_role_passwords.app", [], ["app"], [], []),
    ],
)
def test_a_changed_login_is_stood_in_for_where_services_hold_it(name, opened, changed, gone, parts):
    left = moves(**{name: CHANGED})
    accounts = left.etcd if name.startswith("etcd") else left.sql
    assert (left.changes, left.settles) == ((name,), (name,))
    assert list(accounts.open) == opened
    assert [account["name"] for account in accounts.change] == changed
    assert list(accounts.gone) == gone
    assert list(left.patroni) == parts
    assert {*changed, *gone} <= set(accounts.secrets)
    assert set(accounts.secrets.values()) == {name}


def test_roles_have_the_names_that_variables_give_them():
    states = sut.states_of([{"postgresql_rewind": CHANGED}])
    left = sut.plan(states, {"patroni_rewind_username": "mender"})
    assert left.sql.open == ({"name": "mender_next", "like": "mender"},)


def test_a_changed_secret_of_one_end_is_only_written():
    left = moves(patroni_rest=Verdict(stored=False), haproxy_stats=Verdict(stored=False))
    assert (left.changes, left.etcd, left.sql) == ((), sut.Accounts(), sut.Accounts())
    assert left.settles == ("patroni_rest", "haproxy_stats")
    assert left.components == ("postgresql", "haproxy")


@pytest.mark.parametrize("stored", [True, False])
def test_after_the_change_the_services_return_and_the_stand_in_goes(stored):
    """A file may have been written, and its service not reloaded, when the run was killed."""
    left = moves(etcd_patroni=Verdict(stored=stored, accepted=True, standin=True))
    assert (left.changes, left.settles, left.patroni) == ((), ("etcd_patroni",), ())
    assert (left.etcd.open, left.etcd.change, left.etcd.gone) == ((), (), ("patroni_next",))


def test_a_standby_may_know_later_what_the_primary_accepts():
    told = [{"postgresql_rewind": SETTLED}, {"postgresql_rewind": CHANGED}]
    state = sut.states_of(told)["postgresql_rewind"]
    assert (state.changes, state.settles) == (False, True)


def test_repositories_are_not_rotated():
    assert sut.states_of([{"pgbackrest_cipher": CHANGED, "pgbackrest_repositories[1].cipher_pass": CHANGED}]) == {}


def test_every_secret_of_patroni_s_configuration_is_known():
    held = {secret.name for part in sut.COMPONENTS if part.name == "postgresql" for secret in part.secrets}
    assert set(sut.PATRONI) == held


def test_the_plan_names_the_steps_that_have_anything_to_do():
    whole = plan_lines({"lab": moves(etcd_patroni=CHANGED).as_data()}, ["etcd_patroni"], ["ha_secrets.etcd_patroni"])
    assert [line.split(": ")[0].strip() for line in whole[1:7]] == [
        "1. open",
        "2. move",
        "3. change",
        "4. settle",
        "5. withdraw",
        "6. prove",
    ]
    assert "ha_secrets.etcd_patroni" in whole[-1]
    alone = plan_lines({"lab": moves(**{"ha_role_passwords.app": CHANGED}).as_data()}, ["x"], [])
    assert [line.split(": ")[0].strip() for line in alone[1:3]] == ["1. change", "2. prove"]
    assert "Nothing to rotate" in plan_lines({}, [], [])[0]
