# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A package cache for the nodes: they install real packages, but each package is downloaded only once."""

from __future__ import annotations

from lab.engine import Engine, wait_until
from lab.progress import step

_CONTAINER = "holdfast-packages"
_VOLUME = "holdfast-packages"
_PORT = 3142
_CONFIGURATION = "PassThroughPattern: .*\\nExThreshold: 30\\n"
_COMMAND = "exec /usr/sbin/apt-cacher-ng -c /etc/apt-cacher-ng ForeGround=1"


def serve(engine: Engine, node_image: str, network: str, address: str) -> str:
    """Start the cache at `address` in `network`; return the apt configuration that makes a node use it."""
    image = _image(engine, node_image)
    if engine.inspect("container", _CONTAINER) is None:
        engine.run(
            "create",
            f"--name={_CONTAINER}",
            f"--volume={_VOLUME}:/var/cache/apt-cacher-ng",
            image,
            "sh",
            "-c",
            _COMMAND,
        )
    engine.run("start", _CONTAINER)
    if network not in _networks(engine):
        engine.run("network", "connect", f"--ip={address}", network, _CONTAINER)
    wait_until(lambda: _listens(engine), seconds=30, what="the package cache's start")
    return f'Acquire::http::Proxy "http://{address}:{_PORT}";\n'


def leave(engine: Engine, network: str) -> None:
    """Remove the cache from a network, and stop it when no lab network is left; its volume stays."""
    if network in _networks(engine):
        engine.run("network", "disconnect", "--force", network, _CONTAINER)
    known = engine.inspect("container", _CONTAINER)
    if known is not None and not [name for name in _networks(engine) if name.startswith("holdfast-")]:
        engine.run("rm", "--force", _CONTAINER)


def _networks(engine: Engine) -> list[str]:
    known = engine.inspect("container", _CONTAINER)
    return list(known["NetworkSettings"]["Networks"]) if known else []


def _listens(engine: Engine) -> bool:
    return engine.succeeds("exec", _CONTAINER, "sh", "-c", f"ss -Hltn 'sport = :{_PORT}' | grep -q .")


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
