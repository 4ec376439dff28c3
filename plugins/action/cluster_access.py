# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action behind the module holdfast.ha.cluster_access."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import context
from ansible.parsing.vault import is_encrypted
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.holdfast.ha.plugins.plugin_utils.access import Files, cluster_text
from ansible_collections.holdfast.ha.plugins.plugin_utils.inventory_sources import folders, secrets_files
from ansible_collections.holdfast.ha.plugins.plugin_utils.playbooks import COLLECTION
from ansible_collections.holdfast.ha.plugins.plugin_utils.table import table

Step = tuple[str, list[str], str]
STATUS: Step = ("status", [], "shows the state of every cluster")
DRILL: Step = ("drill", ["--check"], "shows which faults a drill would inject")
VAULT = {"vault_ids": "--vault-id", "vault_password_files": "--vault-password-file"}


def near(path: str | Path) -> str:
    """Return a path, relative to the current folder if it lies inside."""
    here = Path.cwd()
    return str(Path(path).relative_to(here) if Path(path).is_relative_to(here) else path)


def options() -> Iterator[str]:
    """Yield the inventory's and the vault's options as the user gave them."""
    for source in context.CLIARGS.get("inventory") or ():
        yield from ("-i", near(source))
    for name, option in VAULT.items():
        for value in context.CLIARGS.get(name) or ():
            yield from (option, near(value))


def playbook(name: str) -> str:
    """Return one of the collection's playbooks, by path if the user ran another one by path."""
    own = [Path(argument) for argument in context.CLIARGS.get("args") or ()]
    beside = next((path for path in own if path.resolve().parent == COLLECTION / "playbooks"), None)
    return str(beside.with_name(f"{name}.yml")) if beside else f"holdfast.ha.{name}"


def next_steps(has_postgresql: bool) -> str:
    """Return the next commands to run."""
    given, steps = list(options()), [STATUS, *([DRILL] if has_postgresql else [])]
    rows = [[shlex.join(["ansible-playbook", *given, playbook(name), *more]), what] for name, more, what in steps]
    return f"Next\n{table(rows)}"


class ActionModule(ActionBase):
    """Show how to reach the clusters of the play's hosts."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Show the access; the result has no data of its own."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec={})
        variables = task_vars or {}
        found = [path for path in secrets_files(folders(variables["ansible_inventory_sources"])) if path.exists()]
        hosts = [variables["hostvars"][host] for host in variables["ansible_play_hosts_all"]]
        clusters = {host["ha"]["cluster"]: host for host in reversed(hosts)}
        texts = [cluster_text(host["ha"], files_of(host, found)) for _name, host in sorted(clusters.items())]
        has_postgresql = any(host["ha"]["postgresql"] for host in clusters.values())
        Display().display("\n\n".join([*texts, next_steps(has_postgresql)]))
        return result


def files_of(variables: Mapping[str, Any], found: list[Path]) -> Files:
    """Return a cluster's files on the controller.

    :arg found: the files of secrets.
    """
    authority = near(f"{variables['certificates_ca_directory']}/ca.crt")
    if not found:
        return Files(authority, "")
    return Files(authority, near(found[0]), is_encrypted(found[0].read_bytes()))
