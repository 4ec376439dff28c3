#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: component
short_description: Manage the files and systemd units of one component in one step
version_added: 1.0.0
description:
  - Brings a component's directories, files and systemd units into their declared state, in this order, in one call.
  - All files are staged and validated before the first one is replaced; each is replaced atomically.
  - systemd verifies unit files and services' drop-ins in C(/etc/systemd/system). A value that systemd can't parse is
    refused.
  - >-
    A unit is restarted when it started before one of the files that it depends on was last modified. It is reloaded
    when its state last changed before that. The module reads both times from the host in every run. So the next run
    completes one that was interrupted between writing a file and restarting its service; a handler could not do that.
  - In check mode, users, groups, directories and units that do not exist yet are predicted changes, not errors.
author:
  - Holdfast contributors (@holdfast)
attributes:
  check_mode:
    description: Returns the plan that a run would carry out.
    support: full
  diff_mode:
    description: >-
      Shows the changes of every file. It masks the content of secret files, of removed files that are not units, and
      the former content of files that are not world-readable. In the new content of such files it masks values whose
      names say that they are secrets.
    support: full
notes:
  - The module's parameters appear neither in the host's log nor in the result.
options:
  plan:
    description:
      - Lists for other options of this module, such as C(files) and C(units), by their names. Each is put before the
        list of that option.
      - A variable that several options name is evaluated for each of them. Here it is evaluated once.
      - The action plugin puts the lists in their places.
    type: dict
    default: {}
  directories:
    description:
      - Directories that must exist. Missing parents are created with mode 0755.
      - An existing directory is refused where a new owner or a narrower mode would take it from its users. Examples are
        the system's directories, another user's home, and another service user's directories.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      owner: {description: Name of the owner., type: str, default: root}
      group: {description: Name of the group., type: str, default: root}
      mode: {description: Permission bits in octal., type: str, default: "0755"}
  files:
    description: Files that must exist with this content.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      content:
        description: The content. One of this, O(files[].source) and O(files[].template) is required.
        type: str
      source:
        description: >-
          Name of a UTF-8 text file on the controller, copied unchanged. It is searched for as M(ansible.builtin.copy)
          does, for example in the role's C(files).
        type: str
      template:
        description:
          - Name of a template that is rendered on the controller. It is searched for as M(ansible.builtin.template)
            does.
        type: str
      template_vars: {description: Additional variables for the template., type: dict, default: {}}
      secret:
        description: Whether the file holds secrets. Its content is then never shown, and is passed in O(secrets).
        type: bool
        default: false
      secret_keys:
        description: >-
          Keys whose values are the secrets of a YAML, ini or pg_hba file. The diff masks these values and those with
          the name of a secret, such as C(jwt_secret) or C(API_TOKEN=), and shows the rest. Without keys it masks the
          whole content.
        type: list
        elements: str
        default: []
      owner: {description: Name of the owner., type: str, default: root}
      group: {description: Name of the group., type: str, default: root}
      mode: {description: Permission bits in octal., type: str, default: "0644"}
      validate:
        description: >-
          Command that must exit with 0 for the staged file; V(%s) is replaced by its path. The path of another file of
          the component, as a separate word, is replaced by the path of its staged content.
        type: str
      validate_shown:
        description: >-
          Whether to show the output of O(files[].validate) for a secret file, too. The command must keep secrets out of
          it.
        type: bool
        default: false
  secrets:
    description:
      - Contents of secret files by path. The action plugin sets it from O(files).
      - It is a separate option because Ansible keeps only whole options out of the host's log.
    type: dict
    default: {}
  absent:
    description: Paths of files, links or whole directories that must not exist.
    type: list
    elements: path
    default: []
  own_directories:
    description:
      - Directories that only this component uses. They are removed with what the component created in them.
      - A directory that overlaps with a path of something else, or holds foreign files, is refused. A file owned by
        root marks the directory as the component's. Without this mark nothing is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      owner: {description: Name of the owner., type: str, default: root}
      group: {description: Name of the group., type: str, default: root}
      mode: {description: Permission bits in octal., type: str, default: "0755"}
      contents:
        description:
          - Names of what the component creates in the directory; C(*), C(?) and C([...]) are allowed. Nothing else is
            removed.
        type: list
        elements: str
        required: true
      reserved:
        description: Paths that belong to others, besides the system's own directories and users' homes.
        type: list
        elements: path
        default: []
      state: {description: Whether it exists., type: str, choices: [present, absent], default: present}
  purge:
    description:
      - Paths that must not exist unless they are declared, such as files of instances that are no longer declared.
      - A systemd unit whose file in C(/etc/systemd/system) is purged is stopped and disabled first.
    type: list
    elements: dict
    default: []
    suboptions:
      pattern:
        description: Absolute path with C(*), C(?) and C([...]). Files, links and whole directories match.
        type: path
        required: true
      keep:
        description: Paths to keep, besides those in O(directories) and O(files).
        type: list
        elements: path
        default: []
      keep_of:
        description: Names of users by path. Such a path is kept if it belongs to this user.
        type: dict
        default: {}
  units:
    description: systemd units, brought into their state in this order.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {description: Name of the unit with its suffix., type: str, required: true}
      state: {description: Whether it runs., type: str, choices: [started, stopped], default: started}
      enabled:
        description: Whether it starts at boot. A masked unit is unmasked when it has to run or to be enabled.
        type: bool
        default: true
      restart_on:
        description: The unit is restarted when it started before one of these files was last modified.
        type: list
        elements: path
        default: []
      reload_on:
        description: The unit is reloaded when its state last changed before one of these files was last modified.
        type: list
        elements: path
        default: []
      restart:
        description: With V(false), a unit with an outdated configuration is not restarted; RV(stale) names it.
        type: bool
        default: true
      wait:
        description: Whether to wait until the unit is active. With V(false), the start is only queued.
        type: bool
        default: true
      timeout:
        description: Seconds within which the unit must become active.
        type: float
        default: 60
