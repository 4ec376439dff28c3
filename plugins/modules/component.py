#!/usr/bin/python
# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: component
short_description: Files and systemd units of one component, in one step
version_added: 1.0.0
description:
  - Brings a component's directories, files and systemd units into their declared state, in this order, in one call.
  - All files are staged and validated before the first one is replaced; each is replaced atomically.
  - systemd verifies unit files and services' drop-ins in C(/etc/systemd/system). A value that it can't read is refused.
  - >-
    A unit is restarted (or reloaded) when it started (or last changed its state) before one of the files it depends on
    was last modified. That is read from the host each time, so a run that was interrupted between writing a file
    and restarting its service is completed by the next run, which a handler could not do.
  - In check mode users, groups, directories and units that do not exist yet are predicted as changes, never errors.
author:
  - Holdfast contributors (@holdfast)
attributes:
  check_mode:
    description: Predicts the same plan that a run would carry out.
    support: full
  diff_mode:
    description: >-
      Shows what changes in every file; the content of secret files is masked, as is that of removed files that are no
      units, and what was in a file that not everybody could read. Of what comes into such a file it masks what is
      named as a secret.
    support: full
notes:
  - Its parameters are neither in the host's log nor in the result.
options:
  directories:
    description:
      - Directories that must exist. Missing parents are made with mode 0755.
      - One that is there is refused where another owner or a narrower mode would take it from others. Such are the
        system's directories, another user's home, and another service user's directories.
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
        description: The content. One of this, O(files[].source) and O(files[].template) is needed.
        type: str
      source:
        description: >-
          Name of a UTF-8 text file on the controller whose content is taken as it is, found as M(ansible.builtin.copy)
          finds it, such as in the role's C(files).
        type: str
      template:
        description: Name of a template that is rendered on the controller, as M(ansible.builtin.template) finds it.
        type: str
      template_vars: {description: More variables for the template., type: dict, default: {}}
      secret:
        description: Whether the file holds secrets; then its content is never shown. It travels in O(secrets).
        type: bool
        default: false
      secret_keys:
        description: >-
          Keys whose values are the secrets of a YAML, ini or pg_hba file. The diff masks these values, and those whose
          names say that they are secrets, such as C(jwt_secret) or C(API_TOKEN=), and shows the rest. Without keys it
          masks the whole content.
        type: list
        elements: str
        default: []
      owner: {description: Name of the owner., type: str, default: root}
      group: {description: Name of the group., type: str, default: root}
      mode: {description: Permission bits in octal., type: str, default: "0644"}
      validate:
        description: >-
          Command that must exit with 0 for the staged file, whose path stands in for V(%s). The path of another of the
          files, as a word of its own, becomes that of its staged content.
        type: str
      validate_shown:
        description: >-
          Whether the words of O(files[].validate) are shown for a secret file, too; the command itself keeps secrets
          out of them.
        type: bool
        default: false
  secrets:
    description:
      - Contents of secret files by path. The action fills it in from O(files); there is no need to set it.
      - Ansible hides whole options only from the host's log, whatever characters they hold.
    type: dict
    default: {}
  absent:
    description: Paths of files, links or whole directories that must not exist.
    type: list
    elements: path
    default: []
  own_directories:
    description:
      - Directories that nobody else uses, and that go with what the component made in them.
      - One that overlaps with a path of others, or that is not empty and holds something else, is refused. A file of
        root's in it proves later whose it is. Without that nothing is removed.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: Absolute path., type: path, required: true}
      owner: {description: Name of the owner., type: str, default: root}
      group: {description: Name of the group., type: str, default: root}
      mode: {description: Permission bits in octal., type: str, default: "0755"}
      contents:
        description: Names, with C(*), C(?) and C([...]), of what the component makes in it. Nothing else is removed.
        type: list
        elements: str
        required: true
      reserved:
        description: Paths of others beside those that every system has, and its users' homes.
        type: list
        elements: path
        default: []
      state: {description: Whether it is there., type: str, choices: [present, absent], default: present}
  purge:
    description:
      - What must not exist unless it is declared, such as the files of instances that were declared once.
      - A systemd unit whose file in C(/etc/systemd/system) is removed by it is stopped and disabled first.
    type: list
    elements: dict
    default: []
    suboptions:
      pattern:
        description: Absolute path with C(*), C(?) and C([...]). Files, links and whole directories match.
        type: path
        required: true
      keep:
        description: Paths that stay beside those in O(directories) and O(files).
        type: list
        elements: path
        default: []
      keep_of:
        description: Names of users by path. Such a path stays unless it is another user's.
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
        description: With V(false) a running unit with an outdated configuration goes on; RV(stale) names it.
        type: bool
        default: true
      wait:
        description: Wait until the unit is active. With V(false) systemd is only told to start it.
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

- name: Keep a password file, and restart the members with an outdated configuration one after the other
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

- name: Run the declared jobs, and no others
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
  description: The systemctl verbs carried out, by unit, in order. Units that needed none are left out.
  returned: success
  type: dict
  sample: {haproxy.service: [enable, start]}
stale:
  description: Units with O(units[].restart=false) that run with a configuration older than their files.
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
