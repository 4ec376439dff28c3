# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a secret may hold, and what is told of one that can't be carried."""

from __future__ import annotations

import string

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils import secret_text as sut

EVERY_ASCII = f"a{string.punctuation.replace('$', '')} {string.ascii_letters}"
GOOD = [EVERY_ASCII, "a$b#c%d'e\"f\\\\g:h", "\u00e9\u4e2d\u00df\ufffd" * 4, "a  b", "{{", "a\u00a0b"]


@pytest.mark.parametrize("value", GOOD)
@pytest.mark.parametrize("name", ["ha_secrets.pgbackrest_cipher", "ha_secrets.pgbouncer", "ha_role_passwords.app"])
def test_every_other_character_is_taken(name: str, value: str) -> None:
    assert list(sut.secret_problems(name, value)) == []


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "must be a text"),
        (1234567890123456, "must be a text"),
        (["a"], "must be a text"),
        (True, "must be a text"),
        ("", "is blank"),
        (" \t ", "is blank"),
        (" a", "begins or ends with a blank"),
        ("a\u3000", "begins or ends with a blank"),
        *((f"a{character}b", "control character") for character in "\0\t\n\v\f\r\x1b\x7f\x85\u2028\u2029\udc80"),
        ("a\U0001f511", "beyond U+FFFD"),
        ("a\ufffe", "beyond U+FFFD"),
        ("a" * 1025, "more than 1024 bytes"),
    ],
)
def test_what_can_t_be_carried_is_named(value: object, told: str) -> None:
    assert any(told in problem for problem in sut.text_problems(value))


def test_no_problem_shows_the_value() -> None:
    told = " ".join(sut.secret_problems("ha_secrets.etcd_root", " never-show-me\n\U0001f511" * 100))
    assert "blank" in told
    assert "never-show-me" not in told


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("ha_secrets.etcd_root", "\u00e9" * 36 + "a", "more than 72 bytes"),
        ("ha_secrets.patroni_rest", "\u00e9" * 16, "beyond ASCII"),
        ("ha_secrets.postgresql_superuser", "\u4e2d" * 16, "beyond ASCII"),
        ("ha_secrets.postgresql_replication", "a$$b", "has $$"),
        ("ha_secrets.pgbouncer", "md5" + "0" * 32, "hash"),
        ("ha_secrets.postgresql_superuser", "SCRAM-SHA-256$4096:a", "hash"),
    ],
)
def test_what_one_reader_can_t_take_is_refused_for_it_alone(name: str, value: str, told: str) -> None:
    (problem,) = sut.secret_problems(name, value)
    assert told in problem
    assert list(sut.secret_problems("ha_secrets.pgbackrest_cipher", value)) == []


@pytest.mark.parametrize(
    ("text", "templated", "expression"),
    [
        ("a", False, False),
        ("{{ a }}", True, True),
        ("{{ a | b('c') }}\n", True, True),
        ("{{ 'x' if a else b }}", True, True),
        ("a{{b}}", True, False),
        ("{{a}}{{b}}", True, False),
        ("{{a b}}", True, False),
        ("a{{b", True, False),
        ("a{%b", True, False),
        ("{# a #}", True, False),
        ("#jinja2: trim_blocks: true", True, False),
    ],
)
def test_templates_are_told_apart(text: str, templated: bool, expression: bool) -> None:
    assert sut.is_templated(text) is templated
    assert sut.is_expression(text) is (expression if templated else False)
