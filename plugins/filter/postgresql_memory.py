# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter postgresql_memory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: postgresql_memory
short_description: Derive PostgreSQL's memory parameters for a host
version_added: 1.0.0
description:
  - Derives C(shared_buffers) (a quarter, at most 16 GB), C(effective_cache_size), C(maintenance_work_mem)
    and C(work_mem) from a host's memory.
  - The memory is rounded down first, so that a host whose kernel reports a few MB less keeps its parameters.
author:
  - Holdfast contributors (@holdfast)
positional: max_connections
options:
  _input:
    description: The host's memory in MB.
    type: int
    required: true
  max_connections:
    description: The most connections that the server accepts.
    type: int
    default: 100
"""

EXAMPLES = r"""
- name: Show the parameters for this host
  ansible.builtin.debug:
    msg: "{{ ansible_facts.memtotal_mb | holdfast.ha.postgresql_memory(max_connections=200) }}"
"""

RETURN = r"""
_value:
  description: The parameters, sizes as PostgreSQL writes them.
  type: dict
  sample:
    shared_buffers: 1024MB
    effective_cache_size: 2560MB
    maintenance_work_mem: 256MB
    work_mem: 5MB
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.holdfast.ha.plugins.plugin_utils.postgresql_memory import memory_parameters


def postgresql_memory(memory: Any, max_connections: Any = 100) -> dict[str, str]:
    """Return the memory parameters; see DOCUMENTATION."""
    try:
        return memory_parameters(int(memory), int(max_connections))
    except (TypeError, ValueError) as error:
        raise AnsibleFilterError(f"postgresql_memory: {error}") from error


class FilterModule:
    """Ansible's entry."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        return {"postgresql_memory": postgresql_memory}
