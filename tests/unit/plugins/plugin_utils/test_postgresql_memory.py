# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.ha.plugins.filter.postgresql_memory import postgresql_memory
from ansible_collections.holdfast.ha.plugins.plugin_utils.postgresql_memory import memory_parameters


@pytest.mark.parametrize(
    ("memory", "connections", "sizes"),
    [
        # shared_buffers, effective_cache_size, maintenance_work_mem, work_mem
        (512, 200, (128, 320, 32, 4)),
        (1000, 100, (248, 620, 62, 4)),
        (7900, 200, (1968, 4920, 492, 9)),
        (64000, 200, (16000, 40000, 2048, 64)),
        (257000, 200, (16384, 136192, 2048, 64)),
        (64, 10, (32, 48, 16, 4)),
    ],
)
def test_parameters(memory: int, connections: int, sizes: tuple[int, ...]) -> None:
    names = ("shared_buffers", "effective_cache_size", "maintenance_work_mem", "work_mem")

    parameters = memory_parameters(memory, connections)

    assert parameters == {name: f"{size}MB" for name, size in zip(names, sizes, strict=True)}


@pytest.mark.parametrize(("memory", "less"), [(7960, 7940), (15990, 15900), (64400, 64100)])
def test_a_few_megabytes_change_nothing(memory: int, less: int) -> None:
    assert memory_parameters(memory, 200) == memory_parameters(less, 200)


@pytest.mark.parametrize("memory", [128, 900, 2000, 4000, 33000, 130000])
def test_all_of_it_fits(memory: int) -> None:
    sizes = {name: int(size.removesuffix("MB")) for name, size in memory_parameters(memory, 200).items()}

    assert sizes["shared_buffers"] < sizes["effective_cache_size"] < memory
    assert sizes["maintenance_work_mem"] <= memory // 4


@pytest.mark.parametrize(("memory", "connections"), [(0, 100), (-1, 100), (1000, 0), ("much", 100), (None, 100)])
def test_refusals(memory: object, connections: int) -> None:
    with pytest.raises(AnsibleFilterError, match="postgresql_memory"):
        postgresql_memory(memory, connections)


def test_templated_text_is_fine() -> None:
    assert postgresql_memory("7900", "200") == memory_parameters(7900, 200)
