"""Small unicast tables, and strategies for what asks rules of them: prefixes that often lie in one another."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tidegate.control.flow_validation import BestRoute, Claim, Policy, Side
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import Comparison, ComponentType, FlowRule, NumericComponent, NumericOp, PrefixComponent
from tidegate.wire.bgp.prefix import Prefix, mask, parse_prefix


class Table:
    """A table of one route a prefix, searched slowly."""

    def __init__(self, routes: dict[Prefix, BestRoute]) -> None:
        self.routes = routes

    def best(self, prefix: Prefix) -> BestRoute | None:
        for length in range(prefix.length, -1, -1):
            found = self.routes.get(Prefix(mask(prefix.address, length), length))
            if found is not None:
                return found
        return None

    def more_specific(self, prefix: Prefix) -> Iterator[BestRoute]:
        for one, route in self.routes.items():
            inside = one.afi is prefix.afi and one.length > prefix.length
            if inside and mask(one.address, prefix.length) == prefix.address:
                yield route


def flow_to(text: str, port: int | None = None) -> FlowRule:
    """Return a rule for this destination, and a destination port where one is given."""
    prefix = parse_prefix(text)
    first = PrefixComponent(ComponentType.DESTINATION, prefix)
    if port is None:
        return FlowRule(prefix.afi, (first,))
    ports = NumericComponent(ComponentType.DESTINATION_PORT, (NumericOp(Comparison.EQ, port, 1),))
    return FlowRule(prefix.afi, (first, ports))


def _near(afi: Afi) -> SearchStrategy[Prefix]:
    octets = 4 if afi is Afi.IPV4 else 16
    return st.builds(
        lambda first, length: Prefix(mask(bytes([first]) + bytes(octets - 1), length), length),
        st.sampled_from([0, 0x80, 0xC0, 0xE0]),
        st.sampled_from([0, 1, 2, 3, 8]),
    )


PREFIXES = st.sampled_from(Afi).flatmap(_near)
ADDRESSES = st.sampled_from([bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])])
ASNS = st.none() | st.sampled_from([65001, 65002])
ROUTES = st.builds(BestRoute, ADDRESSES, ASNS, ASNS)
TABLES = st.dictionaries(PREFIXES, ROUTES, max_size=4)
CLAIMS = st.builds(Claim, st.sampled_from(Side), ADDRESSES, ASNS, st.booleans())
POLICIES = st.builds(Policy, st.booleans(), st.booleans(), st.booleans())
DESTINATIONS = st.one_of(
    PREFIXES.map(lambda prefix: flow_to(str(prefix))),
    PREFIXES.map(lambda prefix: FlowRule(prefix.afi, (PrefixComponent(ComponentType.SOURCE, prefix),))),
)
