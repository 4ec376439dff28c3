# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.secrets_file: everything happens on the controller."""

from __future__ import annotations

import contextlib
import functools
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import (
    VaultLib,
    VaultSecret,
    VaultSecretsContext,
    is_encrypted,
    match_encrypt_secret,
    parse_vaulttext_envelope,
)
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.plugin_utils.controller_file import replace
from ansible_collections.holdfast.ha.plugins.plugin_utils.documentation import argument_spec
from ansible_collections.holdfast.ha.plugins.plugin_utils.inventory_sources import files, folders, secrets_files
from ansible_collections.holdfast.ha.plugins.plugin_utils.rotation.choice import RefusedError, choose
from ansible_collections.holdfast.ha.plugins.plugin_utils.secrets_file import (
    Plan,
    SecretsError,
    VaultedText,
    complete,
    extended,
    new_secret,
    parse,
    report,
    topology_roles,
    vaulted,
    vaulted_only,
)
from ansible_collections.holdfast.ha.plugins.plugin_utils.secrets_rotation import begin, end, key_of, variable_of
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.components import ROLE_PASSWORDS

ARGUMENTS = argument_spec("secrets_file")
MODE = 0o600


def secrets_path(directories: Sequence[Path]) -> Path:
    """Return the path of the secrets file beside the inventory sources; the file may not exist yet.

    Raises AnsibleActionFail.
    """
    if not directories:
        raise AnsibleActionFail("no inventory file to put the secrets beside: give one with -i, or set path")
    paths = secrets_files(directories)
    found = [path for path in paths if path.exists()]
    if len(found) > 1:
        raise AnsibleActionFail(
            f"several files of secrets, only one of which would count: {', '.join(map(str, found))}."
            " Fix: keep one, or name it with -e secrets_file=PATH"
        )
    return (found or paths)[0]


def roles_of(sources: Sequence[str], directories: Sequence[Path]) -> set[str]:
    """Return the SQL roles named by the topology files of the inventory, or beside its files."""
    beside = (path for directory in directories for path in directory.iterdir())
    paths = {path for path in (*map(Path, files(sources)), *beside) if path.name.endswith((".ha.yml", ".ha.yaml"))}
    names: set[str] = set()
    for path in sorted(paths):
        with contextlib.suppress(OSError, yaml.YAMLError):
            names |= topology_roles(yaml.safe_load(path.read_text(encoding="utf-8")))
    return names


def read(path: Path) -> bytes | None:
    """Return a file's content, None when there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


@dataclass(frozen=True, slots=True)
class VaultKey:
    """The vault secret that encrypts a text, and the id in its header, None without one."""

    identity: str | None
    secret: VaultSecret

    @classmethod
    def of(cls, vault: VaultLib, content: bytes | str) -> VaultKey:
        """Return the key of an encrypted text. Raises AnsibleVaultError if no given key decrypts it."""
        _plain, _used, secret = vault.decrypt_and_get_vault_id(content)
        identity = parse_vaulttext_envelope(content.encode() if isinstance(content, str) else content)[3]
        return cls(identity, secret)

    @classmethod
    def chosen(cls, vault: VaultLib) -> VaultKey:
        """Return the key for new encryption: Ansible's own choice, or the only key."""
        wanted = constants.DEFAULT_VAULT_ENCRYPT_IDENTITY
        names = sorted({name for name, _secret in vault.secrets})
        if wanted is None and len(names) > 1:
            raise SecretsError(
                f"several vault ids could encrypt it ({', '.join(names)}): name one in ANSIBLE_VAULT_ENCRYPT_IDENTITY"
            )
        return cls(*match_encrypt_secret(vault.secrets, encrypt_vault_id=wanted))


@dataclass(frozen=True, slots=True)
class Outcome:
    """A file's new content; told: the names that it shows, by what happened and variable; the lists of the result.

    left: dotted names of the former values that are in no file of ours.
    """

    content: bytes
    told: Mapping[str, Mapping[str, Iterable[str]]]
    added: tuple[str, ...] = ()
    rotated: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def names(self) -> dict[str, list[str]]:
        """The dotted names of a result."""
        return {"added": list(self.added), "rotated": list(self.rotated), "removed": list(self.removed)}


