# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import scram as sut

# As PostgreSQL 17 stored them.
STORED = [
    (
        'a "quoted" \\ % $ # one',
        (
            "SCRAM-SHA-256$4096:CnP25r27/OtI1Wn3VE4q/A==$9pHp7I11v9DtEh2xRAANyq/uRkv5pnNVg9wanMZj96c="
            ":UIG7dBrO3oE6VbuXcP+CBzxWv505HAQP+5dnyjpHVVM="
        ),
    ),
    (
        "pässwörd ª Ⅸ",
        (
            "SCRAM-SHA-256$4096:CMWAjjNAloaTdzvHEbb8Tw==$LQGybariF1n3DIVkj389cYP5BxeCgHLUqetxJI1Z6cQ="
            ":PR6Fzz1epCeCjBYZfdv9TGlzTdhYLfxXOrQsUEDHC0g="
        ),
    ),
    (
        "soft\N{SOFT HYPHEN}hyphen\N{NO-BREAK SPACE}space",
        (
            "SCRAM-SHA-256$4096:gSpoenS9MfOihqU3oB6HJg==$bOYS8HV9l3JN9PpSkNREGF61iAluL3KMyUDHS5Ikfis="
            ":lBZrR5zJZMcyqA9zuwDFwQoYZPY3u4i96ioADprNqUk="
        ),
    ),
    (
        "🐘 emoji and ª",
        (
            "SCRAM-SHA-256$4096:nOYfL+hfal1Rx2eIPoGfLg==$tb5/OSEuK6TX6fT5GZYqB5IzZZlQ7UfoddnWwZFv0V0="
            ":wg4odKumobzn1omKP40D6N/YMfnHJtUgN00ULUetldw="
        ),
    ),
]


@pytest.mark.parametrize(("password", "stored"), STORED)
def test_a_password_is_told_by_what_the_server_stored(password, stored):
    assert sut.is_password_of("app", password, stored) is True
    assert sut.is_password_of("app", password + "x", stored) is False


def test_a_former_kind_of_password_and_none_at_all():
    assert sut.is_password_of("v5", "pässwörd", "md5c35e96ba832a8924ed653f8427e7bc01") is True
    assert sut.is_password_of("v6", "pässwörd", "md5c35e96ba832a8924ed653f8427e7bc01") is False
    assert sut.is_password_of("app", "x", None) is None
    assert sut.is_password_of("app", "x", "") is None


@pytest.mark.parametrize(("password", "stored"), STORED)
def test_what_is_made_is_what_the_server_would_store(password, stored):
    assert sut.verifier(password, base64.b64decode(sut.SCRAM.fullmatch(stored)[2])) == stored


@pytest.mark.parametrize("password", ["אabc", "a\N{HEBREW LETTER ALEF}b", "\N{SOFT HYPHEN}", "\ue000private"])
def test_what_saslprep_forbids_is_stored_as_it_is(password):
    assert sut._prepared(password) == password.encode()


def test_a_text_from_right_to_left_is_prepared():
    assert sut._prepared("\N{SOFT HYPHEN}אבג") == "אבג".encode()
