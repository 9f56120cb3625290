"""Tables of several peers as validation asks them, against all routes looked through one by one."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidegate.control.flow_routes import PeerTable, TableRoutes
from tidegate.control.flow_validation import (
    FEASIBLE,
    BestRoute,
    Condition,
    Infeasible,
    Policy,
    Side,
    claim_of,
    route_of,
    validate,
)
from tidegate.control.flowspec import parse_flow
from tidegate.data import route_kernels
from tidegate.kernel import compile_kernels
from tidegate.wire.bgp import update_scan
from tidegate.wire.bgp.attributes import Attributes, Segment
from tidegate.wire.bgp.constants import Afi, Family, Origin, SegmentType
from tidegate.wire.bgp.prefix import Prefix, mask, parse_address, parse_prefix
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.update import RouteGroup, Update

Said = tuple[int, Prefix, Attributes]  # peer, destination, attributes
PEERS = (parse_address("192.0.2.1"), parse_address("192.0.2.2"), parse_address("2001:db8::3"))
INTERNAL = (False, True, True)


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels((*route_kernels.KERNELS, *update_scan.KERNELS)))


def attributes(*asns: int, local_pref: int | None = None, originator: int | None = None) -> Attributes:
    path = (Segment(SegmentType.SEQUENCE, asns),) if asns else ()
    return Attributes(origin=Origin.IGP, as_path=path, local_pref=local_pref, originator_id=originator)


def tables(said: list[Said]) -> TableRoutes:
    ribs = [RibIn() for _ in PEERS]
    for peer, prefix, what in said:
        family = Family.IPV4_UNICAST if prefix.afi is Afi.IPV4 else Family.IPV6_UNICAST
        hop = ipaddress.ip_address("192.0.2.9" if prefix.afi is Afi.IPV4 else "2001:db8::9").packed
        ribs[peer].take(Update(announced=(RouteGroup(family, (prefix,), hop),), attributes=what))
    for rib in ribs:
        rib.finish()
    peers = [PeerTable(PEERS[number], INTERNAL[number], rib) for number, rib in enumerate(ribs)]
    return TableRoutes(lambda: peers)


def holds(outer: Prefix, inner: Prefix) -> bool:
    return (
        outer.afi is inner.afi and outer.length <= inner.length and mask(inner.address, outer.length) == outer.address
    )


def naive_order(peer: int, what: Attributes) -> tuple[int, int, bool, bytes]:
    """Return what is smaller for the better of two routes."""
    pref = 100 if what.local_pref is None else what.local_pref
    return -pref, sum(len(segment.asns) for segment in what.as_path or ()), INTERNAL[peer], PEERS[peer]


def naive_best(known: dict[tuple[int, Prefix], Attributes], prefix: Prefix) -> BestRoute | None:
    around = [
        (-destination.length, naive_order(peer, what), route_of(what, PEERS[peer]))
        for (peer, destination), what in known.items()
        if holds(destination, prefix)
    ]
    return min(around, key=lambda one: one[:2])[2] if around else None


prefixes = st.builds(
    lambda value, length, wide: Prefix(mask(bytes((value << 4, *([0] * (15 if wide else 3)))), length), length),
    st.integers(0, 15),
    st.integers(0, 6),
    st.booleans(),
)
saids = st.tuples(
    st.integers(0, 2),
    prefixes,
    st.builds(
        lambda asns, pref, originator: attributes(*asns, local_pref=pref, originator=originator),
        st.lists(st.integers(1, 3), max_size=3),
        st.sampled_from([None, 99, 100, 200]),
        st.sampled_from([None, 7]),
    ),
)


@given(said=st.lists(saids, max_size=25), prefix=prefixes)
@settings(deadline=None, max_examples=150)
def test_the_tables_say_what_all_routes_one_by_one_say(said: list[Said], prefix: Prefix) -> None:
    known = {(peer, destination): what for peer, destination, what in said}
    routes = tables(said)
    assert routes.best(prefix) == naive_best(known, prefix)
    inside = sorted({one for _, one in known if holds(prefix, one) and one != prefix}, key=lambda one: one)
    expected = [naive_best({key: what for key, what in known.items() if key[1] == one}, one) for one in inside]
    assert list(routes.more_specific(prefix)) == expected


RULE = parse_flow({"match": {"destination": "198.51.100.7", "protocol": "=17"}, "then": {"traffic-rate": 0}}).rule


def verdict(routes: TableRoutes, peer: int, what: Attributes) -> object:
    side = Side.INTERNAL if INTERNAL[peer] else Side.EXTERNAL
    return validate(RULE, claim_of(what, PEERS[peer], side), routes, Policy())


def test_a_rule_is_feasible_from_the_peer_that_the_traffic_goes_to() -> None:
    routes = tables([(0, parse_prefix("198.51.100.0/24"), attributes(65010, 65020))])
    assert verdict(routes, 0, attributes(65010)) == FEASIBLE
    refused = verdict(routes, 0, attributes(65099))
    assert isinstance(refused, Infeasible)
    assert refused.condition is Condition.LEFT_MOST_AS
    other = verdict(routes, 1, attributes(65010))
    assert isinstance(other, Infeasible)
    assert other.condition is Condition.ORIGINATOR
    assert verdict(routes, 1, attributes()) == FEASIBLE, "a controller of our own AS (RFC 9117)"


def test_a_more_specific_route_of_another_as_makes_it_infeasible() -> None:
    wide = parse_flow({"match": {"destination": "198.51.100.0/24"}, "then": {"traffic-rate": 0}}).rule
    said = [
        (0, parse_prefix("198.51.100.0/24"), attributes(65010)),
        (1, parse_prefix("198.51.100.64/26"), attributes(65030)),
    ]
    claim = claim_of(attributes(65010), PEERS[0], Side.EXTERNAL)
    found = validate(wide, claim, tables(said), Policy())
    assert isinstance(found, Infeasible)
    assert found.condition is Condition.MORE_SPECIFIC
    assert validate(wide, claim, tables(said[:1]), Policy()) == FEASIBLE
