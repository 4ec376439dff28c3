# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's real secrets must be nowhere that anybody else can look."""

from __future__ import annotations

import base64
import subprocess
import threading

import pytest
import yaml
from lab_cluster import DATABASES, ENGINE, NODES, SECRETS, SITE, on_node, run_playbook

PATTERNS = "/dev/shm/secret-patterns"


def secrets() -> dict[str, str]:
    document = yaml.safe_load(SECRETS.read_text(encoding="utf-8"))
    return {**document["ha_secrets"], **document["ha_role_passwords"]}


def forms(secret: str) -> set[str]:
    """The secret itself, and as it would stand in a basic authentication header's payload."""
    return {secret, base64.b64encode(secret.encode()).decode().rstrip("=")}


def named(text: str) -> list[str]:
    return [name for name, secret in secrets().items() if any(form in text for form in forms(secret))]


@pytest.fixture(scope="module")
def process_lists() -> dict[str, set[str]]:
    """The command lines and world-readable environments seen on every node during a run with drift to mend."""
    seen: dict[str, set[str]] = {node: set() for node in NODES}
    done = threading.Event()

    def sample() -> None:
        while not done.is_set():
            for node in NODES:
                seen[node].update(on_node(node, "ps", "-eo", "args", check=False).splitlines())

    on_node(DATABASES[0], "rm", "-f", "/etc/patroni/config.yml")
    on_node("backup1", "rm", "-f", "/etc/pgbackrest.conf")
    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        run = run_playbook(SITE, "-vvv", "--diff")
    finally:
        done.set()
        sampler.join()
    assert run.code == 0, run.output[-3000:]
    assert run.changed["db1"] > 0
    seen["controller's output"] = {run.output}
    return seen


def test_neither_output_nor_process_lists_show_one(process_lists: dict[str, set[str]]) -> None:
    assert {place: named("\n".join(lines)) for place, lines in process_lists.items()} == {
        place: [] for place in process_lists
    }


@pytest.mark.parametrize("node", NODES)
def test_no_world_readable_file_holds_one(node: str) -> None:
    patterns = "\n".join(form for secret in secrets().values() for form in forms(secret)) + "\n"
    subprocess.run(
        [ENGINE, "exec", "-i", f"holdfast-{node}", "sh", "-c", f"umask 077; cat >{PATTERNS}"],
        input=patterns,
        text=True,
        check=True,
    )
    search = f"find / -xdev -type f -perm -o+r -size -4M -print0 | xargs -0 grep -laF -f {PATTERNS}; rm -f {PATTERNS}"
    found = on_node(node, "sh", "-c", search).split()
    assert found == []


def test_the_search_itself_finds_one() -> None:
    """A search that cannot find anything would prove nothing."""
    assert named(on_node("db1", "cat", "/etc/patroni/config.yml"))


@pytest.mark.parametrize("node", NODES)
def test_no_unit_shows_one(node: str) -> None:
    shown = on_node(node, "systemctl", "show", "--all", "--property=ExecStart,Environment", "*.service")
    assert named(shown) == []
