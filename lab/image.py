# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node image: a bare Debian with systemd, sshd and Python, like a fresh cloud host."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.engine import Engine, LabError, install_debian_packages
from lab.progress import step

_NODE_FILES = Path(__file__).parent / "node"
_RELEASES = ("trixie", "bookworm")
_PACKAGES = (
    "systemd,systemd-sysv,dbus,libpam-systemd,python3,python3-apt,openssh-server,sudo,iproute2,iputils-ping,procps,"
    "ca-certificates,nftables"
)

_MASKED_UNITS = (
    "systemd-modules-load.service systemd-udevd.service systemd-logind.service "
    "apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer"
)


def node_image(engine: Engine, release: str) -> str:
    """Return the tag of a Debian release's node image, which is built if it is missing or its recipe has changed."""
    if release not in _RELEASES:
        raise LabError(f"LAB_OS={release} is not a release this lab can build; choose one of {', '.join(_RELEASES)}")
    tag = f"holdfast/node:{release}-{_recipe_digest()}"
    if engine.inspect("image", tag) is None:
        _build(engine, release, tag)
    return tag


def _recipe_digest() -> str:
    recipe = hashlib.sha256(_PACKAGES.encode())
    for path in [Path(__file__), *sorted(_NODE_FILES.iterdir())]:
        recipe.update(path.read_bytes())
    return recipe.hexdigest()[:12]


def _build(engine: Engine, release: str, tag: str) -> None:
    if not shutil.which("mmdebstrap"):
        install_debian_packages("mmdebstrap")
    with tempfile.TemporaryDirectory() as scratch, step(f"building the {release} node image (about a minute, once)"):
        archive = Path(scratch) / "node.tar"
        _debootstrap(release, archive)
        engine.run("import", "--change", 'CMD ["/usr/local/sbin/lab-node-init"]', str(archive), tag)


def _debootstrap(release: str, archive: Path) -> None:
    hooks = [
        f"copy-in {_NODE_FILES}/ssh-host-keys.service /etc/systemd/system",
        f"upload {_NODE_FILES}/init /usr/local/sbin/lab-node-init",
        'chmod 0755 "$1/usr/local/sbin/lab-node-init"',
        *(hook for unit in ("systemd-poweroff", "systemd-halt") for hook in _stays_off(unit)),
        'rm -f "$1"/etc/ssh/ssh_host_*',
        'chroot "$1" systemctl enable ssh.service ssh-host-keys.service',
        f'chroot "$1" systemctl mask {_MASKED_UNITS}',
        'install -d -m 0700 "$1/root/.ssh"',
    ]
    command = ["mmdebstrap", "--variant=minbase", f"--include={_PACKAGES}"]
    command += [f"--customize-hook={hook}" for hook in hooks]
    result = subprocess.run([*command, release, str(archive)], capture_output=True, text=True, check=False)
    if result.returncode:
        raise LabError(f"mmdebstrap {release} failed: {result.stderr.strip()[-800:]}")


def _stays_off(unit: str) -> tuple[str, str]:
    folder = f"/etc/systemd/system/{unit}.service.d"
    return f'mkdir -p "$1"{folder}', f"copy-in {_NODE_FILES}/stays-off.conf {folder}"
