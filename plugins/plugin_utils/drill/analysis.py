# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recorded injection says: gaps, losses, and which invariants broke. Pure: a ledger in, a verdict out."""

from __future__ import annotations

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.model import Budget, Ledger, Verdict


def judge(ledger: Ledger, budget: Budget) -> Verdict:
    """Return what one injection cost and everything it broke."""
    raise NotImplementedError
