# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another major version of PostgreSQL from a second repository. Needs the lab on Debian 13, ten minutes.

A spare host becomes a cluster of its own, beside the lab's, which must not notice.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from backup_lab import PLAYBOOKS, as_postgres
from lab_cluster import (
    DATABASES,
    INVENTORY,
    ROOT,
    SITE,
    Run,
    assert_converged,
    attempt,
    on_node,
    run_playbook,
)
from test_hosts import bare, lab_nodes

pytestmark = pytest.mark.skipif(os.environ.get("LAB_OS", "trixie") != "trixie", reason="Debian 12 has 15 itself")
HOST = "db4"
FOLDER = ROOT / ".lab/versions"
PREFLIGHT, STATUS = (PLAYBOOKS / f"{name}.yml" for name in ("preflight", "status"))
KEYRINGS = "/usr/share/keyrings"
RIGHT, WRONG = "debian-archive-keyring.gpg", "debian-archive-removed-keys.gpg"
OURS = "ls /etc/apt/sources.list.d /etc/apt/keyrings /etc/apt/preferences.d | grep ^holdfast- || true"


def armored(keyring: str) -> str:
    """A keyring of the host's, as gpg --armor prints it."""
    content = on_node(HOST, "base64", "--wrap=0", f"{KEYRINGS}/{keyring}").strip()
    base64.b64decode(content, validate=True)
    lines = "\n".join(textwrap.wrap(content, 64))
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{lines}\n-----END PGP PUBLIC KEY BLOCK-----\n"


def bookworm(keyring: str = RIGHT) -> dict[str, Any]:
    """Debian 12's suite on the server from which the host has its own."""
    targets = on_node(HOST, "apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages")
    return {
        "name": "bookworm",
        "uris": [targets.splitlines()[0]],
        "suites": ["bookworm"],
        "components": ["main"],
        "key": armored(keyring),
        "pin_priority": 100,
    }


def declare(version: int | None, *repositories: dict[str, Any]) -> None:
    """Declare the cluster of the spare host, with this version and these repositories."""
    address = yaml.safe_load((ROOT / "lab/spares.yml").read_text())["all"]["children"]["spare"]["hosts"][HOST]
    group = {"hosts": {HOST: address}}
    common = {"certificates_ca_directory": str(INVENTORY / ".pki"), "packages_repositories": list(repositories)}
    hosts = {"all": {"vars": common, "children": {"etcd": group, "postgresql": group}}}
    cluster = {"allow_single_etcd": True, "network": "198.51.100.0/24", "postgresql_version": version}
    topology = {"plugin": "holdfast.ha.topology", "clusters": {"older": cluster}}
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "hosts.yml").write_text(yaml.safe_dump(hosts, sort_keys=False))
    (FOLDER / "topology.ha.yml").write_text(yaml.safe_dump(topology, sort_keys=False))
    link = FOLDER / "group_vars"
    link.unlink(missing_ok=True)
    link.symlink_to(INVENTORY / "group_vars")


def run(playbook: Path, *arguments: str) -> Run:
    """Run a playbook on the spare host's cluster."""
    return run_playbook(playbook, *arguments, inventory=FOLDER)


def succeeded(playbook: Path, *arguments: str) -> Run:
    """Run a playbook that must succeed."""
    done = run(playbook, *arguments)
    assert done.code == 0, done.output[-6000:]
    return done


def refused(playbook: Path, *told: str) -> None:
    """Run a playbook that must fail with these words."""
    done = run(playbook)
    words = " ".join(done.output.split())
    assert done.code != 0, words[-4000:]
    assert all(part in words for part in told), words[-4000:]


def installed(package: str) -> bool:
    """Whether the host has a package."""
    return "ok installed" in attempt(HOST, "dpkg-query", "--show", "--showformat=${Status}", package).stdout


