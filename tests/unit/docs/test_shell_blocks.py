# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every shell block of README.md and docs/*.md: it resolves as written, and what needs no hosts runs."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import tarfile
from functools import cache
from itertools import chain

import pytest
import yaml
from ansible.parsing.splitter import parse_kv
from ansible_collections.holdfast.ha.plugins.plugin_utils.playbooks import extra_problems, load_interface

from tests.unit.docs.shell_blocks import PAGES, ROOT, TABLE, blocks, every_command, inline, unlabelled

COMMANDS = every_command()
TEXTS = [command.text for command in COMMANDS]
CONTROLLER = {
    "ansible",
    "ansible-playbook",
    "ansible-inventory",
    "ansible-galaxy",
    "make",
    "cp",
    "mkdir",
    "ssh-keyscan",
    ".",
    "scripts/bootstrap",
    "age-keygen",
    "age",
    "shred",
}
HOSTS = {
    "cd",
    "export",
    "etcd",
    "etcdctl",
    "etcdutl",
    "find",
    "journalctl",
    "pgbadger",
    "psql",
    "restic",
    "runuser",
    "systemctl",
}
"""On hosts with that component; the shell's own words besides."""
MINE = "inventory/mine"
"""The reader's own, copied from one of ours."""
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z_ -]+):", MAKEFILE, re.MULTILINE)) | {"lint", "types", "unit", "docs", "sanity"}


@cache
def interface():
    return load_interface(ROOT)


def arguments_of(words):
    """What is given to one of Ansible's programs."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    for option in ("-i", "-m", "--limit", "--host", "--vault-password-file"):
        parser.add_argument(option)
    parser.add_argument("-e", action="append", default=[])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--diff", action="store_true")
    parser.add_argument("what", nargs="*")
    return parser.parse_args(words[1:])


def extra(options):
    """The extra variables, read as Ansible reads them."""
    given = (text for text in options if not text.startswith("@"))
    read = (yaml.safe_load(text) if text.startswith("{") else parse_kv(text) for text in given)
    return dict(chain.from_iterable(part.items() for part in read))


def wrong_playbook(name, variables):
    """Why a playbook would refuse what it is given."""
    own = name.startswith("holdfast.ha.")
    path = ROOT / (f"playbooks/{name.removeprefix('holdfast.ha.')}.yml" if own else name)
    if not path.is_file():
        return f"{name} does not exist"
    if path.parent != ROOT / "playbooks":
        text = path.read_text(encoding="utf-8")
        return ", ".join(f"{name} is not in it" for name in variables if name not in text)
    return "; ".join(map(str, extra_problems(variables, interface(), [path.stem], [])))


def wrong(words):
    """Why a command can't work as it is written, "" where nothing is known against it."""
    program = words[0]
    if program == "make":
        return wrong_make(words)
    if program.startswith("ansible") and program != "ansible-galaxy":
        given = arguments_of(words)
        if given.i is None or (given.i != MINE and not (ROOT / given.i).exists()):
            return f"{given.i} is no inventory"
        if program == "ansible-playbook":
            return "; ".join(filter(None, (wrong_playbook(name, extra(given.e)) for name in given.what)))
        module = given.m and given.m.removeprefix("holdfast.ha.")
        return "" if not module or (ROOT / f"plugins/modules/{module}.py").exists() else f"no module {module}"
    if program.startswith("scripts/"):
        return "" if os.access(ROOT / program, os.X_OK) else f"{program} can't be run"
    return "" if program in CONTROLLER | HOSTS else f"{program}: say where it is installed"


def wrong_make(words):
    parts = [word.partition("=") for word in words[1:]]
    unknown = [name for name, sign, _value in parts if not sign and name not in TARGETS]
    unused = [name for name, sign, _value in parts if sign and f"({name})" not in MAKEFILE]
    return ", ".join(f"make knows no {name}" for name in unknown + unused)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: f"{command.page}: {command.text}")
