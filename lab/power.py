# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's counterpart of a management controller: it reports which of the lab's nodes are off.

python -m lab.power up inventory/lab/hosts.yml      start holdfast-power at .251 of the nodes' network
python -m lab.power down inventory/lab/hosts.yml    remove it

It asks the engine through its socket (docker), and never changes anything.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from lab.engine import Engine, LabError, ready_engine, wait_until
from lab.image import node_image
from lab.nodes import network_of, read_inventory
from lab.progress import say

_CONTAINER = "holdfast-power"
_HOST = 251
_SOCKET = Path("/var/run/docker.sock")
_SERVER = Path(__file__).resolve().parent / "fencing/power_server.py"


def up(engine: Engine, inventory: Path) -> None:
    """Start the controller in the nodes' network."""
    if not _SOCKET.is_socket():
        raise LabError(f"{_SOCKET} is not a socket: only docker reports in this way which containers run")
    network = network_of(read_inventory(inventory))
    down(engine)
    engine.run(
        "run",
        "--detach",
        f"--name={_CONTAINER}",
        f"--network={network.name}",
        f"--ip={network.subnet.network_address + _HOST}",
        f"--volume={_SOCKET}:{_SOCKET}",
        f"--volume={_SERVER}:/power_server.py:ro",
        node_image(engine, os.environ.get("LAB_OS", "trixie")),
        "python3",
        "/power_server.py",
    )
    wait_until(lambda: "serving" in engine.run("logs", _CONTAINER), seconds=20, what="the start of holdfast-power")


def down(engine: Engine) -> None:
    """Remove it."""
    if _CONTAINER in engine.containers():
        engine.run("rm", "--force", _CONTAINER)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("up", "down"))
    parser.add_argument("inventory", type=Path, help="the inventory file of the nodes")
    arguments = parser.parse_args()
    try:
        engine = ready_engine()
        if arguments.action == "down":
            down(engine)
        else:
            up(engine, arguments.inventory)
    except LabError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
