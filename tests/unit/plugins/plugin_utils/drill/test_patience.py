# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.clock import Offset
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError

from tests.unit.plugins.plugin_utils.drill.scripted import Parts


def test_a_wait_for_writes_tells_what_the_clients_say(cluster) -> None:
    made = Parts(cluster)
    row = ["writer-1", 1, 0.0, 1.0, "refused", "", "no pg_hba.conf entry"]
    made.recorder.take("client1", "writes", [row], Offset(0.0, 0.0))
    with pytest.raises(GateError, match=r"not within 0 s: steady writes; a client says: no pg_hba.conf entry"):
        made.patience.until(lambda: False, 0.0, "steady writes")
