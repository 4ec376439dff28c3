# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every harm needs a proof; an injection without one is not judged."""

from __future__ import annotations


class NotProvenError(Exception):
    """A fault that was injected but had no proven effect."""
