"""What a peer has announced, against a dict; and what lookups say of it."""

from __future__ import annotations

import ipaddress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgp_cases import EXTERNAL, INTERNAL, flow_routes, unicast_routes
from tidegate.data import route_found, route_kernels
from tidegate.data.address import parse_address
from tidegate.data.forms import FORMS, Form
from tidegate.data.rib import Found
from tidegate.kernel import compile_kernels
from tidegate.units import Asn
from tidegate.wire.bgp import update_scan
from tidegate.wire.bgp.attributes import Attributes, Segment
from tidegate.wire.bgp.constants import Afi, Family, Origin, SegmentType
from tidegate.wire.bgp.message import maybe_message
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.prefix import Prefix, parse_prefix
from tidegate.wire.bgp.ribin import RibIn, attributes_of
from tidegate.wire.bgp.routes import FlowRoute, UnicastRoute, route_key
from tidegate.wire.bgp.update import RouteGroup, Update, decode_update, encode_announce, encode_withdraw
from tidegate.wire.bgp.update_scan import scan_run
from tidegate.wire.cursor import Reader

UNICAST = (Family.IPV4_UNICAST, Family.IPV6_UNICAST)


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    list(compile_kernels((*route_kernels.KERNELS, *route_found.KERNELS, *update_scan.KERNELS)))


def body_of(octets: bytes) -> bytes:
    message = maybe_message(Reader(octets), 65535)
    assert message is not None
    return message.body


def contents(rib: RibIn) -> dict[Prefix, tuple[Attributes, bytes]]:
    rib.finish()
    found = {}
    for family in UNICAST:
        width = 4 if family.afi is Afi.IPV4 else 16
        for held in rib.tables[family].held():
            found[Prefix(held.prefix.to_bytes(width, "big"), held.length, held.path_id)] = attributes_of(held)
    return found


def plain(attributes: Attributes) -> dict[str, Any]:
    """Return attributes without those that only say where the routes stand."""
    names = ("origin", "as_path", "med", "local_pref", "communities", "large", "extended", "originator_id")
    return {name: getattr(attributes, name) for name in names}


@given(
    steps=st.lists(st.tuples(unicast_routes(), st.booleans(), st.booleans()), max_size=20),
    session=st.sampled_from((EXTERNAL, INTERNAL)),
)
@settings(deadline=None)
def test_both_ways_into_the_table_leave_the_same(
    steps: list[tuple[UnicastRoute, bool, bool]], session: Negotiated
) -> None:
    fast, slow, known = RibIn(), RibIn(), dict[Prefix, tuple[dict[str, Any], bytes]]()
    for route, announces, _ in steps:
        key = route_key(route)
        octets = encode_announce(route, key, session) if announces else encode_withdraw(key, session)
        update = decode_update(body_of(octets), session)
        run = scan_run(octets, 0, session)
        assert run is not None
        fast.take_run(run)
        slow.take(update)
        if announces:
            known[route.prefix] = plain(update.attributes), route.next_hop
        else:
            known.pop(route.prefix, None)
    for rib in (fast, slow):
        assert {prefix: (plain(one), hop) for prefix, (one, hop) in contents(rib).items()} == known
        assert sum(rib.count(family) for family in UNICAST) == len(known)
    assert fast.announced == slow.announced == sum(announces for _, announces, _ in steps)


@given(routes=st.lists(flow_routes(), max_size=10))
@settings(deadline=None)
def test_rules_are_held_until_they_are_withdrawn(routes: list[FlowRoute]) -> None:
    rib = RibIn()
    for route in routes:
        octets = encode_announce(route, route_key(route), EXTERNAL)
        rib.take(decode_update(body_of(octets), EXTERNAL))
    held = {one.rule for rules in rib.rules.values() for one in rules}
    assert held == {route.rule for route in routes}
    for route in routes:
        rib.take(decode_update(body_of(encode_withdraw(route_key(route), EXTERNAL)), EXTERNAL))
    assert sum(len(rules) for rules in rib.rules.values()) == 0


def attributes(*asns: int, local_pref: int | None = None, communities: tuple[int, ...] = ()) -> Attributes:
    path = (Segment(SegmentType.SEQUENCE, asns),) if asns else ()
    return Attributes(origin=Origin.IGP, as_path=path, local_pref=local_pref, communities=communities)


def announce(rib: RibIn, text: str, said: Attributes, next_hop: str, *, path_id: int = 0) -> None:
    prefix = parse_prefix(text)
    prefix = Prefix(prefix.address, prefix.length, path_id)
    family = Family.IPV4_UNICAST if prefix.afi is Afi.IPV4 else Family.IPV6_UNICAST
    hop = ipaddress.ip_address(next_hop).packed
    rib.take(Update(announced=(RouteGroup(family, (prefix,), hop),), attributes=said))


def table() -> RibIn:
    rib = RibIn()
    announce(rib, "0.0.0.0/0", attributes(65010), "192.0.2.1")
    announce(rib, "198.51.100.0/24", attributes(65010, 65020, 65030, local_pref=200, communities=(1, 2)), "192.0.2.2")
    announce(rib, "198.51.100.128/25", attributes(), "192.0.2.3")
    announce(rib, "203.0.113.0/24", attributes(65010), "2001:db8::9")
    announce(rib, "2001:db8::/32", attributes(4_200_000_000, 65040, communities=(0xFFFF029A,)), "2001:db8::1")
    rib.finish()
    return rib


def ask(rib: RibIn, *addresses: str, next_hops: tuple[str, ...] = ()) -> Found:
    words = np.array([parse_address(text) for text in addresses], np.uint64).T
    hops = np.array([parse_address(text) for text in next_hops], np.uint64).T if next_hops else None
    return rib.lookup(words[0], words[1], hops)


