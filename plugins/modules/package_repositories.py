#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: package_repositories
short_description: Declare apt's further repositories, and check that apt has what is to be installed
version_added: 1.0.0
description:
  - Writes C(/etc/apt/sources.list.d/holdfast-NAME.sources), the key C(/etc/apt/keyrings/holdfast-NAME.asc) and, for a
    pinned repository, C(/etc/apt/preferences.d/holdfast-NAME.pref). Files with this prefix of repositories that are no
    longer declared are removed. All other files of apt's stay as they are.
  - Before anything is written, apt fetches and verifies the lists of each new or changed repository in a directory of
    its own. If it refuses one, the module fails, and the host's sources are as before.
  - With O(names), the package lists are then fetched, and the module fails if apt has no candidate for one of them. For
    a server of PostgreSQL it names the versions that apt has.
author:
  - Holdfast contributors (@holdfast)
attributes:
  check_mode:
    description: >-
      Verifies new and changed repositories, and returns the changes. Fetches no package lists, so O(names) is ignored.
    support: full
  diff_mode:
    description: Shows the changes of every file.
    support: full
options:
  repositories:
    description: The repositories.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the repository, a part of its files' names.
        type: str
        required: true
      types:
        description: What to use of it.
        type: list
        elements: str
        choices: [deb, deb-src]
        default: [deb]
      uris:
        description:
          - URIs with the scheme C(https), C(http) or C(file). A directory of the host's is C(file:/srv/mirror).
          - Required unless it is absent.
        type: list
        elements: str
        default: []
      suites:
        description:
          - Names of suites, or a directory below O(repositories[].uris) that ends in C(/), such as V(./).
          - Required unless it is absent.
        type: list
        elements: str
        default: []
      components:
        description: Names of components; none for a directory.
        type: list
        elements: str
        default: []
      architectures:
        description: Architectures of the packages; by default the host's.
        type: list
        elements: str
        default: []
      key:
        description:
          - The key that signs the repository, as C(gpg --armor --export) prints it.
          - One of this, O(repositories[].key_file) and O(repositories[].trusted) is required unless it is absent.
        type: str
      key_file:
        description: A file on the controller with the key. The action plugin reads it into O(repositories[].key).
        type: str
      trusted:
        description: >-
          Whether its packages are installed without a signature. Whoever controls the server or the way to it then
          controls the hosts.
        type: bool
        default: false
      pin_priority:
        description:
          - apt's priority of the repository's packages, of which a version with a higher priority wins. V(100) takes
            them only where no other source has the package.
          - It applies to all sources with one of the suites' names. A directory is pinned by its server's name.
        type: int
      pin_packages:
        description: Names of the packages to pin, C(*) is any text. By default all of them.
        type: list
        elements: str
        default: []
      state:
        description: Whether hosts have it. A repository that is not listed is absent as well.
        type: str
        choices: [present, absent]
        default: present
  names:
    description: Packages that are to be installed.
    type: list
    elements: str
    default: []
  cache_valid_time:
    description: Seconds for which package lists count as fresh.
    type: int
    default: 0
  lock_timeout:
    description: Seconds to wait until others have fetched package lists.
    type: int
    default: 600
"""

EXAMPLES = r"""
- name: Declare a repository with other versions of PostgreSQL
  holdfast.ha.package_repositories:
    repositories:
      - name: postgresql
        uris: [https://apt.example.org/postgresql]
        suites: [trixie-pgdg]
        components: [main]
        key_file: "{{ inventory_dir }}/files/postgresql.asc"
    names: [postgresql-18]
"""

RETURN = r"""
changed_paths:
  description: Paths that were created, changed or removed.
  returned: success
  type: list
  elements: str
  sample: [/etc/apt/keyrings/holdfast-postgresql.asc, /etc/apt/sources.list.d/holdfast-postgresql.sources]
refreshed:
  description: Whether package lists were fetched.
  returned: success
  type: bool
"""

import time
from collections.abc import Sequence
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import package_repositories as declared
from ansible_collections.holdfast.ha.plugins.module_utils import package_sources, safe_path
from ansible_collections.holdfast.ha.plugins.module_utils.apt_host import LOCALE, Apt, AptError, lists_age
from ansible_collections.holdfast.ha.plugins.module_utils.component import plan_paths
from ansible_collections.holdfast.ha.plugins.module_utils.component_host import Host, find_paths
from ansible_collections.holdfast.ha.plugins.module_utils.unlogged import UnloggedModule

_WORDS = {"type": "list", "elements": "str", "default": []}
_REPOSITORY = {
    "name": {"type": "str", "required": True},
    "types": {**_WORDS, "choices": ["deb", "deb-src"], "default": ["deb"]},
    "uris": _WORDS,
    "suites": _WORDS,
    "components": _WORDS,
    "architectures": _WORDS,
    "key": {"type": "str", "no_log": False},
    "key_file": {"type": "str", "no_log": False},
    "trusted": {"type": "bool", "default": False},
    "pin_priority": {"type": "int"},
    "pin_packages": _WORDS,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def run_of(module: UnloggedModule) -> package_sources.Run:
    """Return what runs a program, whose output is in English."""

    def run(command: Sequence[str]) -> tuple[int, str, str]:
        rc, out, err = module.run_command(list(command), environ_update=LOCALE)
        return rc, out, err

    return run


def converge(module: UnloggedModule) -> dict[str, Any]:
    """Bring the repositories into their state, or in check mode only return the changes."""
    repositories = module.params["repositories"]
    wanted = declared.wanted_paths(repositories)
    wanted += declared.absences(wanted, package_sources.present())
    plan = plan_paths(wanted, find_paths(wanted))
    paths = [change.wanted.path for change in plan]
    for repository in declared.changed(repositories, paths):
        reason = package_sources.refusal(repository, run_of(module))
        if reason:
            what = "apt refuses it, so nothing was written or installed"
            module.fail_json(msg=f"repository {repository['name']}: {what}: {reason}")
    if plan and not module.check_mode:
        host = Host(module)
        host.place_paths(plan)
        host.remove_paths(plan)
        host.remember(wanted)
    return {"changed": bool(plan), "changed_paths": paths, "diff": [change.as_diff() for change in plan]}


def refresh(module: UnloggedModule, is_changed: bool) -> bool:
    """Fetch the package lists unless they are fresh, and refuse packages that apt does not have."""
    names, now = module.params["names"], time.time()
    if not names or module.check_mode:
        return False
    apt = Apt(run_of(module), module.params["lock_timeout"])
    age = lists_age(apt.root, now)
    is_due = is_changed or age is None or age >= module.params["cache_valid_time"]
    if is_due:
        apt.refresh()
    lacks = package_sources.lacks(apt, names)
    if lacks:
        fix = "declare a repository that has it in packages_repositories, or a version that is there"
        module.fail_json(msg=f"{'; '.join(lack.text for lack in lacks)}. Nothing was installed. Fix: {fix}.")
    return is_due


def main() -> None:
    """Run the module."""
    module = UnloggedModule(
        argument_spec={
            "repositories": {"type": "list", "elements": "dict", "default": [], "options": _REPOSITORY},
            "names": _WORDS,
            "cache_valid_time": {"type": "int", "default": 0},
            "lock_timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    found = declared.problems(module.params["repositories"])
    if found:
        module.fail_json(msg="; ".join(f"repositories{one.where} {one.what}: {one.fix}" for one in found))
    try:
        result = converge(module)
        module.exit_json(**result, refreshed=refresh(module, result["changed"]))
    except (AptError, safe_path.UnsafePathError, OSError) as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