def test_a_command_resolves(command):
    assert wrong(command.words) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ansible-playbook playbooks/site.yml", "None is no inventory"),
        ("ansible-playbook -i inventory/prod playbooks/site.yml", "inventory/prod is no inventory"),
        ("ansible-playbook -i inventory/mine playbooks/sites.yml", "playbooks/sites.yml does not exist"),
        ("ansible-playbook -i inventory/mine holdfast.ha.sites", "holdfast.ha.sites does not exist"),
        ("ansible-playbook -i inventory/mine playbooks/restore.yml -e restore_typ=time", "restore_type"),
        ("ansible-playbook -i inventory/mine playbooks/restore.yml -e restore_type=soon", "restore_type = 'soon'"),
        ("ansible-playbook -i inventory/mine playbooks/site.yml -e restore_type=time", "is an option of restore.yml"),
        ("ansible -i inventory/mine all -m holdfast.ha.nothing", "no module nothing"),
        ("make labs", "make knows no labs"),
        ("make drill FAULT=x", "make knows no FAULT"),
        ("socat stdio /run/haproxy/admin.sock", "socat: say where it is installed"),
        ("scripts/setup", "scripts/setup can't be run"),
    ],
)
def test_what_can_not_work_is_found(text, expected):
    assert expected in wrong(shlex.split(text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_are_shell(page):
    for block in blocks(page):
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
    programs = "|".join(map(re.escape, (CONTROLLER | HOSTS) - {".", "cp", "etcd"}))
    looks_like = re.compile(rf"^(\$ |({programs}) )", re.MULTILINE)
    assert not [text for text in unlabelled(page) if looks_like.search(text)], "mark it as sh"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_prose_resolve(page):
    for program in ("make", "ansible-playbook", "ansible-inventory"):
        for text in inline(page, program):
            words = [word for word in shlex.split(text) if not re.fullmatch(r"LAB_[A-Z_]+=\S+", word)]
            assert wrong(words) == "", text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_in_the_prose_are_declared(page):
    text = page.read_text(encoding="utf-8")
    given = set(re.findall(r"`-e ([a-z_]+)=", text))
    of_lab = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "lab").glob("*.yml"))
    assert [name for name in given - interface().names if name not in of_lab] == []


def test_the_table_has_every_command():
    listed = {*TABLE["here"], *TABLE["lab"], *TABLE["database_host"], *TABLE["client"], *TABLE["elsewhere"]}
    assert sorted(set(TEXTS) - listed) == []
    assert sorted(listed - set(TEXTS)) == []
    for proof in TABLE["elsewhere"].values():
        assert (ROOT / proof).is_file() or proof.startswith(("not by a test", "by itself", "Makefile"))


@pytest.fixture
def fresh(tmp_path):
    """A copy of what git has, with the tools in their places; scripts/bootstrap has nothing left to fetch."""
    place = tmp_path / "holdfast"
    place.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    with tarfile.open(tmp_path / "copy.tar", "w") as archive:
        for name in filter(os.path.lexists, (str(ROOT / name) for name in listed.stdout.split("\0") if name)):
            archive.add(name, os.path.relpath(name, ROOT), recursive=False)
    with tarfile.open(tmp_path / "copy.tar") as archive:
        archive.extractall(place, filter="tar")
    (place / ".venv").symlink_to(ROOT / ".venv")
    for name in ("ansible", "community"):
        (place / "collections/ansible_collections" / name).symlink_to(ROOT / "collections/ansible_collections" / name)
    (tmp_path / ".vault").write_text("password\n")
    return place


def test_what_needs_no_hosts_runs_as_written(fresh):
    script = "\n".join(text for text in TEXTS if text in TABLE["here"])
    environment = {"HOME": str(fresh.parent), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-e"], input=script, cwd=fresh, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"cluster": "main"' in done.stdout
    assert (fresh / "inventory/mine/group_vars/all/secrets.yml").read_text().startswith("$ANSIBLE_VAULT")
    ignored = ["git", "check-ignore", "--no-index", "inventory/mine/group_vars/all/secrets.yml"]
    assert subprocess.run(ignored, cwd=ROOT, capture_output=True, check=False).returncode == 1


def test_without_an_inventory_nothing_is_touched(fresh):
    script = ". .venv/bin/activate\nansible-playbook playbooks/site.yml"
    environment = {"HOME": str(fresh.parent), "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "-e"], input=script, cwd=fresh, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "topology: no host has a cluster. Fix: give -i the folder" in " ".join((done.stdout + done.stderr).split())
    assert "WARNING" not in done.stderr
