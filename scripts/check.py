# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the project's checks: python -m scripts.check [lint] [types] [unit] [docs] [sanity] (default: all but sanity)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
COLLECTION = "ansible_collections/holdfast/ha"


@dataclass(frozen=True, slots=True)
class Step:
    """One tool: argv is run in cwd; a streaming step owns the terminal, the others run in parallel."""

    name: str
    argv: tuple[str, ...]
    cwd: Path = ROOT
    stream: bool = False


PYTHON = str(BIN / "python")
MYPY = ("mypy", "--config-file", str(ROOT / "pyproject.toml"))
LINT_DOCS = ("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "self")

STEPS: dict[str, tuple[Step, ...]] = {
    "lint": (
        Step("ansible-lint", ("ansible-lint", "-q", "--nocolor")),
        Step("ruff", ("ruff", "check", ".")),
        Step("ruff format", ("ruff", "format", "--check", "--diff", "-q", ".")),
        Step("yamllint", ("yamllint", "--strict", ".")),
        Step("argument_specs = defaults", (PYTHON, "-m", "scripts.check_argument_specs")),
        Step("variable reference is current", (PYTHON, "-m", "scripts.generate_variables_reference", "--check")),
        Step("topology reference is current", (PYTHON, "-m", "scripts.generate_topology_reference", "--check")),
        Step("playbook reference is current", (PYTHON, "-m", "scripts.generate_playbooks_reference", "--check")),
        Step("table of attacks is current", (PYTHON, "-m", "scripts.generate_attack_table", "--check")),
        Step("dashboards are current", (PYTHON, "-m", "scripts.dashboards.generate", "--check")),
        Step("changelog fragments", ("antsibull-changelog", "lint")),
    ),
    "types": (
        Step("mypy plugins", (*MYPY, f"{COLLECTION}/plugins"), cwd=ROOT / "collections"),
        Step("mypy lab scripts", (*MYPY, "--cache-dir=.cache/mypy-tools", "lab", "scripts")),
        Step("mypy lease watcher", (*MYPY, "--cache-dir=.cache/mypy-watcher", "roles/lease_watcher/files")),
        Step("mypy Patroni's start", (*MYPY, "--cache-dir=.cache/mypy-patroni", "roles/patroni/files")),
        Step("mypy etcd's permit", (*MYPY, "--cache-dir=.cache/mypy-etcd", "roles/etcd/files")),
    ),
    "unit": (Step("pytest", ("pytest", "-q", "-n", "auto", "--dist", "loadgroup"), stream=True),),
    "docs": (
        Step("antsibull-docs", (*LINT_DOCS, "--skip-rstcheck", "."), cwd=ROOT / "collections" / COLLECTION),
        Step("docs site", (PYTHON, "-m", "scripts.docs_site")),
    ),
    "sanity": (Step("ansible-test", (PYTHON, "-m", "scripts.run_ansible_test"), stream=True),),
}
"""The steps of each target."""


def run(step: Step) -> tuple[int, str, float]:
    """Run a step; return its exit code, its output ("" when streamed) and the seconds it took."""
    environment = os.environ | {
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
        "RUFF_CACHE_DIR": str(ROOT / ".cache" / "ruff"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    started = time.monotonic()
    done = subprocess.run(
        step.argv,
        cwd=step.cwd,
        env=environment,
        check=False,
        text=True,
        stdout=None if step.stream else subprocess.PIPE,
        stderr=None if step.stream else subprocess.STDOUT,
    )
    return done.returncode, done.stdout or "", time.monotonic() - started


def report(step: Step, code: int, output: str, seconds: float) -> bool:
    """Print one line for a step, and its output if it failed; return whether it passed."""
    print(f"{'ok    ' if code == 0 else 'FAILED'} {seconds:6.1f} s  {step.name}", flush=True)
    if code:
        print(output.rstrip(), flush=True)
    return code == 0


def main(targets: list[str]) -> int:
    """Run the targets' steps; return 0 when all passed."""
    try:
        wanted = [step for target in targets or ["lint", "types", "docs", "unit"] for step in STEPS[target]]
    except KeyError as unknown:
        print(f"unknown target {unknown}; known: lint types unit docs sanity", file=sys.stderr)
        return 2
    passed = True
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        running = {pool.submit(run, step): step for step in wanted if not step.stream}
        for future in as_completed(running):
            passed &= report(running[future], *future.result())
    for step in wanted:
        if step.stream:
            print(f"------ {step.name}", flush=True)
            passed &= report(step, *run(step))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
