"""FlowSpec rules that a peer has announced, in the order in which they are tried, and what has changed among them.

A rule is kept as the octets that `rule_order` makes of it, which hold all of it and sort as the specification says.
What has changed is told by versions: `changes(since)` gives what one needs who knew the state of that version, in one
step. Withdrawn rules are remembered for that up to a number; who asks for older changes is given everything.

Rules and what came with them may take so much memory and no more; a rule that would take more is not held, nor the one
that it was to replace, and is counted.

Answers for: RFC 8955 sections 4 (a later announcement of a rule replaces the earlier) and 5.1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import structs

from tidegate.wire.bgp.attributes import Attributes
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flow_order import ordered_rule, rule_order
from tidegate.wire.bgp.flowspec import FlowRule
from tidegate.wire.bgp.sorted_octets import SortedOctets

__all__ = ["FlowRules", "HeldRule", "RuleChanges"]

_REMEMBERED: Final = 4096  # withdrawn rules
_MOST_OCTETS: Final = 64 << 20  # of one family and peer: 100,000 rules of the usual kind
_EACH: Final = 640  # octets that a rule takes besides its own and those of lists of its attributes
_EACH_NUMBER: Final = 40  # octets that a number in such a list takes


class HeldRule(msgspec.Struct, frozen=True):
    """One rule with what came along; `next_hop` is empty unless an action redirects to it.

    Of the attributes those that held the rules of the UPDATE are left out.
    """

    rule: FlowRule
    attributes: Attributes
    next_hop: bytes = b""


class RuleChanges(msgspec.Struct, frozen=True):
    """What leads to `version`: where `whole`, the announced rules are all there are, in the order of trying.

    Else they are new, or others than before, in the order of their coming; no rule is among both.
    """

    version: int
    whole: bool
    announced: tuple[HeldRule, ...] = ()
    withdrawn: tuple[FlowRule, ...] = ()


class _Entry(msgspec.Struct, frozen=True):
    attributes: Attributes
    next_hop: bytes
    octets: int
    version: int


class FlowRules:
    """The rules of one family and peer. `refused` counts rules that were too many; `octets` is what is taken, about."""

    def __init__(self, afi: Afi, *, most_octets: int = _MOST_OCTETS) -> None:
        self.afi = afi
        self.version = 0
        self.octets = 0
        self.refused = 0
        self._most_octets = most_octets
        self._order = SortedOctets()
        self._held: OrderedDict[bytes, _Entry] = OrderedDict()  # by order; the latest change last
        self._gone: OrderedDict[bytes, int] = OrderedDict()  # withdrawn rules and the version that has it
        self._horizon = 0  # changes from this version on are remembered
        self._stale: set[bytes] = set()
        self._last = (Attributes(), Attributes(), 0)  # as given, as kept, octets: rules of one UPDATE share them

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[HeldRule]:
        """Yield the rules in the order in which they are tried."""
        return (self._rule(order) for order in self._order)

    def get(self, rule: FlowRule) -> HeldRule | None:
        """Return what is held of a rule."""
        order = rule_order(rule)
        return self._rule(order) if order in self._held else None

    @property
    def stale(self) -> int:
        """How many rules are marked and have not come again."""
        return len(self._stale)

    def announce(self, rule: FlowRule, attributes: Attributes, next_hop: bytes = b"") -> bool:
        """Hold a rule, in place of the one that matches the same; tell whether there was room for it."""
        order = rule_order(rule)
        if attributes is not self._last[0]:
            kept = structs.replace(attributes, mp_reach=None, mp_unreach=None)
            self._last = (attributes, kept, _weight(kept))
        _, kept, weight = self._last
        held = self._held.get(order)
        if held is not None and held.attributes == kept and held.next_hop == next_hop:
            self._stale.discard(order)
            return True
        octets = _EACH + 2 * len(order) + weight
        if self.octets - (held.octets if held is not None else 0) + octets > self._most_octets:
            self.refused += 1
            self._forget(order)
            return False
        self._put(order, held, _Entry(kept, next_hop, octets, self.version + 1))
        return True

    def _put(self, order: bytes, held: _Entry | None, entry: _Entry) -> None:
        if held is None:
            self._order.add(order)
        self.version += 1
        self.octets += entry.octets - (held.octets if held is not None else 0)
        self._held[order] = entry
        self._held.move_to_end(order)
        self._gone.pop(order, None)
        self._stale.discard(order)

    def withdraw(self, rule: FlowRule) -> bool:
        """Forget a rule; tell whether it was held."""
        return self._forget(rule_order(rule))

    def _forget(self, order: bytes) -> bool:
        held = self._held.pop(order, None)
        if held is None:
            return False
        self._order.remove(order)
        self._stale.discard(order)
        self.octets -= held.octets
        self.version += 1
        self._gone[order] = self.version
        if len(self._gone) > _REMEMBERED:
            _, self._horizon = self._gone.popitem(last=False)
        return True

    def mark_stale(self) -> None:
        """Mark all rules: those that do not come again are removed by `sweep`."""
        self._stale = set(self._held)

    def sweep(self) -> int:
        """Remove what is still marked; return how many."""
        gone = sorted(self._stale)
        for order in gone:
            self._forget(order)
        return len(gone)

    def clear(self) -> None:
        """Forget everything."""
        self.version += 1
        self._horizon = self.version
        self.octets = 0
        self._order.clear()
        self._held.clear()
        self._gone.clear()
        self._stale.clear()

    def changes(self, since: int) -> RuleChanges:
        """Return what has changed since a version; 0 is before the first rule."""
        if not self._horizon <= since <= self.version:
            return RuleChanges(self.version, whole=True, announced=tuple(self))
        announced = []
        for order, entry in reversed(self._held.items()):
            if entry.version <= since:
                break
            announced.append(self._rule(order))
        withdrawn = []
        for order, version in reversed(self._gone.items()):
            if version <= since:
                break
            withdrawn.append(ordered_rule(order, self.afi))
        return RuleChanges(
            self.version, whole=False, announced=tuple(announced[::-1]), withdrawn=tuple(withdrawn[::-1])
        )

    def _rule(self, order: bytes) -> HeldRule:
        entry = self._held[order]
        return HeldRule(ordered_rule(order, self.afi), entry.attributes, entry.next_hop)


def _weight(attributes: Attributes) -> int:
    """Return about how many octets the lists of attributes take."""
    path = sum(len(segment.asns) for segment in attributes.as_path or ())
    others = sum(len(raw.value) for raw in attributes.unknown)
    lists = (
        attributes.communities,
        attributes.cluster_list,
        attributes.extended,
        attributes.ipv6_extended,
        attributes.large,
    )
    return _EACH_NUMBER * (path + sum(map(len, lists)) + len(attributes.unknown)) + others
