# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Transient errors of etcd are retried."""

from __future__ import annotations

import pytest
from patroni_start.etcd_errors import normalized, normalizing_errors


def stream(code, message):
    return {"error": {"code": code, "message": message}}


@pytest.mark.parametrize("data", [b"no JSON", None, {"header": {}}, {"code": 14}, {"error": "text", "code": 3}])
def test_anything_else_stays_as_it_is(data):
    assert normalized(data) == data


def test_the_first_version_of_the_gateway_is_known():
    error = {"grpc_code": 14, "http_code": 503, "message": "etcdserver: leader changed"}
    assert normalized({"error": error}) == {"error": {**error, "code": 14}}


def test_an_error_in_a_stream_has_its_code():
    assert normalized(stream(14, "etcdserver: leader changed"))["error"]["grpc_code"] == 14


def test_a_refusal_stays_a_refusal():
    assert normalized(stream(7, "etcdserver: permission denied"))["error"]["grpc_code"] == 7
    assert normalized(stream(2, "something else"))["error"]["grpc_code"] == 2


def test_a_leader_that_is_about_to_lose_its_leadership_is_asked_again():
    assert normalized(stream(2, "not a primary lessor"))["error"]["grpc_code"] == 14
    assert normalized({"code": 2, "message": "not a primary lessor", "details": []})["code"] == 14


def test_an_error_outside_a_stream_has_its_words():
    data = {"code": 3, "message": "etcdserver: revision of auth store is old", "details": []}
    known = normalized(data)
    assert (known["code"], known["error"]) == (3, "etcdserver: revision of auth store is old")


def test_patroni_s_handler_is_given_the_rest_unchanged():
    def handle(data, status_code=None):
        return data["error"]["grpc_code"], status_code

    assert normalizing_errors(handle)(stream(14, "etcdserver: no leader"), 503) == (14, 503)
