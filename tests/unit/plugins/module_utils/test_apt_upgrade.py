# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host whose dpkg and apt are programs of the test's; locks, files, processes and signals are real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.holdfast.ha.plugins.module_utils import apt_host, apt_plan, policy_rc_d
from ansible_collections.holdfast.ha.plugins.module_utils.apt_host import (
    Apt,
    AptError,
    lists_age,
    transact,
    undisturbed,
)
from ansible_collections.holdfast.ha.plugins.module_utils.apt_upgrade import LOG, UnfinishedError, Upgrading

from tests.unit.plugins.module_utils.apt_plan_data import FILES

PROGRAM = f"""#!{sys.executable} -SE
import json, os, sys
from pathlib import Path
home = Path(__file__).resolve().parent.parent
name, words = Path(sys.argv[0]).name, sys.argv[1:]
state = json.loads((home / "state").read_text())
with (home / "calls").open("a") as calls:
    print(name, *words, file=calls)
def packages():
    return [(n, p) for n, p in state["packages"].items()]
def would():
    asked = dict(word.split("=", 1) for word in words if "=" in word and not word[0].isupper())
    if "upgrade" in words:
        asked = {{n: p["candidate"] for n, p in packages() if p["status"] == "installed" and not p["hold"]}}
    return {{n: v for n, v in asked.items() if v != state["packages"][n]["version"]}}
if name == "dpkg-query" and "Want" in words[1]:
    for n, p in packages():
        print(n, "amd64", "hold" if p["hold"] else "install", p["status"], p["version"], n, "", sep="\\t")
elif name == "dpkg-query":
    for n, p in packages():
        print(n, p["status"], p["version"])
elif name == "apt-cache" and words == ["policy"]:
    print({FILES!r})
elif name == "apt-cache":
    for n in words[1:]:
        p = state["packages"][n]
        print(f"{{n}}:\\n  Installed: {{p['version']}}\\n  Candidate: {{p['candidate']}}\\n  Version table:")
        for version in p["versions"]:
            print(f"     {{version}} 500\\n        500 file:/srv/debian trixie/main amd64 Packages")
elif name == "apt-get" and "--simulate" in words:
    for n, v in would().items():
        print(f"Inst {{n}} [{{state['packages'][n]['version']}}] ({{v}} Debian:13/stable [amd64])")
elif name == "apt-get" and "update" in words and (home / "locked").exists():
    (home / "locked").unlink()
    sys.exit("E: Could not get lock /var/lib/apt/lists/lock. It is held by process 1 (apt-get)")
elif name == "apt-get" and "update" in words:
    sys.exit("E: Failed to fetch file:/srv/debian" if (home / "unreachable").exists() else 0)
elif name == "apt-get":
    for n, p in packages():
        if p["status"] != "installed" and n in words:
            p["status"] = "installed"
    for n, v in would().items():
        if n == state.get("failing"):
            (home / "state").write_text(json.dumps(state))
            sys.exit("Setting up\\nE: Sub-process /usr/bin/dpkg returned an error code (1)")
        state["packages"][n]["version"] = v
        os.system(f"{{home}}/usr/sbin/policy-rc.d {{n}}.service restart; echo $? > {{home}}/answer")
    (home / "environment").write_text(json.dumps(dict(os.environ)))
    (home / "state").write_text(json.dumps(state))
elif name == "dpkg":
    for n, p in packages():
        if p["status"] == "unpacked":
            p["status"] = "installed"
    (home / "state").write_text(json.dumps(state))
"""


