"""FlowSpec rules that a peer has announced, in the order in which they are tried (RFC 8955 section 5.1)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from tidegate.wire.bgp.attributes import Attributes
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flow_order import rule_order
from tidegate.wire.bgp.flowspec import FlowRule

__all__ = ["FlowRules", "HeldRule"]


class HeldRule(msgspec.Struct, frozen=True):
    """One rule with what came along; `next_hop` is empty unless an action redirects to it."""

    rule: FlowRule
    attributes: Attributes
    next_hop: bytes = b""


class FlowRules:
    """The rules of one family and peer."""

    def __init__(self, afi: Afi) -> None:
        self.afi = afi
        self._held: dict[FlowRule, HeldRule] = {}
        self._stale: set[FlowRule] = set()

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[HeldRule]:
        return iter(self._held[rule] for rule in sorted(self._held, key=rule_order))

    @property
    def stale(self) -> int:
        """How many rules are marked and have not come again."""
        return len(self._stale)

    def announce(self, rule: FlowRule, attributes: Attributes, next_hop: bytes = b"") -> None:
        """Hold a rule, in place of the one that matches the same."""
        self._held[rule] = HeldRule(rule, attributes, next_hop)
        self._stale.discard(rule)

    def withdraw(self, rule: FlowRule) -> bool:
        """Forget a rule; tell whether it was held."""
        self._stale.discard(rule)
        return self._held.pop(rule, None) is not None

    def mark_stale(self) -> None:
        """Mark all rules: those that do not come again are removed by `sweep`."""
        self._stale = set(self._held)

    def sweep(self) -> int:
        """Remove what is still marked; return how many."""
        gone = len(self._stale)
        for rule in self._stale:
            del self._held[rule]
        self._stale = set()
        return gone

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self._stale.clear()
