# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.soak.lease import Look, leader_key, look


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def keys(*names):
    return lambda _path, _body: {"kvs": [{"key": encoded(name)} for name in names]}


def test_the_key_is_found_whatever_the_namespace() -> None:
    asked = keys("/service/mainly/leader", "/db/main/config", "/db/main/leader")
    assert leader_key(asked, "main") == encoded("/db/main/leader")


def test_no_key_is_an_error_that_names_the_cluster() -> None:
    with pytest.raises(LookupError, match="no leader key of main"):
        leader_key(keys("/db/main/config"), "main")


@pytest.mark.parametrize(
    ("kvs", "told", "expected", "unrenewed"),
    [
        (
            [{"value": encoded("db1"), "lease": "255"}],
            {"grantedTTL": "20", "TTL": "14"},
            Look("db1", "ff", 7, 20, 14),
            5,
        ),
        ([{"value": encoded("db1"), "lease": "255"}], {"grantedTTL": "20"}, Look("db1", "ff", 7, 20, 0), 19),
        ([{"value": encoded("db1"), "lease": "255"}], {"TTL": "-1"}, Look("db1", "ff", 7, 0, -1), 0),
        ([{"value": encoded("db1")}], None, Look("db1", "", 7), 0),
        ([], None, Look("", "", 7), 0),
    ],
)
def test_what_etcd_says(kvs, told, expected, unrenewed) -> None:
    answers = {"/v3/kv/range": {"header": {"raft_term": "7"}, "kvs": kvs}, "/v3/lease/timetolive": told}
    seen = look(lambda path, _body: answers[path], encoded("/service/main/leader"))
    assert seen == expected
    assert seen.unrenewed == unrenewed
