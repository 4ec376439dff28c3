# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keys of apt's repositories in files on the controller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.holdfast.ha.plugins.module_utils.host_preflight import Finding
from ansible_collections.holdfast.ha.plugins.module_utils.package_repositories import is_present, key_problems
from ansible_collections.holdfast.ha.plugins.plugin_utils.topology.variables import PACKAGE_REPOSITORIES


class KeyFileError(Exception):
    """A file holds no key; the message has the file and the fix."""


def with_key(repository: Mapping[str, Any], loader: Any) -> dict[str, Any]:
    """Return a repository with the key from its file in place of the file's path; raises KeyFileError.

    :arg loader: Ansible's DataLoader; a relative path begins at the playbook's folder.
    """
    others = {key: value for key, value in repository.items() if key != "key_file"}
    path = repository.get("key_file")
    if not path or not is_present(repository):
        return others
    try:
        text = Path(loader.path_dwim(str(path))).read_text(encoding="ascii")
    except OSError as error:
        raise KeyFileError(f"key_file {path}: {error.strerror} on the controller; correct the path") from error
    except ValueError:
        text = ""
    for problem in key_problems(text, str(path)):
        raise KeyFileError(f"key_file {path} {problem.what}; {problem.fix}")
    return {**others, "key": text}


def key_findings(repositories: Any, loader: Any) -> Iterator[Finding]:
    """Yield files that hold no key; other checks refuse a value that is not a list of repositories."""
    for number, repository in enumerate(repositories if isinstance(repositories, list) else ()):
        try:
            with_key(repository if isinstance(repository, Mapping) else {}, loader)
        except KeyFileError as error:
            yield Finding(f"{PACKAGE_REPOSITORIES}[{number}]", str(error), "see docs/versions.md")
