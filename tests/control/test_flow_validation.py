from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_tables import CLAIMS, DESTINATIONS, POLICIES, TABLES, Table, flow_to
from tidegate.control.flow_validation import (
    FEASIBLE,
    BestRoute,
    Claim,
    Condition,
    Infeasible,
    Policy,
    Side,
    claim_of,
    destination_of,
    route_of,
    validate,
)
from tidegate.wire.bgp.attributes import Attributes, Segment
from tidegate.wire.bgp.constants import Afi, SegmentType
from tidegate.wire.bgp.flowspec import ComponentType, FlowRule, PrefixComponent
from tidegate.wire.bgp.prefix import Prefix, mask, parse_prefix

PEER, OTHER = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
RULE = flow_to("203.0.113.0/24")
OURS = BestRoute(PEER, 65001, 65001)
EXTERNAL = Claim(Side.EXTERNAL, PEER, 65001, local=False)
CONTROLLER = Claim(Side.INTERNAL, OTHER, None, local=True)
COVER = parse_prefix("203.0.112.0/22")
INSIDE = parse_prefix("203.0.113.128/25")


def seq(*asns: int) -> Segment:
    return Segment(SegmentType.SEQUENCE, asns)


def confed(*asns: int) -> Segment:
    return Segment(SegmentType.CONFED_SEQUENCE, asns)


CASES = {
    "the one who routes it": (EXTERNAL, {COVER: OURS}, None),
    "no route": (EXTERNAL, {}, (Condition.ORIGINATOR, "no unicast route covers 203.0.113.0/24")),
    "a route elsewhere": (
        EXTERNAL,
        {parse_prefix("198.51.100.0/24"): OURS},
        (Condition.ORIGINATOR, "no unicast route covers"),
    ),
    "another routes it": (
        EXTERNAL,
        {COVER: BestRoute(OTHER, 65001, 65001)},
        (Condition.ORIGINATOR, r"it is from 192\.0\.2\.1, the unicast route to 203\.0\.113\.0/24 is from 192\.0\.2\.2"),
    ),
    "another routes the longest match": (
        EXTERNAL,
        {COVER: OURS, parse_prefix("203.0.113.0/24"): BestRoute(OTHER, 65002, 65002)},
        (Condition.ORIGINATOR, "is from"),
    ),
    "another first AS": (
        EXTERNAL,
        {COVER: BestRoute(PEER, 65002, 65002)},
        (Condition.LEFT_MOST_AS, "its path begins with AS 65001, the unicast route to .* goes to AS 65002"),
    ),
    "a first AS, and a route of our own": (
        EXTERNAL,
        {COVER: BestRoute(PEER, None, None)},
        (Condition.LEFT_MOST_AS, "goes to no other AS"),
    ),
    "an external path that begins with a set": (
        Claim(Side.EXTERNAL, PEER, None, local=False),
        {COVER: BestRoute(PEER, None, None)},
        (Condition.LEFT_MOST_AS, "its path begins with no AS"),
    ),
    "an external path that is empty": (
        Claim(Side.EXTERNAL, PEER, None, local=True),
        {COVER: OURS},
        (Condition.LEFT_MOST_AS, "its path begins with no AS"),
    ),
    "more specific of the same AS": (EXTERNAL, {COVER: OURS, INSIDE: BestRoute(OTHER, 65001, 65001)}, None),
    "more specific of another AS": (
        EXTERNAL,
        {COVER: OURS, INSIDE: BestRoute(PEER, 65002, 65002)},
        (Condition.MORE_SPECIFIC, "inside 203.0.113.0/24, which is routed to AS 65001, there is .* to AS 65002"),
    ),
    "more specific of our own": (
        EXTERNAL,
        {COVER: OURS, INSIDE: BestRoute(PEER, None, None)},
        (Condition.MORE_SPECIFIC, "there is a more specific route to our own AS"),
    ),
    "the same prefix is not more specific": (
        EXTERNAL,
        {parse_prefix("203.0.113.0/24"): OURS},
        None,
    ),
    "a controller of our own": (CONTROLLER, {COVER: OURS}, None),
    "a controller, and no route": (CONTROLLER, {}, None),
    "a controller, no route, and a more specific one of our own": (
        CONTROLLER,
        {INSIDE: BestRoute(PEER, None, None)},
        None,
    ),
    "a controller, no route, and a more specific one of another AS": (
        CONTROLLER,
        {INSIDE: OURS},
        (Condition.MORE_SPECIFIC, "which is routed to our own, there is a more specific route to AS 65001"),
    ),
    "an internal peer with a path of another AS": (
        Claim(Side.INTERNAL, PEER, 65009, local=False),
        {COVER: OURS},
        None,
    ),
    "a member AS of the confederation": (Claim(Side.CONFEDERATION, OTHER, None, local=True), {COVER: OURS}, None),
}


@pytest.mark.parametrize(("claim", "table", "failure"), CASES.values(), ids=CASES.keys())
def test_cases(claim: Claim, table: dict[Prefix, BestRoute], failure: tuple[Condition, str] | None) -> None:
    verdict = validate(RULE, claim, Table(table), Policy())
    if failure is None:
        assert verdict is FEASIBLE
        return
    assert isinstance(verdict, Infeasible)
    assert verdict.condition is failure[0]
    assert re.search(failure[1], verdict.reason), verdict.reason