def candidate(package: str) -> str:
    """The version of a package that apt would install on the host."""
    lines = on_node(HOST, "env", "LC_ALL=C", "apt-cache", "policy", package).splitlines()
    return next(line.split()[1] for line in lines if line.strip().startswith("Candidate:"))


def psql(node: str, statement: str) -> str:
    """Run SQL as the superuser on a node."""
    return on_node(node, *as_postgres("psql", "-XAtqc", statement)).strip()


def started() -> dict[str, str]:
    """When each server of the lab's own cluster was started."""
    return {node: psql(node, "SELECT pg_postmaster_start_time()") for node in DATABASES}


@pytest.fixture(autouse=True, scope="module")
def beside_the_lab() -> Iterator[None]:
    """A bare spare host, and afterwards the lab as it was, with servers that were never restarted."""
    before = started()
    bare(HOST)
    yield
    lab_nodes("down", ROOT / "lab/spares.yml", HOST)
    shutil.rmtree(FOLDER, ignore_errors=True)
    assert started() == before
    assert_converged()


# On the bare host, nothing is installed yet


def test_a_version_that_debian_lacks_is_refused_before_anything_is_installed() -> None:
    declare(15)
    refused(SITE, "apt has no package postgresql-15; of PostgreSQL's server it has 17. Nothing was installed.")
    assert not installed("patroni")


def test_a_repository_with_a_wrong_key_leaves_nothing() -> None:
    declare(15, bookworm(WRONG))
    refused(SITE, "repository bookworm: apt refuses it, so nothing was written or installed")
    assert on_node(HOST, "sh", "-c", OURS) == ""
    assert not installed("patroni")


def test_a_version_that_the_repository_lacks() -> None:
    declare(16, bookworm())
    refused(SITE, "apt has no package postgresql-16; of PostgreSQL's server it has 15, 17.")
    assert not installed("patroni")
    # Now apt knows the repository, so the preflight does, too.
    refused(PREFLIGHT, "postgresql_version", "of PostgreSQL's server it has 15, 17", "nothing was changed")


# The cluster


def test_a_fresh_cluster_of_another_version() -> None:
    declare(15, bookworm())
    succeeded(SITE)
    assert psql(HOST, "SHOW server_version").startswith("15.")
    assert installed("postgresql-15")
    assert not installed("postgresql-17")
    assert attempt(HOST, "test", "-e", "/var/lib/postgresql/15/main").returncode != 0
    assert candidate("patroni").startswith("4.")  # Debian 13's: the repository is pinned
    settled()


def settled() -> None:
    """One more run changes nothing, and the cluster is healthy."""
    again = succeeded(SITE)
    assert not any(again.changed.values()), again.changed
    succeeded(STATUS, "-e", "status_wait=120")


def test_an_upgrade_and_a_downgrade_are_refused() -> None:
    before = psql(HOST, "SELECT pg_postmaster_start_time()")
    for version, verb in ((17, "an upgrade"), (14, "a downgrade")):
        declare(version, bookworm())
        refused(SITE, "clusters.older.postgresql_version", f"of PostgreSQL 15, declared {version}: that is {verb}")
    assert psql(HOST, "SELECT pg_postmaster_start_time()") == before
    assert not installed("postgresql-17")


def test_the_version_of_the_data_goes_on_without_a_declaration() -> None:
    declare(None, bookworm())
    settled()


def test_two_versions_side_by_side() -> None:
    on_node(HOST, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-qq", "postgresql-17")
    assert json.loads(on_node(HOST, "pg_lsclusters", "--json")) == []
    declare(None, bookworm())
    settled()
    assert psql(HOST, "SHOW server_version").startswith("15.")


def test_a_repository_that_is_no_longer_declared_goes() -> None:
    assert len(on_node(HOST, "sh", "-c", OURS).split()) == 3
    declare(15)
    assert succeeded(SITE).changed == {HOST: 1}
    assert on_node(HOST, "sh", "-c", OURS) == ""
    settled()
