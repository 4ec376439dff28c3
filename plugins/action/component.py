# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action before the module holdfast.ha.component: renders templates, and keeps secrets apart from what is logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

ONLY_HERE = frozenset({"template", "template_vars"})


class ActionModule(ActionBase):
    """Give each file the content of its template, move the secret ones into C(secrets), then run the module."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        if "files" in arguments:
            files = [self._rendered(item, variables) for item in arguments["files"]]
            arguments |= apart(files, arguments.get("secrets") or {})
        return result | self._execute_module(module_args=arguments, task_vars=variables)

    def _rendered(self, item: Mapping[str, Any], variables: Mapping[str, Any]) -> Mapping[str, Any]:
        if "template" not in item:
            return item
        if "content" in item:
            raise AnsibleActionFail(f"files: {item.get('path')} has both a content and a template; remove one of them")
        content = self._render(item["template"], {**variables, **item.get("template_vars", {})})
        return {**{key: value for key, value in item.items() if key not in ONLY_HERE}, "content": content}

    # The lookup plugin `template` copies all variables deeply for each template, which costs more than the rendering.
    def _render(self, name: str, variables: dict[str, Any]) -> str:
        source = self._find_needle("templates", name)
        text = trust_as_template(self._loader.get_text_file_contents(source))
        templar = self._templar.copy_with_new_env(searchpath=[str(Path(source).parent)], available_variables=variables)
        return str(templar.template(text, escape_backslashes=False))


def apart(files: Sequence[Mapping[str, Any]], secrets: Mapping[str, str]) -> dict[str, Any]:
    """Return the module's files and secrets: a secret file's content stands in the latter."""
    found = {item["path"]: item["content"] for item in files if is_secret(item) and "content" in item}
    shown = [{key: item[key] for key in item if key != "content"} if is_secret(item) else item for item in files]
    return {"files": shown, "secrets": {**secrets, **found}}


def is_secret(item: Mapping[str, Any]) -> bool:
    """Whether a file holds secrets. Raises TypeError for what is no truth value, before anything is sent."""
    return boolean(item.get("secret", False))
