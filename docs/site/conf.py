# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sphinx's configuration of the docs site; scripts/docs_site.py lays out the pages."""

from __future__ import annotations

from typing import Any

from docutils.nodes import Element, reference

project = "Holdfast"
copyright = "Holdfast contributors"  # noqa: A001 - Sphinx's own name
html_title = "Holdfast"
html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["holdfast.css"]
html_copy_source = False
html_show_sphinx = False
extensions = ["myst_parser", "sphinx_antsibull_ext"]
myst_heading_anchors = 6
highlight_language = "text"

ANSIBLE = "https://docs.ansible.com/ansible/latest"
# Where labels are that the generated reference names without defining them.
ANSIBLE_PAGES = {
    "action_plugins": "plugins/action.html",
    "ansible_configuration_settings": "reference_appendices/config.html",
    "callback_plugins": "plugins/callback.html",
    "common_return_values": "reference_appendices/common_return_values.html",
}


def ansible_page(_app: Any, _environment: Any, node: Element, content: Element) -> reference | None:
    """Resolve a label of Ansible's own documentation, without asking for its index."""
    label = str(node.get("reftarget", ""))
    page = ANSIBLE_PAGES.get(label)
    if label.startswith("ansible_collections."):
        page = f"{label.replace('ansible_collections.', 'collections/').replace('.', '/')}.html"
    return reference("", "", content, internal=False, refuri=f"{ANSIBLE}/{page}") if page else None


def setup(app: Any) -> None:
    """Register it."""
    app.connect("missing-reference", ansible_page)