class Host:
    """A host below a directory, with the packages a (upgradable), b (upgradable, on hold) and c."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("bin", "run", "usr/sbin", "var/lib/dpkg/updates", "var/lib/dpkg/info"):
            (root / name).mkdir(parents=True)
        for name in ("dpkg-query", "dpkg", "apt-get", "apt-cache"):
            (root / "bin" / name).write_text(PROGRAM)
            (root / "bin" / name).chmod(0o755)
        names = {"a": (["2", "1"], False), "b": (["2", "1"], True), "c": (["1"], False), "dpkg": (["1"], False)}
        self.state = {
            "packages": {
                name: {
                    "version": "1",
                    "candidate": versions[0],
                    "versions": versions,
                    "hold": hold,
                    "status": "installed",
                }
                for name, (versions, hold) in names.items()
            }
        }
        for name in names:
            (root / f"var/lib/dpkg/info/{name}.list").write_text(f"/.\n/usr\n/usr/bin/{name}\n")
        self.save()

    def save(self) -> None:
        (self.root / "state").write_text(json.dumps(self.state))

    def versions(self) -> dict[str, str]:
        packages = json.loads((self.root / "state").read_text())["packages"]
        return {name: package["version"] for name, package in packages.items()}

    def calls(self, program: str) -> list[str]:
        path = self.root / "calls"
        return [line for line in path.read_text().splitlines() if line.split()[0] == program] if path.exists() else []

    def apt(self, timeout: float = 5) -> Apt:
        return Apt(run, timeout, self.root)

    def upgrading(self, **given: Any) -> Upgrading:
        defaults = {"scope": "system", "names": [], "versions": {}, "allow_downgrade": False, "lock_timeout": 5}
        return Upgrading(self.apt(), defaults | given)

    def answer(self) -> str:
        return (self.root / "answer").read_text().strip()


def run(command: Sequence[str]) -> tuple[int, str, str]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return Host(tmp_path)


def moves(plans):
    return {scope: [(one.name, one.installed, one.candidate) for one in plan] for scope, plan in plans.items()}


def test_the_plans(host):
    apt = host.apt()
    known = apt.look()
    plans = apt.plans(known, apt_plan.SCOPES, ["a", "b"], {}, downgrade=False)
    assert moves(plans) == {"stack": [("a", "1", "2")], "system": [("a", "1", "2")], "security": []}
    assert apt_plan.held(known) == ["b"]
    assert len(host.calls("apt-get")) == 1


def test_without_anything_to_do_apt_resolves_nothing(host):
    for package in host.state["packages"].values():
        package["candidate"] = "1"
    host.save()
    apt = host.apt()
    assert moves(apt.plans(apt.look(), ["system"], ["a"], {}, downgrade=False)) == {"system": []}
    assert host.calls("apt-get") == []


def test_a_version_that_is_not_there_is_refused(host):
    with pytest.raises(apt_plan.RefusedError, match=r"versions: a 7 is not available here; there is 2, 1"):
        host.apt().plans(host.apt().look(), ["stack"], [], {"a": "7"}, downgrade=False)


def test_an_older_version_that_was_allowed(host):
    host.state["packages"]["a"]["version"] = "2"
    host.save()
    plans = host.apt().plans(host.apt().look(), ["stack"], [], {"a": "1"}, downgrade=True)
    assert moves(plans) == {"stack": [("a", "2", "1")]}


def test_a_program_that_fails_is_told_with_its_words(host):
    (host.root / "bin/apt-cache").write_text("#!/bin/sh\necho some\necho E: broken >&2\nexit 3\n")
    with pytest.raises(AptError, match=r"^apt-cache policy a b … exited with 3: E: broken$"):
        host.apt().look()


def test_a_refresh_waits_for_another_s_lock(host):
    (host.root / "locked").touch()
    host.apt().refresh()
    assert host.calls("apt-get") == ["apt-get update --quiet --error-on=any"] * 2


def test_a_refresh_that_fails(host):
    (host.root / "unreachable").touch()
    with pytest.raises(AptError, match="E: Failed to fetch"):
        host.apt().refresh()
    (host.root / "unreachable").unlink()
    (host.root / "locked").touch()
    with pytest.raises(AptError, match="It is held by process 1"):
        host.apt(timeout=-1).refresh()


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ("/.\n/usr\n/usr/share\n/usr/share/doc\n/usr/share/doc/a\n/usr/share/doc/a/copyright\n", True),
        ("/.\n/usr\n/usr/bin\n/usr/bin/a\n/usr/share/doc/a\n", False),
    ],
)
def test_a_package_without_files_of_its_own(host, paths, expected):
    (host.root / "var/lib/dpkg/info/a:amd64.list").write_text(paths)
    assert host.apt().is_empty(apt_plan.Package("a", "1", "a", "amd64")) is expected


def test_the_age_of_the_lists(host):
    lists = host.root / "var/lib/apt/lists"
    (lists / "partial").mkdir(parents=True)
    assert lists_age(host.root, 1000) is None
    (lists / "srv_debian_dists_trixie_main_binary-amd64_Packages.lz4").touch()
    os.utime(lists, (0, 100))
    os.utime(lists / "partial", (0, 400))
    assert lists_age(host.root, 1000) == 600


def hold_lock(path: Path) -> subprocess.Popen[str]:
    """Start a process that holds dpkg's lock until its input ends."""
    text = f"import fcntl\nf = open({str(path)!r}, 'a')\nfcntl.lockf(f, fcntl.LOCK_EX)\nprint(1, flush=True)\ninput()"
    process = subprocess.Popen([sys.executable, "-c", text], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_another_package_manager_s_end_is_awaited(host):
    other = hold_lock(host.root / "var/lib/dpkg/lock-frontend")
    with pytest.raises(AptError, match=r"holds .*/lock-frontend for 0 s; wait until it is done"):
        host.apt(timeout=0.1).wait_for_others()
    other.communicate("\n")
    host.apt().wait_for_others()


def test_a_transaction_outlives_signals(host):
    script = "import os, time; print(os.getsid(0) == os.getpid(), os.environ['NEEDRESTART_SUSPEND']); time.sleep(0.3)"
    with undisturbed():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        assert transact([sys.executable, "-c", script], {}) == (0, "True 1\n")
        dies = transact([sys.executable, "-c", "import os; os.kill(os.getpid(), 15)"], {})
    assert dies == (-signal.SIGTERM, "")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def names(host):
    """The names in the directory of policy-rc.d."""
    return sorted(path.name for path in (host.root / "usr/sbin").iterdir())


def test_an_upgrade(host):
    result = host.upgrading().apply()
    assert result["changed"]
    assert result["upgraded"] == [{"name": "a", "from": "1", "to": "2"}]
    assert (result["held"], result["withheld"], result["completed"]) == (["b"], ["a.service"], False)
    assert (result["diff"]["before"], result["diff"]["after"]) == ("a 1\n", "a 2\n")
    assert host.versions() == {"a": "2", "b": "1", "c": "1", "dpkg": "1"}
    assert host.answer() == "101"
    assert names(host) == []
    environment = json.loads((host.root / "environment").read_text())
    assert environment["DEBIAN_FRONTEND"] == "noninteractive"
    command = host.calls("apt-get")[-1]
    for words in ("--yes", "--no-remove", "--no-install-recommends", "--force-confold", "Lock::Timeout=5", "a=2"):
        assert words in command
    assert "--allow-downgrades" not in command
    touched = (host.root / "usr/sbin").stat().st_mtime_ns
    again = host.upgrading().apply()
    assert (host.root / "usr/sbin").stat().st_mtime_ns == touched
    assert (again["changed"], again["upgraded"], again["withheld"]) == (False, [], [])


def test_check_mode_has_the_same_plan_and_changes_nothing(host):
    before = [*(path.name for path in host.root.rglob("*")), "calls"]
    result = host.upgrading().predict()
    assert sorted(path.name for path in host.root.rglob("*")) == sorted(before)
    assert result["upgraded"] == [{"name": "a", "from": "1", "to": "2"}] == host.upgrading().apply()["upgraded"]
    assert result["changed"]


def test_refused_before_anything_is_touched(host):
    with pytest.raises(apt_plan.RefusedError, match="a 7 is not available"):
        host.upgrading(versions={"a": "7"}).apply()
    with pytest.raises(apt_plan.RefusedError, match="b is on hold"):
        host.upgrading(versions={"b": "2"}).apply()
    assert set(host.versions().values()) == {"1"}
    assert names(host) == []


def test_versions_that_are_not_installed_are_told(host):
    assert host.upgrading(versions={"a": "1", "z": "3"}).apply()["unknown"] == ["z"]
    assert set(host.versions().values()) == {"1"}


def test_a_failure_says_what_was_done_and_restores_the_policy(host):
    (host.root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 104\n")
    host.state["packages"]["b"]["hold"] = False
    host.state["failing"] = "b"
    host.save()
    with pytest.raises(UnfinishedError, match=r"exited with 1: E: Sub-process") as failure:
        host.upgrading().apply()
    assert failure.value.upgraded == [{"name": "a", "from": "1", "to": "2"}]
    assert (host.root / "usr/sbin/policy-rc.d").read_text() == "#!/bin/sh\nexit 104\n"
    host.state = json.loads((host.root / "state").read_text()) | {"failing": ""}
    host.save()
    after = host.upgrading().apply()
    assert after["upgraded"] == [{"name": "b", "from": "1", "to": "2"}]
    assert after["withheld"] == ["a.service", "b.service"]


@pytest.mark.parametrize("status", ["unpacked", "half-installed"])
def test_an_interrupted_installation_is_completed_first(host, status):
    host.state["packages"]["c"]["status"] = status
    host.state["packages"]["a"]["candidate"] = "1"
    host.save()
    assert host.upgrading().predict()["completed"]
    result = host.upgrading().apply()
    assert (result["changed"], result["completed"]) == (True, True)
    assert host.calls("dpkg")
    assert any("--reinstall install c" in call for call in host.calls("apt-get")) is (status == "half-installed")
    assert not host.upgrading().apply()["changed"]


def test_a_killed_run_s_policy_goes_even_if_there_is_nothing_to_do(host):
    host.upgrading().apply()
    policy_rc_d._put(host.root / "usr/sbin")
    (host.root / LOG).write_text("a.service restart\n")
    assert host.upgrading().apply()["withheld"] == ["a.service"]
    assert names(host) == []
    assert not (host.root / LOG).exists()


def test_a_killed_module_lets_apt_end(host):
    """The module is killed; its apt ends, and no service restarts meanwhile."""
    slow = host.root / "bin/slow"
    slow.write_text(f"#!/bin/sh\ntouch {host.root}/begun\nsleep 0.7\necho done\ntouch {host.root}/ended\n")
    slow.chmod(0o755)
    process = os.fork()
    if not process:
        try:
            with policy_rc_d.withholding(host.root / "usr/sbin", host.root / LOG) as environment:
                transact([str(slow)], environment)
        finally:
            os._exit(0)
    await_((host.root / "begun").exists)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert not (host.root / "ended").exists()
    await_((host.root / "ended").exists)
    assert policy_rc_d.mend(host.root / "usr/sbin")


def await_(condition: Any) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_two_at_once(host, monkeypatch):
    monkeypatch.setattr(apt_host, "POLL_SECONDS", 0.01)
    first, second = host.upgrading(), host.upgrading(lock_timeout=0.1)
    told: list[str] = []

    def beside(*_: Any) -> None:
        with pytest.raises(AptError, match=r"another packages_upgrade works on this host for 0 s") as failure:
            second.apply()
        told.append(str(failure.value))

    monkeypatch.setattr(Apt, "wait_for_others", beside)
    first.apply()
    assert told
