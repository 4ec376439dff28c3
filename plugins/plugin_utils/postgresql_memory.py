# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory parameters of PostgreSQL from the memory of its host. All sizes are MB."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """A parameter's minimum and maximum."""

    least: int
    most: int

    def clamp(self, size: int) -> int:
        """Return the size within the bounds."""
        return max(self.least, min(self.most, size))


SHARED_BUFFERS = Bounds(32, 16 * 1024)
MAINTENANCE_WORK_MEM = Bounds(16, 2 * 1024)
WORK_MEM = Bounds(4, 64)

SHARE_OF_SHARED_BUFFERS = 4
SHARE_OF_CACHE = 2
SHARE_OF_MAINTENANCE = 16
NODES_PER_QUERY = 3


def granule(memory: int) -> int:
    """Return the step to which sizes are rounded down, so that a few MB more or less change nothing."""
    return max(16, 1 << max(memory // 64, 1).bit_length() - 1)


def round_down(size: int, step: int) -> int:
    """Return the greatest multiple of ``step`` not above ``size``, but at least one step."""
    return max(step, size // step * step)


def memory_parameters(memory: int, max_connections: int) -> dict[str, str]:
    """Return the parameters for a host whose ``memory`` MB are all for PostgreSQL.

    Raises ValueError for a host without memory or without connections.
    """
    if memory <= 0 or max_connections <= 0:
        raise ValueError(f"memory ({memory} MB) and max_connections ({max_connections}) must be above 0")
    usable = round_down(memory, granule(memory))
    shared_buffers = SHARED_BUFFERS.clamp(usable // SHARE_OF_SHARED_BUFFERS)
    sizes = {
        "shared_buffers": shared_buffers,
        "effective_cache_size": shared_buffers + (usable - shared_buffers) // SHARE_OF_CACHE,
        "maintenance_work_mem": MAINTENANCE_WORK_MEM.clamp(usable // SHARE_OF_MAINTENANCE),
        "work_mem": WORK_MEM.clamp((usable - shared_buffers) // (max_connections * NODES_PER_QUERY)),
    }
    return {name: f"{size}MB" for name, size in sizes.items()}
