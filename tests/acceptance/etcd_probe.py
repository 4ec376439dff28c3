# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On an etcd member: which members answer a linearizable read, each half second, as a line of JSON.

    etcd_probe.py LOG SECONDS ADDRESS…

It ends after the seconds, or once the file LOG.stop is there.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException, HTTPSConnection
from pathlib import Path

PERIOD = 0.5
PATIENCE = 1


def healthy(address: str, tls: ssl.SSLContext) -> bool:
    """Whether a member answers."""
    try:
        connection = HTTPSConnection(address, 2379, context=tls, timeout=PATIENCE)
        connection.request("GET", "/health")
        return bool(json.load(connection.getresponse())["health"] == "true")
    except (OSError, ValueError, KeyError, HTTPException):
        return False


def main() -> None:
    """Write samples until it is time to end."""
    log, seconds, addresses = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    tls = ssl.create_default_context(cafile="/etc/holdfast/tls/ca.crt")
    tls.check_hostname = False
    tls.load_cert_chain("/etc/holdfast/tls/client.crt", "/etc/holdfast/tls/host.key")
    stop, end = Path(f"{log}.stop"), time.monotonic() + seconds
    with log.open("w") as out, ThreadPoolExecutor(len(addresses)) as pool:
        while time.monotonic() < end and not stop.exists():
            begun = time.monotonic()
            answers = pool.map(lambda address: healthy(address, tls), addresses)
            found = [address for address, answer in zip(addresses, answers, strict=True) if answer]
            print(json.dumps({"at": begun, "healthy": found}), file=out, flush=True)
            time.sleep(max(0.0, PERIOD - (time.monotonic() - begun)))


if __name__ == "__main__":
    main()