"""

EXAMPLES = r"""
- name: Configure and run HAProxy
  holdfast.ha.component:
    files:
      - path: /etc/haproxy/haproxy.cfg
        template: haproxy.cfg.j2
        validate: haproxy -c -f %s
    units:
      - name: haproxy.service
        reload_on: [/etc/haproxy/haproxy.cfg]

- name: Write a password file, and restart the members with an outdated configuration one at a time
  holdfast.ha.component:
    files:
      - path: /etc/example/password
        content: "{{ example_password }}"
        secret: true
        mode: "0600"
    units:
      - name: example.service
        restart_on: [/etc/example/password]
  throttle: 1

- name: Run the declared jobs only
  holdfast.ha.component:
    files: "{{ example_job_files }}"
    purge:
      - pattern: /etc/systemd/system/example-job-*
      - pattern: /etc/systemd/system/timers.target.wants/example-job-*
        keep: [/etc/systemd/system/timers.target.wants/example-job-a.timer]
    units:
      - name: example-job-a.timer
"""

RETURN = r"""
changed_paths:
  description: Paths that were created, changed or removed.
  returned: success
  type: list
  elements: str
unit_actions:
  description: The systemctl verbs carried out, by unit, in order. Units without one are left out.
  returned: success
  type: dict
  sample: {haproxy.service: [enable, start]}
stale:
  description: Units with O(units[].restart=false) that started before their files were last modified.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils import safe_path
from ansible_collections.holdfast.ha.plugins.module_utils.component import NotOwnError
from ansible_collections.holdfast.ha.plugins.module_utils.component_host import (
    Host,
    converge,
    shown_in_part,
    without_content,
)
from ansible_collections.holdfast.ha.plugins.module_utils.unlogged import UnloggedModule

_OWNERSHIP = {"owner": {"type": "str", "default": "root"}, "group": {"type": "str", "default": "root"}}
_PATHS = {"type": "list", "elements": "path", "default": []}
_DIRECTORY = {"path": {"type": "path", "required": True}, "mode": {"type": "str", "default": "0755"}, **_OWNERSHIP}
_FILE = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "source": {"type": "str"},
    "template": {"type": "str"},
    "template_vars": {"type": "dict", "default": {}},
    "secret": {"type": "bool", "default": False, "no_log": False},
    "secret_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "mode": {"type": "str", "default": "0644"},
    "validate": {"type": "str"},
    "validate_shown": {"type": "bool", "default": False},
    **_OWNERSHIP,
}
_OWN_DIRECTORY = {
    **_DIRECTORY,
    "contents": {"type": "list", "elements": "str", "required": True},
    "reserved": _PATHS,
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
_PURGE = {
    "pattern": {"type": "path", "required": True},
    "keep": _PATHS,
    "keep_of": {"type": "dict", "default": {}},
}
_UNIT = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["started", "stopped"], "default": "started"},
    "enabled": {"type": "bool", "default": True},
    "restart_on": _PATHS,
    "reload_on": _PATHS,
    "restart": {"type": "bool", "default": True},
    "wait": {"type": "bool", "default": True},
    "timeout": {"type": "float", "default": 60},
}


def argument_spec() -> dict[str, Any]:
    """The module's argument specification."""
    return {
        "plan": {"type": "dict", "default": {}},
        "directories": _list_of(_DIRECTORY),
        "files": {**_list_of(_FILE), "mutually_exclusive": [("content", "source", "template")]},
        "secrets": {"type": "dict", "default": {}, "no_log": True},
        "absent": _PATHS,
        "own_directories": _list_of(_OWN_DIRECTORY),
        "purge": _list_of(_PURGE),
        "units": _list_of(_UNIT),
    }


def _list_of(options: dict[str, Any]) -> dict[str, Any]:
    return {"type": "list", "elements": "dict", "default": [], "options": options}


def main() -> None:
    module = UnloggedModule(argument_spec=argument_spec(), supports_check_mode=True)
    module.no_log_values -= shown_in_part(module.params)
    missing = [item["path"] for item in module.params["files"] if without_content(item, module.params["secrets"])]
    if missing:
        module.fail_json(msg=f"files without a content: {', '.join(missing)}")
    try:
        result = converge(module, Host(module))
    except (NotOwnError, safe_path.UnsafePathError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
