"""What one peer has announced: unicast routes and FlowSpec rules, each until it is withdrawn.

Answers for: RFC 4271 section 3.2 (Adj-RIB-In), RFC 4724 section 4.2 and RFC 7313 section 4 (stale routes).
"""

from __future__ import annotations

from collections.abc import Iterable

from tidegate.wire.bgp.attributes import Attributes
from tidegate.wire.bgp.constants import Family, Safi
from tidegate.wire.bgp.flow_rules import FlowRules
from tidegate.wire.bgp.flowspec import FlowRule
from tidegate.wire.bgp.prefix import Prefix
from tidegate.wire.bgp.update import Destination, Update

__all__ = ["RibIn"]


class RibIn:
    """The Adj-RIB-In of one peer."""

    def __init__(self) -> None:
        self.rules = {family: FlowRules(family.afi) for family in Family if family.safi is Safi.FLOWSPEC}
        self._routes: dict[Family, dict[Prefix, tuple[Attributes, bytes]]] = {
            family: {} for family in Family if family not in self.rules
        }
        self._stale: dict[Family, set[Prefix]] = {}

    def count(self, family: Family) -> int:
        """Return how many routes of a family there are."""
        return len(self.rules[family] if family in self.rules else self._routes[family])

    def take(self, update: Update) -> None:
        """Take an UPDATE: first what it withdraws, then what it announces."""
        for group in update.withdrawn:
            for destination in group.destinations:
                self._withdraw(group.family, destination)
        for group in update.announced:
            for destination in group.destinations:
                self._announce(group.family, destination, update.attributes, group.next_hop)

    def _announce(self, family: Family, destination: Destination, attributes: Attributes, next_hop: bytes) -> None:
        if isinstance(destination, FlowRule):
            self.rules[family].announce(destination, attributes, next_hop)
        else:
            self._routes[family][destination] = attributes, next_hop
            self._stale.get(family, set()).discard(destination)

    def _withdraw(self, family: Family, destination: Destination) -> None:
        if isinstance(destination, FlowRule):
            self.rules[family].withdraw(destination)
        else:
            self._routes[family].pop(destination, None)
            self._stale.get(family, set()).discard(destination)

    def mark_stale(self, families: Iterable[Family]) -> None:
        """Mark all routes of these families: those that do not come again are removed by `sweep`."""
        for family in families:
            if family in self.rules:
                self.rules[family].mark_stale()
            else:
                self._stale[family] = set(self._routes[family])

    def sweep(self, families: Iterable[Family]) -> int:
        """Remove what is still marked; return how many."""
        gone = 0
        for family in families:
            if family in self.rules:
                gone += self.rules[family].sweep()
                continue
            stale = self._stale.pop(family, set())
            gone += len(stale)
            for prefix in stale:
                del self._routes[family][prefix]
        return gone

    def clear(self, families: Iterable[Family]) -> None:
        """Forget all routes of these families."""
        for family in families:
            if family in self.rules:
                self.rules[family].clear()
            else:
                self._routes[family].clear()
                self._stale.pop(family, None)
