# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package cache for the nodes: they install real packages, but each package is downloaded only once.

Its container also serves the lab's own repository, while there is one (lab/next_version.py).
"""

from __future__ import annotations

from pathlib import Path

from lab.engine import Engine, wait_until
from lab.progress import step

CONTAINER = "holdfast-packages"
_VOLUME = "holdfast-packages"
_PORT = 3142
_CONFIGURATION = "PassThroughPattern: .*\\nExThreshold: 30\\n"
_REPOSITORY = "/srv/next-version"
_REPOSITORY_PORT = 3143
_SERVER_PID = "/run/next-version.pid"
_SERVER = (
    f"echo $$ >{_SERVER_PID}; exec python3 -m http.server {_REPOSITORY_PORT} --directory {_REPOSITORY} >/dev/null 2>&1"
)
_COMMAND = "exec /usr/sbin/apt-cacher-ng -c /etc/apt-cacher-ng ForeGround=1"


def serve(engine: Engine, node_image: str, network: str, address: str) -> str:
    """Start the cache at `address` in `network`; return the apt configuration that makes a node use it."""
    image = _image(engine, node_image)
    if engine.inspect("container", CONTAINER) is None:
        engine.run(
            "create",
            f"--name={CONTAINER}",
            f"--volume={_VOLUME}:/var/cache/apt-cacher-ng",
            image,
            "sh",
            "-c",
            _COMMAND,
        )
    engine.run("start", CONTAINER)
    if network not in _networks(engine):
        engine.run("network", "connect", f"--ip={address}", network, CONTAINER)
    wait_until(lambda: _listens(engine, _PORT), seconds=30, what="the package cache's start")
    if engine.succeeds("exec", CONTAINER, "test", "-d", _REPOSITORY):
        publish(engine, address)
    return f'Acquire::http::Proxy "http://{address}:{_PORT}";\n'


def leave(engine: Engine, network: str) -> None:
    """Remove the cache from a network, and stop it when no lab network is left; its volume stays."""
    if network in _networks(engine):
        engine.run("network", "disconnect", "--force", network, CONTAINER)
    known = engine.inspect("container", CONTAINER)
    if known is not None and not [name for name in _networks(engine) if name.startswith("holdfast-")]:
        engine.run("rm", "--force", CONTAINER)


def publish(engine: Engine, address: str) -> str:
    """Serve the repository, which may still be empty; return its URL for the nodes in the network of `address`."""
    engine.run("exec", CONTAINER, "mkdir", "-p", _REPOSITORY)
    if not _listens(engine, _REPOSITORY_PORT):
        engine.run("exec", "--detach", CONTAINER, "sh", "-c", _SERVER)
    wait_until(lambda: _listens(engine, _REPOSITORY_PORT), seconds=30, what="the start of the packages' server")
    return f"http://{address}:{_REPOSITORY_PORT}"


def in_repository(engine: Engine, program: Path, stdin: str) -> str:
    """Run a Python program in the package host; its arguments are the repository's folder and the cache's URL."""
    inside = f"/srv/{program.name}"
    engine.run("cp", str(program), f"{CONTAINER}:{inside}")
    cache = f"http://127.0.0.1:{_PORT}"
    return engine.run("exec", "-i", CONTAINER, "python3", inside, _REPOSITORY, cache, stdin=stdin)


def withdraw(engine: Engine) -> None:
    """Remove the repository and stop its server; the cache goes on."""
    if CONTAINER in engine.containers(running_only=True):
        stop = f"[ ! -e {_SERVER_PID} ] || kill $(cat {_SERVER_PID}) || true; rm -rf {_SERVER_PID} {_REPOSITORY}"
        engine.run("exec", CONTAINER, "sh", "-c", stop)


def _networks(engine: Engine) -> list[str]:
    known = engine.inspect("container", CONTAINER)
    return list(known["NetworkSettings"]["Networks"]) if known else []


def _listens(engine: Engine, port: int) -> bool:
    return engine.succeeds("exec", CONTAINER, "sh", "-c", f"ss -Hltn 'sport = :{port}' | grep -q .")


def _image(engine: Engine, node_image: str) -> str:
    tag = node_image.replace("holdfast/node:", "holdfast/packages:")
    if engine.inspect("image", tag) is not None:
        return tag
    with step("building the package cache's image (once)"):
        install = (
            "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install --yes --no-install-recommends"
            f" apt-cacher-ng && printf '{_CONFIGURATION}' >>/etc/apt-cacher-ng/acng.conf"
        )
        builder = engine.run("run", "--detach", node_image, "sh", "-c", install).strip()
        try:
            if engine.run("wait", builder).strip() != "0":
                raise RuntimeError(engine.run("logs", "--tail=20", builder))
            engine.run("commit", builder, tag)
        finally:
            engine.run("rm", "--force", builder)
    return tag
