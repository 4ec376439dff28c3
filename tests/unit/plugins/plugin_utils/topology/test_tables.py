# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables that repeat what stands elsewhere in the collection must say the same."""

from __future__ import annotations

from itertools import chain

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils import secrets_file
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.model import COMPONENT_ROLES, COMPONENTS
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.packages import COMMON_PACKAGES, COMPONENT_PACKAGES
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.required_secrets import SECRETS
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.timing import PROFILES, patroni_defaults
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.variables import FLOOR, ROLES


@pytest.mark.parametrize(("component", "role"), COMPONENT_ROLES.items())
def test_packages_are_the_roles(component, role, roles):
    if role not in roles:
        pytest.skip(f"no role {role}")
    assert set(COMPONENT_PACKAGES[component]) == set(roles[role].defaults[f"{role}_packages"])


def test_common_packages_are_those_of_the_certificates(roles):
    assert set(COMMON_PACKAGES) == set(roles["certificates"].defaults["certificates_packages"])


def test_every_component_has_packages_and_a_role():
    assert set(COMPONENTS) == set(COMPONENT_PACKAGES) == set(COMPONENT_ROLES)


def test_secrets_are_those_that_the_playbook_generates():
    assert set(chain.from_iterable(SECRETS.values())) == set(secrets_file.SECRETS)


def test_role_prefixes_are_unambiguous():
    assert not any(one != other and one.startswith(f"{other}_") for one in ROLES for other in ROLES)


def test_timing_variables_exist_with_defaults_that_hold(roles):
    for profile in PROFILES:
        defaults = patroni_defaults(profile, roles["patroni"].defaults)
        ttl, loop_wait, retry_timeout = (defaults[name] for name in FLOOR)
        assert loop_wait + 2 * retry_timeout <= ttl
        assert all(defaults[name] >= floor for name, floor in FLOOR.items())


def test_every_value_of_a_profile_is_a_variable_of_its_role(roles):
    for name, profile in PROFILES.items():
        for role in ("patroni", "etcd", "haproxy", "keepalived"):
            for key in getattr(profile, role):
                template = roles[role].defaults[f"{role}_{key}"]
                assert template.startswith("{{ " + f"{role}_timing.{key} | default("), name


def test_profiles_keep_their_own_rules():
    for profile in PROFILES.values():
        assert profile.etcd["election_timeout"] >= 5 * profile.etcd["heartbeat_interval"]
        watch, patroni = profile.lease_watch, profile.patroni
        assert watch is None or patroni["loop_wait"] + 1 <= watch < patroni["ttl"]
