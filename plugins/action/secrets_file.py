# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.secrets_file: everything happens on the controller."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleActionFail
from ansible.parsing.vault import AnsibleVaultError, VaultLib, VaultSecretsContext, is_encrypted
from ansible.plugins.action import ActionBase
from ansible_collections.holdfast.ha.plugins.plugin_utils.secrets_file import (
    SecretsError,
    complete,
    parse,
    render,
    topology_roles,
)

ARGUMENTS: dict[str, Any] = {
    "path": {"type": "path"},
    "roles": {"type": "list", "elements": "str", "default": []},
    "plaintext": {"type": "bool", "default": False},
}
MODE = 0o600


def inventory_directory(sources: Sequence[str]) -> Path:
    """Return the folder of the first inventory source."""
    if not sources or "," in sources[0]:
        raise AnsibleActionFail("no inventory file to lay the secrets beside: give one with -i, or set path")
    source = Path(sources[0])
    return source if source.is_dir() else source.parent


def roles_beside(directory: Path) -> set[str]:
    """Return the SQL roles named by the topology files of an inventory folder."""
    names: set[str] = set()
    for path in sorted((*directory.glob("*.ha.yml"), *directory.glob("*.ha.yaml"))):
        with contextlib.suppress(OSError, yaml.YAMLError):
            names |= topology_roles(yaml.safe_load(path.read_text(encoding="utf-8")))
    return names


def read(path: Path) -> bytes | None:
    """Return a file's content, None when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write(path: Path, content: bytes) -> None:
    """Replace a file at once, readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, staged = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(staged).replace(path)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise


class ActionModule(ActionBase):
    """Complete a secrets file on the controller."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return changed, path, added (names only) and encrypted."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        sources = (task_vars or {}).get("ansible_inventory_sources") or []
        if arguments["path"]:
            path = Path(arguments["path"])
        else:
            path = inventory_directory(sources) / "group_vars" / "all" / "secrets.yml"
        roles = set(arguments["roles"])
        if sources and "," not in sources[0]:
            roles |= roles_beside(inventory_directory(sources))
        result |= self._complete(path, roles, arguments["plaintext"])
        return result

    def _complete(self, path: Path, roles: set[str], plaintext: bool) -> dict[str, Any]:
        vault = VaultLib(VaultSecretsContext.current().secrets)
        before = read(path)
        was_encrypted = before is not None and is_encrypted(before)
        encrypted = was_encrypted or bool(vault.secrets)
        if not encrypted and not plaintext:
            raise AnsibleActionFail(
                f"refused to write {path} unencrypted: give --vault-password-file or --vault-id,"
                " or -e secrets_plaintext=true for a throw-away lab"
            )
        try:
            plan = complete(parse(self._decrypted(vault, before)), roles)
        except (SecretsError, AnsibleVaultError) as error:
            raise AnsibleActionFail(f"{path}: {error}") from None
        content_changes = bool(plan.added) or was_encrypted != encrypted
        changed = content_changes or stat.S_IMODE(path.stat().st_mode) != MODE
        if changed and not self._task.check_mode:
            if content_changes:
                text = render(plan.document)
                write(path, vault.encrypt(text) if encrypted else text.encode())
            else:
                path.chmod(MODE)
        return {"changed": changed, "path": str(path), "added": list(plan.added), "encrypted": encrypted}

    @staticmethod
    def _decrypted(vault: VaultLib, content: bytes | None) -> str:
        if content is None:
            return ""
        return (vault.decrypt(content) if is_encrypted(content) else content).decode()
