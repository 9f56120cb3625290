"""Routes and rules that routers have told, as objects: pages against the whole, and routes that may be announced."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgp_cases import INTERNAL, flow_routes, unicast_routes
from routed import route
from running import prepare
from tidegate.apps import received
from tidegate.apps.received import Page, all_routes, best_route, received_routes, received_rules, route_to, shown_rules
from tidegate.apps.routing import RouterTable
from tidegate.control.unicast import format_unicast, parse_unicast
from tidegate.errors import TidegateError
from tidegate.wire.bgp.feed import feed
from tidegate.wire.bgp.prefix import Prefix, parse_address, parse_prefix
from tidegate.wire.bgp.ribin import RibIn
from tidegate.wire.bgp.routes import FlowRoute, UnicastRoute, route_key
from tidegate.wire.bgp.update import encode_announce


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    prepare()


def rib_of(routes: Iterable[UnicastRoute | FlowRoute]) -> RibIn:
    rib = RibIn()
    for one in routes:
        list(feed(rib, [encode_announce(one, route_key(one), INTERNAL)], INTERNAL))
    rib.finish()
    return rib


def table_of(*ribs: RibIn) -> RouterTable:
    return RouterTable("192.0.2.254", 64500, "established", ribs)


def key(row: dict[str, object]) -> tuple[int, bytes, int]:
    prefix = parse_prefix(str(row["prefix"]))
    return len(prefix.address), prefix.address, prefix.length


@given(st.lists(unicast_routes(), max_size=12), st.lists(unicast_routes(), max_size=4), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_pages_together_are_the_table(routes: list[UnicastRoute], others: list[UnicastRoute], most: int) -> None:
    table = table_of(rib_of(routes), rib_of(others))
    whole = received_routes(table, Page(most=9999))
    assert [key(row) for row in whole] == sorted(key(row) for row in whole)
    wanted = {str(one.prefix) for one in (*routes, *others)}
    assert {row["prefix"] for row in whole} == wanted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(received, "_AT_ONCE", 1)
        patch.setattr(received, "_PAGE", most)
        paged = list(all_routes(lambda page: received_routes(table, page), inside=None, most=9999))
        assert paged == whole
        few = list(all_routes(lambda page: received_routes(table, page), inside=None, most=most))
    assert len({row["prefix"] for row in few}) == min(most, len(wanted))


@given(st.lists(unicast_routes(), min_size=1, max_size=8), st.data())
@settings(max_examples=40, deadline=None)
def test_those_inside_a_prefix_are_found(routes: list[UnicastRoute], data: st.DataObject) -> None:
    inside = data.draw(st.sampled_from(routes)).prefix
    length = data.draw(st.integers(0, inside.length))
    around = parse_prefix(str(Prefix(_cut(inside.address, length), length)))
    found = received_routes(table_of(rib_of(routes)), Page(9999, inside=around))
    wanted = {str(one.prefix) for one in routes if _holds(around, one.prefix)}
    assert {row["prefix"] for row in found} == wanted


def _cut(address: bytes, length: int) -> bytes:
    spare = 8 * len(address) - length
    return (int.from_bytes(address, "big") >> spare << spare).to_bytes(len(address), "big")


def _holds(around: Prefix, prefix: Prefix) -> bool:
    same = len(around.address) == len(prefix.address) and prefix.length >= around.length
    return same and _cut(prefix.address, around.length) == around.address


@given(unicast_routes())
@settings(max_examples=60, deadline=None)
def test_what_was_received_may_be_announced_as_it_is(told: UnicastRoute) -> None:
    (row,) = received_routes(table_of(rib_of([told])), Page())
    try:
        wanted = format_unicast(parse_unicast(format_unicast(told)))
    except TidegateError:
        return  # a default route, or a next hop that is refused
    shown = format_unicast(parse_unicast({**row, "more": "is ignored"}))
    assert shown == {"localpref": 100, **wanted}


def test_a_route_has_its_attributes_and_what_is_around_it() -> None:
    outer, inner = route("10.0.0.0/8", 1), route("10.1.0.0/16", 65010, 65011, communities=["1:2", "3:4"], med=0)
    table = table_of(rib_of([outer, inner]))
    assert best_route(table, parse_address("10.1.2.3")) == {
        "prefix": "10.1.0.0/16", "nexthop": "192.0.2.1", "aspath": "65010-65011", "origin": "IGP", "localpref": 100,
        "med": 0, "communities": "1:2-3:4", "parentprefix": "10.0.0.0/8",
    }  # fmt: skip
    assert best_route(table, parse_address("11.0.0.1")) is None
    assert best_route(table, parse_address("::1")) is None
    assert route_to(table, parse_prefix("10.1.0.0/17")) is None


def test_of_several_tables_the_longest_match_counts() -> None:
    one, two = rib_of([route("10.0.0.0/8", 1)]), rib_of([route("10.1.0.0/16", 2)])
    for table in (table_of(one, two), table_of(two, one)):
        for address, path in (("10.1.0.1", "2"), ("10.2.0.1", "1")):
            found = best_route(table, parse_address(address))
            assert found is not None
            assert found["aspath"] == path


@given(st.lists(flow_routes(), max_size=6, unique_by=route_key))
@settings(max_examples=40, deadline=None)
def test_every_rule_has_a_shape_and_words(routes: list[FlowRoute]) -> None:
    table = table_of(rib_of(routes))
    found = shown_rules(received_rules(table, 100))
    assert len(found) == len(routes)
    for row in found:
        assert row["matches"] is not None
        assert row["does"]
        assert {"match", "then"} <= row.keys() or {"components", "actions"} <= row.keys()
    assert shown_rules(received_rules(table, 2)) == found[:2]
