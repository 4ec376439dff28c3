# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest

from scripts import docs_site as sut

KNOWN = {"README.md", "docs/restore.md", "docs/failover.md", "docs/schema.json", "roles/etcd/README.md"}


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("docs/restore.md", "[see](failover.md#soak)", "[see](failover.md#soak)"),
        ("docs/restore.md", "[see](#soak)", "[see](#soak)"),
        ("docs/restore.md", "[see\nthere](../README.md#speed)", "[see\nthere](../index.md#speed)"),
        ("docs/restore.md", "[etcd](../roles/etcd/README.md)", "[etcd](../roles/etcd/README.md)"),
        ("docs/restore.md", "[fields](schema.json)", "[fields](schema.json)"),
        ("README.md", "[it](docs/restore.md)", "[it](docs/restore.md)"),
        ("README.md", "[`galaxy.yml`](galaxy.yml) and [no](docs/gone.md)", "`galaxy.yml` and no"),
        ("README.md", "[out](https://example.org/a)", "[out](https://example.org/a)"),
        ("README.md", "![drawn](docs/drawn.svg)", "![drawn](docs/drawn.svg)"),
        ("README.md", "```\n[x](gone.md)\n```\n[x](gone.md)", "```\n[x](gone.md)\n```\nx"),
    ],
)
def test_a_link_leads_to_a_page_of_the_site_or_becomes_its_text(page, text, expected):
    assert sut.relinked(text, page, KNOWN) == expected


def test_every_page_is_in_the_menu_once():
    names = sut.pages()
    lines = [re.sub(r"^.* <(.+)>$", r"\1", line) for line in sut.menu([*names, "docs/zzz.md"])]
    listed = [line for line in lines if line and not line.startswith((":", "`"))]
    expected = {name.removesuffix(".md") for name in names if name != sut.HOME} | {"docs/zzz", "reference/index"}
    assert sorted(listed) == sorted(expected)


def test_generated_pages_lose_their_contents_and_our_name(tmp_path):
    page = tmp_path / "drill_module.rst"
    page.write_text(
        "holdfast.ha.drill module -- Prove\n+++\n\n.. contents::\n   :local:\n   :depth: 1\n\nholdfast.ha.drill\n"
    )
    sut.trim(tmp_path)
    assert page.read_text() == "drill module -- Prove\n+++\n\n\nholdfast.ha.drill\n"
