# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The harms that an agent does to its own node, each with a timer there that undoes it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TABLE = "holdfast_drill"
UNIT = "holdfast-drill"
FAMILIES = ("inet", "netdev")
UNCUT = ("sh", "-c", "".join(f"nft delete table {family} {TABLE} 2>/dev/null; " for family in FAMILIES) + "true")
DEVICES = Path("/sys/class/net")


class HarmError(Exception):
    """A command of the node failed."""


def run(argv: list[str], seconds: float = 30.0, text: str = "") -> dict[str, Any]:
    """Run a command; its code, output and errors."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return {"code": -1, "out": "", "err": str(error)}
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def must(argv: list[str], text: str = "") -> str:
    """Run a command that has to succeed; return its output."""
    done = run(argv, text=text)
    if done["code"]:
        raise HarmError(f"{' '.join(argv[:4])}: {done['err'].strip() or done['code']}")
    return str(done["out"])


class Harms:
    """The harms of this agent; heal() undoes all of them in reverse order."""

    def __init__(self) -> None:
        self._undo: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        self._undone: dict[str, threading.Event] = {}

    def arm(self, name: str, seconds: float, undo: list[str]) -> None:
        """Let systemd undo a harm after some seconds. Call this before the harm."""
        unit = f"{UNIT}-{name}"
        run(["systemctl", "stop", f"{unit}.timer", f"{unit}.service"])
        timer = ["--timer-property=AccuracySec=100ms", f"--on-active={seconds:g}"]
        must(["systemd-run", "--quiet", "--collect", f"--unit={unit}", *timer, *undo])
        self._undo[name] = undo
        self._undone[name] = threading.Event()

    def undo(self, name: str) -> None:
        """Undo a harm and disarm its timer; without effect when that is done already."""
        with self._lock:
            command = self._undo.pop(name, None)
            if command:
                self._undone[name].set()
                run(command)
        run(["systemctl", "stop", f"{UNIT}-{name}.timer"])

    def pulses(
        self,
        *,
        name: str,
        seconds: float,
        harm: list[str],
        undo: list[str],
        look: list[str],
        rhythm: tuple[float, float, int],
        text: str = "",
    ) -> list[list[Any]]:
        """Do a harm for a time and undo it, so many times; return [begin, end, code and output of look] of each.

        The node keeps the times itself, because a request takes a part of the shortest harm. undo() ends it early.
        look runs just before the harm is undone.

        :arg seconds: after which systemd undoes it in any case.
        :arg rhythm: the seconds of the harm, the seconds between two, and their number.
        :arg text: the harm's input.
        """
        on, off, times = rhythm
        self.arm(name, seconds, undo)
        undone = self._undone[name]
        found: list[list[Any]] = []
        try:
            for turn in range(times):
                if turn and undone.wait(off):
                    break
                with self._lock:
                    if undone.is_set():
                        break
                    must(harm, text=text)
                begin = time.monotonic()
                undone.wait(on)
                shown = run(look)
                found.append([begin, time.monotonic(), shown["code"], shown["out"]])
                run(undo)
        finally:
            self.undo(name)
        return found

    def isolate(self, rules: str, seconds: float, mute: Sequence[str] = ()) -> bool:
        """Load the drill's own packet filter; return whether the muted addresses are no longer announced.

        A host that still answers ARP attracts clients that it can't serve. Kernels before 5.16 can't mute ARP.
        """
        self.arm("isolation", seconds, list(UNCUT))
        run(list(UNCUT))
        must(["nft", "-f", "-"], text=rules)
        four = [address for address in mute if ":" not in address]  # IPv6 announces addresses in ordinary packets
        devices = [device.name for device in sorted(DEVICES.iterdir()) if device.name != "lo"]
        return not four or run(["nft", "-f", "-"], text=muting(four, devices))["code"] == 0

    def heal(self) -> None:
        """Undo everything."""
        for name in reversed(list(self._undo)):
            self.undo(name)


def muting(addresses: Sequence[str], devices: Sequence[str]) -> str:
    """Return the nft rules that drop ARP claims of the addresses by this host, those of keepalived included."""
    return "\n".join([
        f"table netdev {TABLE} {{",
        "  chain egress {",
        f"    type filter hook egress devices = {{ {', '.join(devices)} }} priority -400; policy accept;",
        f"    ether type arp arp saddr ip {{ {', '.join(addresses)} }} counter drop",
        "  }",
        "}",
        "",
    ])  # fmt: skip


def dropped_packets() -> dict[str, Any]:
    """Return the packets that the drill's table dropped: {"present": bool, "packets": int, "muted": bool}."""
    listed = run(["nft", "list", "table", "inet", TABLE])
    words = listed["out"].split()
    packets = [int(words[at + 1]) for at, word in enumerate(words) if word == "packets"]
    muted = run(["nft", "list", "table", "netdev", TABLE])["code"] == 0
    return {"present": listed["code"] == 0, "packets": sum(packets), "muted": muted}
