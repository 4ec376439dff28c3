# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation import choice as sut

ROLES = ("app", "pgbouncer", "web")
EVERY = sut.every_name(ROLES)


def test_passwords_are_all_but_what_can_t_change_in_place():
    assert "ha_secrets.pgbackrest_cipher" not in EVERY
    assert {"ha_secrets.etcd_root", "ha_secrets.haproxy_stats", "ha_role_passwords.web"} <= set(EVERY)
    assert sut.choose(["passwords"], ROLES) == sut.Choice((sut.PASSWORDS,), EVERY)
    assert sut.choose(["all"], ROLES) == sut.Choice((sut.PASSWORDS, sut.AUTHORITY), EVERY)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["etcd_patroni"], ["ha_secrets.etcd_patroni"]),
        (["web", "etcd_root", "web"], ["ha_role_passwords.web", "ha_secrets.etcd_root"]),
        (["ha_role_passwords.pgbouncer"], ["ha_role_passwords.pgbouncer"]),
        (["ha_secrets.pgbouncer"], ["ha_secrets.pgbouncer"]),
        (["passwords", "web"], EVERY),
    ],
)
def test_names_may_be_dotted(words, names):
    assert sut.choose(words, ROLES) == sut.Choice((sut.PASSWORDS,), tuple(names))


@pytest.mark.parametrize(
    ("words", "parts", "names"),
    [
        (["certificates"], (sut.CERTIFICATES,), ()),
        (["authority"], (sut.AUTHORITY,), ()),
        (["certificates", "authority"], (sut.AUTHORITY,), ()),
        (["authority", "web"], (sut.PASSWORDS, sut.AUTHORITY), ("ha_role_passwords.web",)),
        (["certificates", "passwords"], (sut.PASSWORDS, sut.CERTIFICATES), EVERY),
    ],
)
def test_passwords_come_first_and_an_authority_brings_the_certificates(words, parts, names):
    assert sut.choose(words, ROLES) == sut.Choice(parts, names)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "rotate is not set"),
        (["etcd_rot"], "etcd_rot is unknown; did you mean 'etcd_root'"),
        (["pgbouncer"], "write ha_secrets.pgbouncer or ha_role_passwords.pgbouncer"),
        (["pgbackrest_cipher"], "can't change in place"),
        (["ha_secrets.pgbackrest_cipher"], "can't change in place"),
        (["authorty"], "did you mean 'authority'"),
        (["nobody"], "nobody is unknown"),
    ],
)
def test_what_makes_no_sense_is_refused(words, expected):
    with pytest.raises(sut.RefusedError, match=expected):
        sut.choose(words, ROLES)


def test_hosts_tell_of_secrets_by_their_keys():
    assert [sut.short(name) for name in ("ha_secrets.etcd_root", "ha_role_passwords.app")] == [
        "etcd_root",
        "ha_role_passwords.app",
    ]
