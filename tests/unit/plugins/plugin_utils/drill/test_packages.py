# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill import packages as sut
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal


def test_what_development_installs_is_enough():
    sut.require_packages()


def test_missing_packages_are_named_with_the_command_that_installs_them(tmp_path):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# needed\njson>=1\nno_such_package>=2\nnor_this\n", encoding="utf-8")
    with pytest.raises(Refusal) as refused:
        sut.require_packages(requirements)
    assert str(refused.value).startswith("no_such_package, nor_this: not installed")
    assert f"{sys.executable} -m pip install -r {requirements}" in str(refused.value)
