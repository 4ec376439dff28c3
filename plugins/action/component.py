# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action before the module holdfast.ha.component: renders the files' contents, and keeps secrets out of the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

CONTENTS = ("content", "source", "template")
ONLY_HERE = frozenset({"source", "template", "template_vars"})


class ActionModule(ActionBase):
    """Render each file's content, move secret ones into C(secrets), then run the module."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = planned(self._task.args)
        if "files" in arguments:
            files = [self._complete(item, variables) for item in arguments["files"]]
            arguments |= apart(files, arguments.get("secrets") or {})
        return result | self._execute_module(module_args=arguments, task_vars=variables)

    def _complete(self, item: Mapping[str, Any], variables: Mapping[str, Any]) -> Mapping[str, Any]:
        given = [key for key in CONTENTS if key in item]
        if len(given) > 1:
            raise AnsibleActionFail(f"files: {item.get('path')} has both a {' and a '.join(given)}; keep one of them")
        if given in (["content"], []):
            return item
        content = self._read(item) if "source" in item else self._render(item, variables)
        return {**{key: value for key, value in item.items() if key not in ONLY_HERE}, "content": content}

    def _read(self, item: Mapping[str, Any]) -> str:
        text = str(self._loader.get_text_file_contents(self._find_needle("files", item["source"])))
        try:
            text.encode()
        except UnicodeEncodeError:
            raise AnsibleActionFail(f"files: {item.get('path')}: the source {item['source']} is not UTF-8") from None
        return text

    # The lookup plugin `template` deep-copies all variables for each template, which costs more than the rendering.
    def _render(self, item: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
        source = self._find_needle("templates", item["template"])
        text = trust_as_template(self._loader.get_text_file_contents(source))
        known = {**variables, **item.get("template_vars", {})}
        templar = self._templar.copy_with_new_env(searchpath=[str(Path(source).parent)], available_variables=known)
        return str(templar.template(text, escape_backslashes=False))


def planned(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with the lists of the option plan put before the options of their names."""
    others = {key: value for key, value in arguments.items() if key != "plan"}
    plan = arguments.get("plan") or {}
    if not isinstance(plan, Mapping):
        raise AnsibleActionFail(f"plan: {plan!r} is no dictionary of lists")
    return others | {key: [*found, *others.get(key, [])] for key, found in plan.items()}


def apart(files: Sequence[Mapping[str, Any]], secrets: Mapping[str, str]) -> dict[str, Any]:
    """Return the module's files and secrets; the latter have the contents of secret files."""
    found = {item["path"]: item["content"] for item in files if is_secret(item) and "content" in item}
    shown = [{key: item[key] for key in item if key != "content"} if is_secret(item) else item for item in files]
    return {"files": shown, "secrets": {**secrets, **found}}


def is_secret(item: Mapping[str, Any]) -> bool:
    """Whether a file holds secrets. Raises TypeError for a value that is not a boolean, before anything is sent."""
    return boolean(item.get("secret", False))
