# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.explore.majority import Loss, Part, Shape, leaves_majority

HOSTS = ("a", "b", "c")
SHAPE = Shape(HOSTS, HOSTS, ("x", "y"))
WHOLE, ETCD, DATABASE = frozenset(Part), frozenset({Part.ETCD}), frozenset({Part.DATABASE})
FIVE = Shape(tuple("abcde"), tuple("abcde"))


@pytest.mark.parametrize(
    ("shape", "losses", "left"),
    [
        (SHAPE, [], True),
        (SHAPE, [Loss("a", WHOLE)], True),
        (SHAPE, [Loss("a", WHOLE), Loss("a", ETCD)], True),
        (SHAPE, [Loss("a", WHOLE), Loss("b", ETCD)], False),
        (SHAPE, [Loss("a", DATABASE), Loss("b", ETCD)], True),
        (SHAPE, [Loss("a", WHOLE), Loss("x", WHOLE)], True),
        (SHAPE, [Loss("x", WHOLE), Loss("y", WHOLE)], False),
        (SHAPE, [Loss("backup", WHOLE)], True),
        (SHAPE, [Loss("a", link="b")], True),
        (SHAPE, [Loss("a", link="b"), Loss("c", ETCD)], False),
        (SHAPE, [Loss("a", link="b"), Loss("b", WHOLE)], True),
        (SHAPE, [Loss("a", link="b"), Loss("b", link="c"), Loss("c", link="a")], False),
        (FIVE, [Loss("a", WHOLE), Loss("b", WHOLE)], True),
        (FIVE, [Loss("a", WHOLE), Loss("b", WHOLE), Loss("c", link="d")], False),
        (Shape(("e",), HOSTS), [Loss("a", WHOLE)], True),
        (Shape(("e",), HOSTS), [Loss("e", ETCD)], False),
    ],
)
def test_a_majority_is_left(shape, losses, left) -> None:
    assert leaves_majority(shape, losses) is left