def shown(found: Found, form: Form, start: str, stop: str) -> list[str]:
    spelling = FORMS[form].spelling
    assert spelling is not None
    spans = zip(getattr(found, start).tolist(), getattr(found, stop).tolist(), strict=True)
    return [spelling.text(found.data[one:other].tobytes()) for one, other in spans]


def test_lookups_say_all_that_keys_need() -> None:
    found = ask(table(), "198.51.100.1", "198.51.100.200", "8.8.8.8", "2001:DB8::55", "2001:DB9::1", "203.0.113.7")
    assert found.row.tolist()[4] == -1, "no default route for IPv6"
    rows = found.row[[0, 1, 2, 3, 5]]
    prefix = [FORMS[Form.PREFIX].format(tuple(int(word) for word in found.prefix[:, row])) for row in rows]
    assert prefix == ["198.51.100.0/24", "198.51.100.128/25", "0.0.0.0/0", "2001:DB8::/32", "203.0.113.0/24"]
    hops = [FORMS[Form.ADDRESS].format(tuple(int(word) for word in found.next_hop[:, row])) for row in rows]
    assert hops == ["192.0.2.2", "192.0.2.3", "192.0.2.1", "2001:DB8::1", "2001:DB8::9"]
    assert found.local_pref[rows].tolist() == [200, -1, -1, -1, -1]
    assert found.origin_as[rows].tolist() == [65030, -1, 65010, 65040, 65010]
    assert found.peer_as[rows].tolist() == [65010, -1, 65010, 4_200_000_000, 65010]
    paths = shown(found, Form.AS_PATH, "path_start", "path_stop")
    assert [paths[row] for row in rows] == ["65010-65020-65030", "", "65010", "4200000000-65040", "65010"]
    communities = shown(found, Form.COMMUNITIES, "communities_start", "communities_stop")
    assert [communities[row] for row in rows] == ["0:1-0:2", "", "", "65535:666", ""]


def test_a_lookup_keeps_what_it_found_when_the_table_changes() -> None:
    rib = table()
    found = ask(rib, "198.51.100.1")
    before = shown(found, Form.AS_PATH, "path_start", "path_stop")
    rib.clear(UNICAST)
    announce(rib, "198.51.100.0/24", attributes(1), "192.0.2.9")
    rib.finish()
    assert shown(found, Form.AS_PATH, "path_start", "path_stop") == before == ["65010-65020-65030"]
    assert shown(ask(rib, "198.51.100.1"), Form.AS_PATH, "path_start", "path_stop") == ["1"]


def test_of_several_routes_the_one_to_the_next_hop_asked_for_is_found() -> None:
    rib = RibIn()
    announce(rib, "198.51.100.0/24", attributes(1, 2, 3), "192.0.2.1", path_id=1)
    announce(rib, "198.51.100.0/24", attributes(4, 5), "192.0.2.2", path_id=2)
    rib.finish()
    assert rib.count(Family.IPV4_UNICAST) == 2
    asked = ("198.51.100.1",) * 3
    found = ask(rib, *asked, next_hops=("192.0.2.1", "192.0.2.2", "192.0.2.3"))
    assert found.origin_as[found.row].tolist() == [3, 5, 5]
    assert ask(rib, *asked).origin_as.tolist() == [5]


def test_an_empty_table_finds_nothing() -> None:
    found = ask(RibIn(), "198.51.100.1", "2001:DB8::1")
    assert found.row.tolist() == [-1, -1]
    assert found.prefix.shape == (3, 0)


def test_routes_from_a_peer_with_two_octet_numbers_are_held_with_four() -> None:
    old = Negotiated(Asn(65000), Asn(65001), 1, 90, frozenset(Family), four_octet_as=False)
    route = UnicastRoute(parse_prefix("198.51.100.0/24"), bytes((192, 0, 2, 1)), as_path=(4_200_000_001,))
    rib = RibIn()
    rib.take(decode_update(body_of(encode_announce(route, route_key(route), old)), old))
    ((said, _),) = contents(rib).values()
    assert said.as_path == (Segment(SegmentType.SEQUENCE, (65000, 4_200_000_001)),)


def test_stale_routes_go_with_the_sweep_and_are_counted() -> None:
    rib = table()
    rib.mark_stale(UNICAST)
    announce(rib, "198.51.100.0/24", attributes(65010), "192.0.2.2")
    assert rib.sweep((Family.IPV4_UNICAST,)) == 3
    assert rib.sweep((Family.IPV6_UNICAST,)) == 1
    rib.finish()
    assert [str(prefix) for prefix in contents(rib)] == ["198.51.100.0/24"]


def test_a_path_that_is_too_long_with_four_octet_numbers_is_a_withdrawal() -> None:
    old = Negotiated(Asn(65000), Asn(65001), 1, 90, frozenset(Family), four_octet_as=False, extended_message=True)
    rib = RibIn()
    for segments in (1, 70, 110):
        path = (bytes((2, 255)) + b"\1\2" * 255) * segments
        block = bytes.fromhex("40010100 400304c0000201") + bytes((0x50, 2)) + len(path).to_bytes(2, "big") + path
        body = bytes(2) + len(block).to_bytes(2, "big") + block
        rib.take(decode_update(body + b"\x08\x0a", old))
        rib.take(decode_update(body + b"\x08\x0b" * 3, old))
        rib.finish()
        assert rib.count(Family.IPV4_UNICAST) == (2 if segments == 1 else 0)
    assert rib.too_long == 2 * (1 + 3)
