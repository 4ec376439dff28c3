# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/root-paths.md says of everything that can run as root which paths of others it touches."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "root-paths.md").read_text(encoding="utf-8")
UNITS = {
    "alertmanager/drop-in.conf.j2": "prometheus-alertmanager.service.d/holdfast.conf",
    "exporters/exporter.service.j2": "holdfast-NAME-exporter.service",
    "backup_jobs/job.service.j2": "holdfast-job-NAME.service",
    "clone/clone.service.j2": "holdfast-clone-PORT.service",
    "etcd/holdfast.conf.j2": "etcd.service.d/holdfast.conf",
    "firewall/nftables.conf": "nftables.service.d/holdfast-firewall.conf",
    "haproxy/drop-in.conf.j2": "haproxy.service.d/holdfast.conf",
    "keepalived/drop-in.conf.j2": "keepalived.service.d/holdfast.conf",
    "keepalived/filter.service.j2": "keepalived-filter.service",
    "keepalived/nftables.conf": "nftables.service.d/holdfast.conf",
    "lease_watcher/service.j2": "holdfast-lease-watcher.service",
    "patroni/drop-in.conf.j2": "patroni.service.d/holdfast.conf",
    "pgbouncer/service.j2": "holdfast-pgbouncer.service",
    "prometheus/drop-in.conf.j2": "prometheus.service.d/holdfast.conf",
}
SCRIPTS = {
    "haproxy/save-state.py.j2": "save-state.py",
    "packages/policy-rc.d.j2": "policy-rc.d",
    "patroni/may-restore.sh.j2": "patroni-may-restore",
    "patroni/set-aside.sh.j2": "patroni-set-aside",
    "pgbackrest/backup-each.sh": "pgbackrest-each",
    "pgbackrest/get.sh": "pgbackrest-get",
    "pgbackrest/push.sh.j2": "pgbackrest-push",
    "patroni/profile.sh.j2": "",  # sourced by login shells
}
ROLES = ROOT / "roles"
CHANGES = {"chown", "lchown", "chmod", "lchmod", "rmtree", "makedirs", "copyfile", "copy", "copytree", "move"}
# What changes files as root by other means than safe_path, and why it may.
OF_ITS_OWN = {
    "module_utils/safe_path.py": "it is the way",
    "module_utils/etcd_join.py": "/etc/etcd is root's own",
    "module_utils/package_sources.py": "a new directory that only root can change",
    "module_utils/postgresql_scratch.py": "its directory is root's own, and so is what it changes there",
    "module_utils/restore_work.py": "the database user's",
    "module_utils/restore_verify.py": "a unit of postgres'",
    "module_utils/backup_job_etcd.py": "a unit of the job's user",
    "module_utils/backup_job_files.py": "a unit of the job's user, in a cache directory of its own",
}


def named(path: Path) -> str:
    return f"{path.parts[len(ROLES.parts)]}/{path.name}"


def files(*patterns: str) -> Iterator[Path]:
    for pattern in patterns:
        yield from (path for path in ROLES.glob(pattern) if path.is_file())


def test_every_module_is_there() -> None:
    modules = {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")} - {"__init__"}
    assert {name for name in modules if f"`{name}`" not in PAGE} == set()


@pytest.mark.parametrize("path", [*files("*/templates/*", "*/files/*")], ids=named)
def test_every_unit_and_script_is_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if re.search(r"^\[Service\]", text, re.MULTILINE):
        assert f"`{UNITS.get(named(path), path.name.removesuffix('.j2'))}`" in PAGE
    elif path.name.removesuffix(".j2").endswith(".sh") or text.startswith("#!") or "\n#!" in text[:200]:
        assert f"`{SCRIPTS.get(named(path), path.name)}`" in PAGE or SCRIPTS[named(path)] == ""


def test_a_unit_of_root_s_says_so() -> None:
    """A service without User= is root's: a package's (a drop-in), or one of these."""
    units = [path for path in files("*/templates/*", "*/files/*") if "[Service]" in path.read_text(encoding="utf-8")]
    whole = [path for path in units if re.search(r"^(ExecStart|Type)=", path.read_text(encoding="utf-8"), re.MULTILINE)]
    rootless = {
        named(path) for path in whole if not re.search(r"^User=", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    filters = {"firewall/holdfast-firewall.service.j2", "keepalived/filter.service.j2"}
    assert rootless == {"patroni/drop-in.conf.j2", *filters}


def calls(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {node.attr for node in found if isinstance(node, ast.Attribute)} & CHANGES


def test_nothing_else_changes_files_its_own_way() -> None:
    plugins = ROOT / "plugins"
    found = {
        str(path.relative_to(plugins)) for kind in ("modules", "module_utils") for path in (plugins / kind).glob("*.py")
        if calls(path)
    }  # fmt: skip
    assert found == {name for name in OF_ITS_OWN if calls(plugins / name)}
