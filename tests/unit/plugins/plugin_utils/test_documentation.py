# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.holdfast.ha.plugins.action import explore, soak
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec, module_options


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("drill", {"dead_man": 300, "provider": "hosts", "repeat": 1, "budgets": {}, "client": None}),
        ("explore", {"minutes": 0, "seed": 1, "trials": None, "shrink": 12, "repeat": 5, "mode": "random"}),
        ("soak", {"minutes": 60, "seed": 1, "clients": 16, "scale": 10}),
    ],
)
def test_defaults_come_from_the_documentation(module, expected) -> None:
    validated = ArgumentSpecValidator(argument_spec(module)).validate({"cluster": "lab"}).validated_parameters
    assert expected.items() <= validated.items()


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("packages_upgrade", {"scope", "versions", "lock_timeout"}),
        ("etcd_leader", {"away_from", "endpoint", "ca_path"}),
        ("pgbackrest_info", {"stanza"}),
        ("cluster_status", {"clusters"}),
    ],
)
def test_a_module_has_the_options_of_its_fragments(module, names) -> None:
    options = module_options(module)
    assert names <= options.keys()
    assert all("description" in option for option in options.values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "missing required arguments: cluster"),
        ({"cluster": "lab", "provider": "clouds"}, "value of provider must be one of: hosts, containers, got: clouds"),
        ({"cluster": "lab", "dead_man": "soon"}, "cannot be converted to an int"),
        ({"cluster": "lab", "deadman": 60}, "deadman. Supported parameters include: "),
    ],
)
def test_bad_arguments_are_refused(arguments, message) -> None:
    assert message in "; ".join(ArgumentSpecValidator(argument_spec("drill")).validate(arguments).error_messages)


def test_an_exploration_is_a_drill_that_waits_for_no_alert() -> None:
    assert explore.DRILL["alerts"] is False
    explores, drills = argument_spec("explore"), argument_spec("drill")
    shared = set(explores) & set(drills) - {"repeat"}
    assert {name: explores[name].get("default") for name in shared} == {
        name: drills[name].get("default") for name in shared
    }


def test_a_soak_is_a_drill_that_takes_nobody_down() -> None:
    assert soak.DRILL["without_backup"] is True
    assert soak.DRILL["dead_man"] == argument_spec("drill")["dead_man"]["default"]
