# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Kernel settings that a file of sysctl.d keeps through reboots: the plan to lay them down, and how they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.holdfast.ha.plugins.module_utils import safe_path

PATH = "/etc/sysctl.d/60-holdfast.conf"
HEADER = "# Managed by Ansible (holdfast.ha.kernel_settings).\n"
LIVE = "proc/sys"


@dataclass(frozen=True)
class Found:
    """The content of the file, None where there is none, and the kernel's values by name."""

    content: str | None
    live: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """The file's content afterwards, None for no file, and the values to set now by name."""

    found: Found
    content: str | None
    values: Mapping[str, str]

    @property
    def needed(self) -> bool:
        """Whether anything differs."""
        return bool(self.values) or self.content != self.found.content

    def as_diff(self, path: str) -> dict[str, str]:
        """Return Ansible's `diff`: the file and the kernel's values."""
        after = {**self.found.live, **self.values}
        sides = {"before": (self.found.content, self.found.live), "after": (self.content, after)}
        return {
            **{f"{side}_header": f"{path} and the kernel" for side in sides},
            **{side: (content or "") + render(live, "# now\n") for side, (content, live) in sides.items()},
        }


def plan(found: Found, settings: Mapping[str, str], *, present: bool) -> Plan:
    """Return what is to be done.

    present: the file and the kernel get the settings. Otherwise the file goes, and the kernel gets the settings in
    place of those values that are still the file's.
    """
    if present:
        values = {name: value for name, value in settings.items() if found.live[name] != value}
        return Plan(found, render(settings, HEADER), values)
    kept = parse(found.content or "")
    ours = {name for name, value in kept.items() if found.live.get(name) == value}
    return Plan(found, None, {name: value for name, value in settings.items() if name in ours and value != kept[name]})


def render(settings: Mapping[str, str], header: str) -> str:
    """Return settings in the format of sysctl.d."""
    return header + "".join(f"{name} = {value}\n" for name, value in sorted(settings.items()))


def parse(text: str) -> dict[str, str]:
    """Return the settings in a text in the format of sysctl.d."""
    lines = (line.strip() for line in text.splitlines())
    pairs = (line.removeprefix("-").split("=", 1) for line in lines if "=" in line and line[0] not in "#;")
    return {name.strip(): normal(value) for name, value in pairs}


def normal(value: str) -> str:
    """Return a value with single spaces, as the kernel's differ only in them."""
    return " ".join(value.split())


def live(names: Iterable[str], root: str = "/") -> dict[str, str]:
    """Return the kernel's values by name, without those that this kernel lacks."""
    files = {name: _file(name, root) for name in names}
    return {name: normal(file.read_text(encoding="ascii")) for name, file in files.items() if file.exists()}


def look(names: Iterable[str], path: str = PATH, root: str = "/") -> Found:
    """Return what the host has. Raises OSError, safe_path.UnsafePathError."""
    content = safe_path.read(path)
    return Found(None if content is None else content.decode(errors="replace"), live(names, root))


def apply(made: Plan, path: str = PATH, root: str = "/") -> None:
    """Carry a plan out. The kernel comes first: while the file lies there, the next run knows whose the values are.

    Raises OSError, safe_path.UnsafePathError.
    """
    for name, value in made.values.items():
        _file(name, root).write_text(value, encoding="ascii")
    if made.content is None:
        safe_path.remove(path)
    elif made.content != made.found.content:
        safe_path.replace(path, made.content.encode())


def _file(name: str, root: str) -> Path:
    return Path(root, LIVE, *name.split("."))
