# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the docs site into .cache/site/html: README, the pages of docs/ and of the roles, and the plugin reference.

The pages keep their paths, so links between them are the same on the site and in the repository. A link to another file
of the repository becomes its text. Every warning is an error.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from lab.progress import say, step
from scripts.run_ansible_test import copy

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
FOLDER = ROOT / ".cache/site"
SOURCE, HTML = FOLDER / "source", FOLDER / "html"
HOME, LANDING = "README.md", "index.md"
# The pages of docs/ by their names, in the order of the menu; pages that are not named here come last.
GROUPS = {
    "Begin": ("installation", "architecture", "topology", "variables"),
    "Operate": (
        "operations",
        "hosts",
        "playbooks",
        "preflight",
        "status",
        "monitoring",
        "alerts",
        "alerts-upkeep",
        "maintenance",
        "updates",
        "switchover",
        "logs",
        "security",
        "attacks",
        "hardening",
        "rotation",
        "firewall",
        "secrets",
        "secrets-elsewhere",
        "certificates",
        "root-paths",
    ),
    "Back up": (
        "backups",
        "backup-protection",
        "backup-jobs",
        "restore",
        "restore-verification",
        "clone",
        "etcd-recovery",
    ),
    "Fail over": (
        "failover",
        "lease-watcher",
        "connections",
        "patroni-amendments",
        "synchronous-standbys",
        "pooler",
        "balancers",
        "prediction",
    ),
    "Prove": (
        "drill",
        "drill-report",
        "consistency",
        "soak",
        "explore",
        "model",
        "tested",
        "measurements",
        "measurements-updates",
        "measurements-security",
        "measurements-monitoring",
        "performance",
        "comparison",
    ),
}
FENCED = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]\[]*(?:\[[^\]]*\][^\]\[]*)*)\]\((?P<target>[^)\s]+)\)")

CONTENTS = re.compile(r"^\.\. contents::\n(?:   :.*\n)*", re.MULTILINE)
TITLE = re.compile(r"^holdfast\.ha\.(?=\w+ \w+ -- )", re.MULTILINE)


def pages() -> list[str]:
    """Return the Markdown files that become pages, by their names in the repository."""
    patterns = (HOME, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md", "roles/*/README.md")
    return sorted(str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern))


def shown() -> list[str]:
    """Return the files that pages show or offer, by their names in the repository."""
    files = (path for path in (ROOT / "docs").rglob("*") if path.is_file() and path.suffix != ".md")
    return sorted(str(path.relative_to(ROOT)) for path in files if not path.is_relative_to(ROOT / "docs/site"))


def relinked(text: str, page: str, known: Iterable[str]) -> str:
    """Return a page's text with the links that work on the site; other links become their text."""

    def replace(match: re.Match[str]) -> str:
        target, hash_sign, anchor = match["target"].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return match[0]
        name = posixpath.normpath(posixpath.join(posixpath.dirname(page), target))
        if name not in known:
            return match["text"]
        if name == HOME:
            target = posixpath.join(posixpath.dirname(target), LANDING)
        return f"[{match['text']}]({target}{hash_sign}{anchor})"

    return "".join(part if FENCED.match(part) else LINK.sub(replace, part) for part in FENCED.split(text))


def menu(names: Iterable[str]) -> Iterator[str]:
    """Yield the tables of contents of the landing page."""
    rest = [name.removesuffix(".md") for name in names if name != HOME]
    for caption, stems in GROUPS.items():
        entries = [f"docs/{stem}" for stem in stems if f"docs/{stem}" in rest]
        rest = [name for name in rest if name not in entries]
        yield from toctree(caption, entries)
    yield from toctree("More", [name for name in rest if name.startswith("docs/")])
    yield from toctree("Reference", ["Modules, plugins, roles <reference/index>"])
    yield from toctree("Roles", [f"{name.split('/')[1]} <{name}>" for name in rest if name.startswith("roles/")])
    yield from toctree("Project", [name for name in rest if "/" not in name])


def toctree(caption: str, entries: list[str]) -> Iterator[str]:
    """Yield a table of contents, unless it is empty."""
    if entries:
        yield from ("```{toctree}", ":hidden:", f":caption: {caption}", "", *entries, "```", "")


def lay_out() -> None:
    """Write the pages and their images into SOURCE."""
    names = pages()
    known = {*names, *shown()}
    for name in names:
        text = relinked((ROOT / name).read_text(encoding="utf-8"), name, known)
        if name == HOME:
            text = "\n".join([text, *menu(names)])
        path = SOURCE / (LANDING if name == HOME else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    copy(shown(), SOURCE)
    shutil.copytree(ROOT / "docs/site", SOURCE, dirs_exist_ok=True)


def trim(reference: Path) -> None:
    """Remove from the generated pages what the theme's sidebar shows, and the collection's name before every title."""
    for path in reference.glob("*.rst"):
        text = path.read_text(encoding="utf-8")
        path.write_text(CONTENTS.sub("", TITLE.sub("", text)), encoding="utf-8")


def run(*command: str | Path) -> None:
    """Run a command; if it fails, the program ends with its output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")} | {
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
    }
    done = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {Path(command[0]).name} failed:\n{(done.stdout + done.stderr)[-6000:].strip()}")


def main() -> None:
    """Build the site."""
    for folder in (SOURCE, HTML):
        shutil.rmtree(folder, ignore_errors=True)
    reference = SOURCE / "reference"
    reference.mkdir(parents=True)
    with step("reading the documentation of plugins and roles"):
        options = ("--use-current", "--squash-hierarchy", "--fail-on-error", "--dest-dir", reference)
        run(BIN / "antsibull-docs", "collection", *options, "holdfast.ha")
        trim(reference)
    lay_out()
    with step("building the pages"):
        run(BIN / "sphinx-build", "-W", "--keep-going", "-q", "-j", "auto", "-b", "html", SOURCE, HTML)
    copy(shown(), HTML)  # for images in the pages' HTML
    say(f"{HTML}/index.html")


if __name__ == "__main__":
    main()