def test_policies() -> None:
    assert validate(RULE, EXTERNAL, Table({}), Policy(check=False)) is FEASIBLE
    refused = validate(RULE, CONTROLLER, Table({COVER: OURS}), Policy(local_path=False))
    assert isinstance(refused, Infeasible)
    assert refused.condition is Condition.ORIGINATOR


def component(type_: ComponentType, text: str, offset: int = 0) -> PrefixComponent:
    return PrefixComponent(type_, parse_prefix(text), offset)


@pytest.mark.parametrize(
    "rule",
    [
        FlowRule(Afi.IPV4, (component(ComponentType.SOURCE, "203.0.113.0/24"),)),
        FlowRule(Afi.IPV6, (component(ComponentType.DESTINATION, "::12/128", 64),)),
        FlowRule(Afi.IPV4, ()),
    ],
)
def test_without_a_destination_there_is_nothing_to_check(rule: FlowRule) -> None:
    assert destination_of(rule) is None
    verdict = validate(rule, CONTROLLER, Table({}), Policy())
    assert isinstance(verdict, Infeasible)
    assert verdict.condition is Condition.DESTINATION
    assert validate(rule, EXTERNAL, Table({}), Policy(no_destination=True)) is FEASIBLE


@pytest.mark.parametrize(
    ("path", "left_most", "local"),
    [
        ((), None, True),
        (None, None, False),
        ((confed(65100, 65101),), None, True),
        ((confed(65100), seq(65001, 65002)), 65001, False),
        ((seq(65001, 65002),), 65001, False),
        ((Segment(SegmentType.SET, (65001,)),), None, False),
        ((Segment(SegmentType.CONFED_SET, (65100,)),), None, False),
        ((Segment(SegmentType.CONFED_SET, (65100,)), seq(65001)), 65001, False),
        ((Segment(SegmentType.SET, (65003,)), seq(65001)), None, False),
        ((seq(),), None, False),
    ],
)
def test_paths(path: tuple[Segment, ...] | None, left_most: int | None, local: bool) -> None:  # noqa: FBT001
    attributes = Attributes(as_path=path)
    assert claim_of(attributes, PEER, Side.INTERNAL) == Claim(Side.INTERNAL, PEER, left_most, local)
    assert route_of(attributes, PEER) == BestRoute(PEER, left_most, left_most)


def test_the_originator_is_that_of_the_reflected_route_before_the_peer() -> None:
    reflected = Attributes(as_path=(seq(65001),), originator_id=0xC0000202)
    claim = claim_of(reflected, PEER, Side.INTERNAL)
    assert claim.originator == route_of(reflected, PEER).originator == OTHER
    assert validate(RULE, claim, Table({COVER: route_of(reflected, PEER)}), Policy()) is FEASIBLE
    direct = route_of(Attributes(as_path=(seq(65001),)), PEER)
    assert isinstance(validate(RULE, claim, Table({COVER: direct}), Policy()), Infeasible)


def naive(prefix: Prefix | None, claim: Claim, table: dict[Prefix, BestRoute], policy: Policy) -> bool:
    """Read the conditions from the specification, one a line, over the whole table."""
    if not policy.check:
        return True
    if prefix is None:
        return policy.no_destination

    def covers(outer: Prefix, inner: Prefix) -> bool:
        same = outer.afi is inner.afi and outer.length <= inner.length
        return same and mask(inner.address, outer.length) == outer.address

    covering = [(one.length, route) for one, route in table.items() if covers(one, prefix)]
    best = max(covering, key=lambda pair: pair[0])[1] if covering else None
    inside = [route for one, route in table.items() if covers(prefix, one) and one != prefix]
    b1 = best is not None and best.originator == claim.originator
    b2 = policy.local_path and claim.local
    c = all(route.neighbor_as == (best.neighbor_as if best else None) for route in inside)
    first = best is not None and claim.left_most_as is not None and claim.left_most_as == best.left_most_as
    return (b1 or b2) and c and (first or claim.side is not Side.EXTERNAL)


@given(DESTINATIONS, CLAIMS, TABLES, POLICIES)
def test_it_is_what_the_specification_says(
    rule: FlowRule, claim: Claim, table: dict[Prefix, BestRoute], policy: Policy
) -> None:
    verdict = validate(rule, claim, Table(table), policy)
    assert (verdict is FEASIBLE) == naive(destination_of(rule), claim, table, policy)


def test_more_specific_routes_are_looked_at_no_further_than_needed() -> None:
    class Long(Table):
        def more_specific(self, prefix: Prefix) -> Iterator[BestRoute]:
            del prefix
            yield BestRoute(PEER, 65002, 65002)
            pytest.fail("the first one decides")

    assert isinstance(validate(RULE, EXTERNAL, Long({COVER: OURS}), Policy()), Infeasible)


def test_strategies_reach_every_condition() -> None:
    """Guard the property above: each condition is drawn, and so is a rule that passes."""
    found: set[Condition | None] = set()

    @given(DESTINATIONS, CLAIMS, TABLES, st.just(Policy()))
    def draw(rule: FlowRule, claim: Claim, table: dict[Prefix, BestRoute], policy: Policy) -> None:
        verdict = validate(rule, claim, Table(table), policy)
        found.add(verdict.condition if isinstance(verdict, Infeasible) else None)

    draw()
    assert found == {None, *Condition}
