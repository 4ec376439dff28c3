# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The separate process of a drill or a soak: a plan on standard input, JSON lines on standard output.

When its standard input closes, its parent has ended: then the process heals everything and ends early.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.proof import NotProvenError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.nodes.session import AgentError, SessionLostError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.patience import GateError, StoppedError
from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.plan import Refusal

OPERATIONAL = (StoppedError, GateError, NotProvenError, Refusal, SessionLostError, AgentError)


def in_words(error: Exception) -> str:
    """Return an error as text."""
    if isinstance(error, StoppedError):
        return "interrupted"
    if isinstance(error, NotProvenError):
        return f"not proven: {error}"
    return str(error) if isinstance(error, OPERATIONAL) else f"the engine failed: {error!r}"


def trace() -> None:
    """Print the traceback, unless the reader has gone."""
    with contextlib.suppress(OSError):
        traceback.print_exc()


class Speaker:
    """Standard output; silent when the reader has gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.gone = threading.Event()

    def say(self, **message: Any) -> None:
        """Send one message."""
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            try:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            except OSError:
                self.gone.set()

    def tell(self, text: str) -> None:
        """Send a line of text."""
        self.say(text=text)


def watch(stop: threading.Event, speaker: Speaker) -> None:
    """Stop when standard input ends."""
    while os.read(0, 1):
        pass
    speaker.gone.set()
    stop.set()


def serve(run: Callable[[Mapping[str, Any], threading.Event, Speaker], int]) -> NoReturn:
    """Run the document on standard input, and exit with the code."""
    document = json.loads(sys.stdin.buffer.readline())
    stop, speaker = threading.Event(), Speaker()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: stop.set())
    threading.Thread(target=watch, args=(stop, speaker), daemon=True).start()
    code = run(document, stop, speaker)
    sys.stdout.flush()
    os._exit(code)  # threads may still block on a lost session
