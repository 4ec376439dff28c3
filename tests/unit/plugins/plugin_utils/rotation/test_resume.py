# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every service has a login that works at every moment of a rotation, and a killed run is continued to its end.

The cluster is a model: logins that services accept, and what each service would log in with. Each step of the playbook
is a list of actions; the run is killed before each of them, and begun again from what the hosts tell.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.deployed import Verdict, is_stored
from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation.plan import KNOWN, PATRONI, Login, plan, states_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import SQL_ROLES

HOSTS = ("db1", "db2", "db3")
OWN = tuple(name for name, secret in KNOWN.items() if secret.is_login)
ROLE = "ha_role_passwords.app"
HELD = tuple(name for name in OWN if KNOWN[name].standin)


class KilledError(Exception):
    """The controller was killed."""


def login(name):
    secret = KNOWN.get(name)
    return "app" if secret is None else Login(secret, secret.etcd_user or SQL_ROLES[secret.sql_role]).name


@dataclass
class World:
    """Accounts by service and name; files and memories of each host's service, by secret: name and password."""

    accounts: dict
    files: dict
    memories: dict
    budget: int = 10**6
    actions: int = 0
    broken: list = field(default_factory=list)

    @classmethod
    def made(cls, names):
        accounts = {"etcd": {}, "sql": {}}
        for name in (*names, *({"etcd_root"} - set(names))):
            accounts[service(name)][login(name)] = "old"
        held = {(host, name): (login(name), "old") for host in HOSTS for name in names if name in HELD}
        return cls(accounts, dict(held), dict(held))

    def act(self, change, *arguments):
        """Do one action, before which the controller may be killed, and look at every login."""
        if self.actions >= self.budget:
            raise KilledError
        self.actions += 1
        change(*arguments)
        for place in (self.files, self.memories):
            for (host, name), (user, password) in place.items():
                if self.accounts[service(name)].get(user) != password:
                    self.broken.append((self.actions, host, name, user))

    def told(self, desired, former):
        """Return what each host tells."""
        return [{name: self.verdict(host, name, desired[name], former.get(name)) for name in desired} for host in HOSTS]

    def verdict(self, host, name, desired, former):
        accounts = self.accounts[service(name)]
        held = self.files.get((host, name))
        return Verdict(
            stored=is_stored(desired, [held]) if held else None,
            accepted=accounts[login(name)] == desired,
            standin=f"{login(name)}_next" in accounts,
            former=accounts[login(name)] == former if former else None,
        )

    # The actions

    def put(self, of, name, password):
        self.accounts[of][name] = password

    def drop(self, of, name):
        self.accounts[of].pop(name, None)

    def write(self, host, values):
        self.files.update({(host, name): value for name, value in values.items()})

    def reload(self, host, names):
        self.memories.update({(host, name): self.files[host, name] for name in names})


def service(name):
    return "etcd" if name.startswith("etcd_") else "sql"


def rotate(world, desired, former=None):
    """Carry out what the playbook does, in its order."""
    moves = plan(states_of(world.told(desired, former or {})))
    for of, accounts in (("etcd", moves.etcd), ("sql", moves.sql)):
        for account in accounts.open:
            world.act(world.put, of, account["name"], desired[accounts.secrets[account["name"]]])
    hold(world, desired, [name for name in moves.changes if name in HELD], moves, "_next")
    for of, accounts in (("etcd", moves.etcd), ("sql", moves.sql)):
        for account in accounts.change:
            world.act(world.put, of, account["name"], desired[accounts.secrets[account["name"]]])
    if "etcd_root" in moves.changes:
        world.act(world.put, "etcd", "root", desired["etcd_root"])
    hold(world, desired, [name for name in moves.settles if name in HELD], moves, "")
    for of, accounts in (("etcd", moves.etcd), ("sql", moves.sql)):
        for name in accounts.gone:
            world.act(world.drop, of, name)


def hold(world, desired, names, moves, ending):
    """Write each service's files and reload it; Patroni's hold several secrets, whether these change or not."""
    parts = [
        [name for name in desired if name in PATRONI and name in HELD],
        *([name] for name in desired if name in HELD and name not in PATRONI),
    ]
    for host, part in itertools.product(HOSTS, parts):
        if not set(part) & set(names):
            continue
        stands = {name: ending if PATRONI.get(name) in moves.patroni or name not in PATRONI else "" for name in part}
        values = {name: (f"{login(name)}{stands[name]}", desired[name]) for name in part}
        world.act(world.write, host, values)
        world.act(world.reload, host, part)


def settled(world, desired, former):
    return not plan(states_of(world.told(desired, former))).settles and not any(
        verdict.former for told in world.told(desired, former) for verdict in told.values()
    )


SETS = [*((name,) for name in (*OWN, ROLE)), (*OWN, ROLE), ("etcd_patroni", "postgresql_replication")]


@pytest.mark.parametrize("changed", SETS, ids="+".join)
def test_a_rotation_never_breaks_a_login(changed):
    known = dict.fromkeys((*OWN, ROLE), "old")
    world, desired = World.made((*OWN, ROLE)), known | dict.fromkeys(changed, "new")
    rotate(world, desired)
    assert world.broken == []
    assert settled(world, desired, dict.fromkeys(changed, "old"))
    assert not [name for accounts in world.accounts.values() for name in accounts if name.endswith("_next")]


@pytest.mark.parametrize("changed", SETS, ids="+".join)
def test_killed_before_any_action_the_next_run_ends_it(changed):
    known = dict.fromkeys((*OWN, ROLE), "old")
    desired, former = known | dict.fromkeys(changed, "new"), dict.fromkeys(changed, "old")
    whole = World.made((*OWN, ROLE))
    rotate(whole, desired)
    for budget in range(whole.actions):
        world = World.made((*OWN, ROLE))
        world.budget = budget
        with pytest.raises(KilledError):
            rotate(world, desired, former)
        # Killed a second time halfway through the rest.
        world.budget = world.actions + (whole.actions - budget) // 2
        try:
            rotate(world, desired, former)
        except KilledError:
            world.budget = 10**6
            rotate(world, desired, former)
        assert world.broken == [], budget
        assert settled(world, desired, former), budget


def test_the_model_notices_a_login_that_is_changed_at_once():
    """A model that can't fail would prove nothing."""
    world = World.made(OWN)
    world.act(world.put, "etcd", "patroni", "new")
    assert {name for _action, _host, name, _user in world.broken} == {"etcd_patroni"}


def test_a_host_restarts_with_its_file_at_any_moment():
    """The files are looked at after each action, too: a reload that is lost with its run changes nothing."""
    desired = dict.fromkeys(OWN, "new")
    world = World.made(OWN)
    rotate(world, desired)
    assert world.files == world.memories