class ActionModule(ActionBase):
    """Complete a secrets file on the controller, or begin or end the rotation of some of its secrets."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return changed, path, added, rotated, removed (names only) and encrypted."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        variables = task_vars or {}
        sources = variables.get("ansible_inventory_sources") or []
        directories = folders(sources)
        path = Path(arguments["path"]) if arguments["path"] else secrets_path(directories)
        elsewhere = not arguments["path"] and not path.exists() and "ha_secrets" in variables
        if elsewhere and not arguments["settled"]:
            raise AnsibleActionFail(
                f"the inventory has ha_secrets already, and not in {path}, which would be a second set."
                " Fix: name the file that has them with -e secrets_file=PATH"
            )
        vault, before = VaultLib(VaultSecretsContext.current().secrets), read(path)
        try:
            if arguments["settled"]:
                outcome = settled(vault, before or b"", arguments["settled"])
            elif arguments["rotate"]:
                outcome = rotated(vault, before or b"", arguments["rotate"])
            else:
                roles = set(arguments["roles"]) | roles_of(sources, directories)
                outcome = self._completed(vault, path, before, roles, plaintext=arguments["plaintext"])
        except (SecretsError, RefusedError, AnsibleError) as error:
            raise AnsibleActionFail(f"{path}: {error}") from None
        if outcome.left:
            result["warnings"] = [
                f"{path} does not have the former values of {', '.join(outcome.left)}: remove them where you set them"
            ]
        return result | self._write(path, before, outcome)

    @staticmethod
    def _completed(vault: VaultLib, path: Path, before: bytes | None, roles: set[str], *, plaintext: bool) -> Outcome:
        if not vault.secrets and not plaintext and not (before and is_encrypted(before)):
            raise AnsibleActionFail(
                f"refused to write {path} unencrypted: give --vault-password-file or --vault-id,"
                " or -e secrets_plaintext=true for a throw-away lab"
            )
        plan, content = completed(vault, before, roles)
        return Outcome(content, {"new": plan.missing, "kept": plan.kept}, added=plan.added)

    def _write(self, path: Path, before: bytes | None, outcome: Outcome) -> dict[str, Any]:
        content = outcome.content
        if before is None and not content:
            return {"changed": False, "path": str(path), "encrypted": False, **outcome.names}
        is_loose = before is not None and not is_encrypted(content) and stat.S_IMODE(path.stat().st_mode) != MODE
        if not self._task.check_mode:
            if content != before:
                replace(path, content, mode=MODE, keep_mode=is_encrypted(content))
            elif is_loose:
                path.chmod(MODE)
        Display().display(report(str(path), protection(content), outcome.told))
        return {
            "changed": content != before or is_loose,
            "path": str(path),
            "encrypted": is_encrypted(content),
            **outcome.names,
        }


def protection(content: bytes) -> str:
    """Return how the values of a secrets file are protected."""
    if is_encrypted(content):
        return "encrypted by ansible-vault"
    return "values encrypted by ansible-vault" if vaulted_only(parse(content.decode())) else "NOT ENCRYPTED"


def rotated(vault: VaultLib, before: bytes, words: Sequence[str]) -> Outcome:
    """Give secrets new values beside their former ones. Raises SecretsError, RefusedError and AnsibleError."""
    text = opened(vault, before)
    choice = choose(words, [str(role) for role in parse(text).get(ROLE_PASSWORDS) or {}])
    if not choice.names:
        raise RefusedError(f"rotate: {', '.join(words)} needs no new secret: run rotate.yml")

    def encrypt(neighbour: VaultedText, value: str) -> VaultedText:
        key = VaultKey.of(vault, neighbour)
        return VaultedText(vault.encrypt(value, secret=key.secret, vault_id=key.identity).decode())

    change = begin(text, choice.names, new_secret, encrypt)
    told = {"new": by_variable(change.changed), "new already": by_variable(change.unchanged)}
    return Outcome(sealed(vault, before, change.text), told, rotated=change.changed)


def settled(vault: VaultLib, before: bytes, names: Sequence[str]) -> Outcome:
    """Remove the former values of secrets. Raises SecretsError and AnsibleError."""
    change = end(opened(vault, before), names)
    told = {"former value removed": by_variable(change.changed)}
    return Outcome(sealed(vault, before, change.text), told, removed=change.changed, left=change.unchanged)


def by_variable(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the keys of dotted names by their variable."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(variable_of(name), []).append(key_of(name))
    return found


def opened(vault: VaultLib, content: bytes) -> str:
    """Return the text of a file's content. Raises AnsibleError."""
    return str((vault.decrypt(content) if is_encrypted(content) else content).decode())


def sealed(vault: VaultLib, before: bytes, text: str) -> bytes:
    """Return the content of a file that has a new text, protected as before. Raises SecretsError and AnsibleError."""
    if text == opened(vault, before):
        return before
    if is_encrypted(before):
        key = VaultKey.of(vault, before)
        return bytes(vault.encrypt(text, secret=key.secret, vault_id=key.identity))
    return text.encode()


def completed(vault: VaultLib, before: bytes | None, roles: set[str]) -> tuple[Plan, bytes]:
    """Return the additions to a file's content, and the new content, encrypted as before.

    Raises SecretsError and AnsibleError.
    """
    was_encrypted = before is not None and is_encrypted(before)
    text = opened(vault, before or b"")
    document = parse(text)
    plan = complete(document, roles)
    if was_encrypted and not plan.added:
        return plan, before or b""
    if vault.secrets and not was_encrypted and vaulted_only(document):
        return plan, extended(text, encrypted_in_place(vault, plan, vaulted(document))).encode()
    after = extended(text, plan)
    if not vault.secrets:
        return plan, after.encode()
    key = VaultKey.of(vault, before) if was_encrypted and before else VaultKey.chosen(vault)
    return plan, vault.encrypt(after, secret=key.secret, vault_id=key.identity)


def encrypted_in_place(vault: VaultLib, plan: Plan, neighbours: Sequence[VaultedText]) -> Plan:
    """Return the plan with its values encrypted like the secrets beside them, which must share one key."""
    if not plan.added:
        return plan
    found = [VaultKey.of(vault, text) for text in neighbours]
    key = found[0]
    if any((other.identity, other.secret.bytes) != (key.identity, key.secret.bytes) for other in found):
        raise SecretsError(f"its values are encrypted with several vault ids: add {', '.join(plan.added)} by hand")
    encrypt = functools.partial(vault.encrypt, secret=key.secret, vault_id=key.identity)
    return Plan(
        {
            variable: {name: VaultedText(encrypt(value).decode()) for name, value in values.items()}
            for variable, values in plan.missing.items()
        },
        plan.kept,
    )
