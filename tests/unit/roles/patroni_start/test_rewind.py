# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A data directory that pg_rewind failed on is removed only while replication is synchronous."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from patroni_start.rewind import REWIND_FAILURE, Removal


@pytest.mark.parametrize(("synchronous", "removed"), [(True, True), (False, False)])
def test_a_data_directory_is_removed_only_while_replication_is_synchronous(synchronous, removed):
    removal, settings = Removal(), {REWIND_FAILURE: True, "use_slots": True}
    get = removal.limiting(lambda config, key, default=None: config.get(key, default))
    ha = SimpleNamespace(is_synchronous_mode=lambda: synchronous)
    assert removal.noting(lambda _ha: get(settings, REWIND_FAILURE))(ha) is removed
    assert get(settings, "use_slots") is True
    assert get(settings, "other", 7) == 7
