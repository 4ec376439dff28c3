# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's preflight asks its programs."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import host_facts as sut
from ansible_collections.holdfast.ha.plugins.module_utils.packages import Packages

from tests.unit.plugins.module_utils.test_host_preflight import GOOD

BOOKWORM = dataclasses.replace(GOOD, os_version="12")
EXPORTER = "prometheus-pgbackrest-exporter"


@pytest.mark.parametrize(
    ("told", "refused"),
    [
        ("", True),
        (f"{EXPORTER}:\n  Installed: (none)\n  Candidate: (none)\n", True),
        (f"{EXPORTER}:\n  Installed: (none)\n  Candidate: 0.19.0-1\n", False),
    ],
)
def test_another_source_may_have_the_package(told, refused):
    module = SimpleNamespace(get_bin_path=str, run_command=lambda *_words, **_more: (0, told, ""))
    known = Packages(missing=[EXPORTER], broken=[], versions={})
    assert bool(list(sut.package_findings(module, BOOKWORM, known))) is refused
