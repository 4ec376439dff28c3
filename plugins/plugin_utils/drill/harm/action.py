# Copyright: Holdfast contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The interface of all actions: each kind of harm is a class, and a fault holds an object of one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.gate import View

if TYPE_CHECKING:  # the catalogue can be read without sessions
    from ansible_collections.holdfast.ha.plugins.plugin_utils.drill.harm.tools import Tools


class Action(ABC):
    """One kind of harm. An action registers its undo step before it does anything.

    on_hosts, in_containers: a description of the harm there, as the end of a sentence.
    """

    __slots__ = ()
    on_hosts: ClassVar[str]
    in_containers: ClassVar[str]

    def words(self, containers: bool) -> str:
        """Return a description of the harm, as the end of a sentence."""
        return self.in_containers if containers else self.on_hosts

    @abstractmethod
    def inject(self, tools: Tools, targets: Sequence[str], view: View) -> str:
        """Do the harm and return its proof; raises NotProvenError, SessionLostError or AgentError."""

    def still(self, tools: Tools, targets: Sequence[str]) -> str:  # noqa: ARG002 - for actions with such a proof
        """Return the proof that the harm still lasts, just before healing; raises NotProvenError."""
        return ""

    def hindrance(self, tools: Tools) -> str:  # noqa: ARG002
        """Return why the action is not available on these hosts, "" when it is."""
        return ""

    def darkens(self, tools: Tools) -> bool:  # noqa: ARG002
        """Return whether no process runs on the targets, so that they can't be observed."""
        return False

    def lasts(self, tools: Tools) -> bool:  # noqa: ARG002
        """Return whether the harm lasts until it is healed."""
        return True
