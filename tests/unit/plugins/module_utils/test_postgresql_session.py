# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils.postgresql_session import guarded

ASKED = {"host": "198.51.100.11", "user": "postgres"}


@pytest.mark.parametrize(
    ("settings", "version", "added"),
    [
        pytest.param({**ASKED, "password": "x"}, 170002, {"require_auth": "scram-sha-256"}, id="Debian 13"),
        pytest.param({**ASKED, "password": "x"}, 150010, {}, id="Debian 12: libpq refuses an unknown option"),
        pytest.param({"host": "/var/run/postgresql", "user": "postgres"}, 170002, {}, id="peer"),
        pytest.param({**ASKED, "password": ""}, 170002, {}, id="no password to give away"),
    ],
)
def test_a_password_goes_only_to_who_knows_it(settings, version, added):
    assert guarded(settings, version) == {**settings, **added}
