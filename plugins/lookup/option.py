# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lookup plugin: an option of a playbook, or its declared default."""

from __future__ import annotations

DOCUMENTATION = r"""
name: option
short_description: An option of a playbook, or its declared default
version_added: 1.0.0
author: Holdfast contributors (@holdfast)
description:
  - Returns the value of a playbook's option (C(docs/playbooks.md)) or of a role's variable (C(docs/variables.md)) in
    its declared type. The value may come from the inventory or the command line, where every value of C(-e name=value)
    is a text. Without a value, the declared default is returned. A template is evaluated in both.
  - So playbooks repeat neither types nor defaults.
options:
  _terms:
    description: The option's name.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Verify now
  holdfast.ha.restore_verify:
  when: lookup('holdfast.ha.option', 'verify_now')
"""

RETURN = r"""
_raw:
  description: The value.
  type: list
  elements: raw
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.holdfast.ha.plugins.inventory.topology import plain, trusted
from ansible_collections.holdfast.ha.plugins.plugin_utils.playbooks import default_of, interface, value_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.variables import has_opaque


class LookupModule(LookupBase):
    """Adapter between Ansible's variables and the declarations."""

    def run(self, terms: list[str], variables: Mapping[str, Any] | None = None, **options: Any) -> list[Any]:
        """Return the value of each option, or fail with what is wrong with it."""
        self.set_options(var_options=variables, direct=options)
        try:
            return [self._value(name, (variables or {}).get(name)) for name in terms]
        except ValueError as refused:
            raise AnsibleLookupError(str(refused)) from None

    def _value(self, name: str, raw: Any) -> Any:
        # A vaulted value, or a template that may lead to one, is not shown.
        is_shown = not has_opaque(plain(raw))
        given = value_of(name, self._templar.template(raw), interface(), is_shown=is_shown)
        if given is not None:
            return given
        return value_of(name, self._templar.template(trusted(default_of(name, interface()))), interface())
