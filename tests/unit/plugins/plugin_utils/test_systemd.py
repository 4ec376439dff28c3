# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.holdfast.ha.plugins.plugin_utils.systemd import argument, word


@pytest.mark.parametrize(
    ("text", "as_word", "as_argument"),
    [
        ("/srv/pg", '"/srv/pg"', '"/srv/pg"'),
        ("/srv/pg verify", '"/srv/pg verify"', '"/srv/pg verify"'),
        ("50%", '"50%%"', '"50%%"'),
        ("$HOME", '"$HOME"', '"$$HOME"'),
        ('a"b\\c', '"a\\"b\\\\c"', '"a\\"b\\\\c"'),
        ("it's;#", '"it\'s;#"', '"it\'s;#"'),
        ("Zürich\N{NO-BREAK SPACE}1", '"Zürich\N{NO-BREAK SPACE}1"', '"Zürich\N{NO-BREAK SPACE}1"'),
        (5, '"5"', '"5"'),
    ],
)
def test_quoting(text, as_word, as_argument):
    assert (word(text), argument(text)) == (as_word, as_argument)


@pytest.mark.parametrize("text", ["a\nb", "a\0", "\t", "\x7f"])
def test_what_no_unit_can_hold(text):
    with pytest.raises(ValueError, match="leave it out"):
        word(text)
