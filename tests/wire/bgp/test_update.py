from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec import structs

from bgp_cases import EXTERNAL, INTERNAL, OLD, SESSIONS, flow_routes, unicast_routes, vectors
from tidegate.errors import EncodeError, SessionReset
from tidegate.wire.bgp.attribute_values import Segment
from tidegate.wire.bgp.attributes import Reaction
from tidegate.wire.bgp.communities import TrafficRateBytes, encode_action
from tidegate.wire.bgp.constants import Afi, Family, SegmentType
from tidegate.wire.bgp.flowspec import decode_components, encode_rule
from tidegate.wire.bgp.message import maybe_message
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.prefix import encode_prefix, parse_address, parse_prefix
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, UnicastRoute, route_key
from tidegate.wire.bgp.update import (
    RouteGroup,
    Update,
    decode_update,
    encode_announce,
    encode_withdraw,
)
from tidegate.wire.cursor import Reader

ORIGIN, PATH, HOP = "400101 00", "400206 0201 0000fde8", "400304 c00002fe"


def body_of(octets: bytes) -> bytes:
    message = maybe_message(Reader(octets), 65535)
    assert message is not None
    return message.body


def update(*attributes: str, withdrawn: str = "", nlri: str = "") -> bytes:
    gone, block, here = bytes.fromhex(withdrawn), bytes.fromhex("".join(attributes)), bytes.fromhex(nlri)
    return len(gone).to_bytes(2, "big") + gone + len(block).to_bytes(2, "big") + block + here


def texts(groups: tuple[RouteGroup, ...]) -> list[str]:
    return [str(destination) for group in groups for destination in group.destinations]


@pytest.mark.parametrize("case", vectors("updates"))
def test_vector_is_read_and_ours_says_the_same(case: dict[str, Any]) -> None:
    octets = bytes.fromhex(case["message"])
    found = decode_update(body_of(octets), EXTERNAL)
    assert found.problems == ()
    if found.end_of_rib is not None:
        assert encode_withdraw(RouteKey(found.end_of_rib, b""), EXTERNAL) == octets
        return
    for group in found.withdrawn:
        for gone in group.destinations:
            nlri = encode_rule(gone) if group.family.label.endswith("flowspec") else encode_prefix(gone)  # type: ignore[arg-type]
            assert nlri in octets
    for route in routes_of(found):
        again = decode_update(body_of(encode_announce(route, route_key(route), EXTERNAL)), EXTERNAL)
        assert again.announced == found.announced
        assert again.attributes == found.attributes
    assert bool(found.announced) != bool(found.withdrawn)


def routes_of(found: Update) -> list[Route]:
    """Rebuild the routes of an UPDATE, with the path as it was sent by AS 65000."""
    kept = found.attributes
    routes: list[Route] = []
    for group in found.announced:
        for destination in group.destinations:
            if group.family in {Family.IPV4_FLOWSPEC, Family.IPV6_FLOWSPEC}:
                actions = kept.extended + kept.ipv6_extended
                routes.append(FlowRoute(destination, actions, communities=kept.communities))  # type: ignore[arg-type]
            else:
                routes.append(UnicastRoute(destination, group.next_hop, communities=kept.communities))  # type: ignore[arg-type]
    return routes


@pytest.mark.parametrize("case", [case for case in vectors("updates") if case.id and "withdraw" in case.id])
def test_withdrawals_that_are_minimal_are_ours_octet_for_octet(case: dict[str, Any]) -> None:
    octets = bytes.fromhex(case["message"])
    found = decode_update(body_of(octets), EXTERNAL)
    (group,) = found.withdrawn
    rule = group.destinations[0]
    route: Route = FlowRoute(rule) if group.family.safi == 133 else UnicastRoute(rule, bytes(len(rule.address)))  # type: ignore[arg-type, union-attr]
    ours = encode_withdraw(route_key(route), EXTERNAL)
    assert len(ours) <= len(octets)
    if found.attributes.origin is None:
        assert ours == octets
    assert decode_update(body_of(ours), EXTERNAL).withdrawn == found.withdrawn


@given(flow_routes() | unicast_routes(), st.sampled_from(SESSIONS))
def test_an_announcement_says_all_of_the_route(route: Route, negotiated: Negotiated) -> None:
    key = route_key(route)
    found = decode_update(body_of(encode_announce(route, key, negotiated)), negotiated)
    kept = found.attributes
    (group,) = found.announced
    assert found.problems == ()
    assert found.withdrawn == ()
    assert group.family is key.family
    assert kept.communities == route.communities
    assert kept.large == route.large
    assert kept.local_pref == ((100 if route.local_pref is None else route.local_pref) if negotiated.internal else None)
    match route:
        case FlowRoute():
            assert group.destinations == (route.rule,)
            order = sorted(route.actions, key=lambda action: len(encode_action(action)))
            assert kept.extended + kept.ipv6_extended == tuple(order)
        case UnicastRoute():
            assert group.destinations == (route.prefix,)
            assert group.next_hop == route.next_hop
            assert (kept.origin, kept.med) == (route.origin, route.med)
            assume(route.as_path[:1] != (negotiated.local_as,))
            front = () if negotiated.internal else (negotiated.local_as,)
            path = (*front, *route.as_path)
            assert kept.as_path == ((Segment(SegmentType.SEQUENCE, path),) if path else ())


@given(flow_routes() | unicast_routes(), st.sampled_from(SESSIONS))
def test_a_withdrawal_names_the_route_and_nothing_else(route: Route, negotiated: Negotiated) -> None:
    found = decode_update(body_of(encode_withdraw(route_key(route), negotiated)), negotiated)
    (group,) = found.withdrawn
    assert group.destinations == ((route.rule,) if isinstance(route, FlowRoute) else (route.prefix,))
    assert found.announced == ()


@given(st.binary(max_size=100), st.sampled_from(SESSIONS))
def test_any_octets_are_an_update_or_a_reset(octets: bytes, negotiated: Negotiated) -> None:
    with suppress(SessionReset):
        decode_update(octets, negotiated)


@given(flow_routes() | unicast_routes(), st.sampled_from(SESSIONS), st.data())
def test_an_update_cut_anywhere_never_announces_something_else(
    route: Route, negotiated: Negotiated, data: st.DataObject
) -> None:
    body = body_of(encode_announce(route, route_key(route), negotiated))
    whole = decode_update(body, negotiated)
    with suppress(SessionReset):
        found = decode_update(body[: data.draw(st.integers(0, len(body) - 1))], negotiated)
        assert found.announced in {(), whole.announced}


@pytest.mark.parametrize("case", vectors("updates"))
def test_a_vector_cut_at_each_octet(case: dict[str, Any]) -> None:
    body = body_of(bytes.fromhex(case["message"]))
    whole = decode_update(body, EXTERNAL)
    for cut in range(len(body)):
        with suppress(SessionReset):
            assert decode_update(body[:cut], EXTERNAL).announced in {(), whole.announced}


def test_external_and_internal_paths() -> None:
    route = UnicastRoute(parse_prefix("192.0.2.1"), parse_address("192.0.2.2"), as_path=(65000, 7))
    octets = encode_announce(route, route_key(route), EXTERNAL)
    assert decode_update(body_of(octets), EXTERNAL).attributes.as_path == (Segment(SegmentType.SEQUENCE, (65000, 7)),)
    plain = UnicastRoute(parse_prefix("192.0.2.1"), parse_address("192.0.2.2"))
    octets = encode_announce(plain, route_key(plain), INTERNAL)
    assert decode_update(body_of(octets), INTERNAL).attributes.as_path == ()


def test_a_path_too_long_for_a_segment_is_refused() -> None:
    route = UnicastRoute(parse_prefix("192.0.2.1"), parse_address("192.0.2.2"), as_path=(7,) * 255)
    with pytest.raises(EncodeError, match="256"):
        encode_announce(route, route_key(route), EXTERNAL)


def test_a_message_over_the_limit_is_refused() -> None:
    route = UnicastRoute(parse_prefix("192.0.2.1"), parse_address("192.0.2.2"), communities=(7,) * 1020)
    with pytest.raises(EncodeError, match="4096"):
        encode_announce(route, route_key(route), EXTERNAL)


def test_next_hops_of_the_other_family_are_refused() -> None:
    for prefix, octets in (("192.0.2.1", 16), ("2001:db8::1", 4)):
        with pytest.raises(EncodeError, match="next hop"):
            route_key(UnicastRoute(parse_prefix(prefix), bytes(octets)))


@pytest.mark.parametrize("attributes", [(), (ORIGIN,), (ORIGIN, PATH), (PATH, HOP), (ORIGIN, HOP)])
def test_missing_well_known_attributes_withdraw_the_routes(attributes: tuple[str, ...]) -> None:
    found = decode_update(update(*attributes, nlri="20c0000242"), EXTERNAL)
    assert found.announced == ()
    assert texts(found.withdrawn) == ["192.0.2.66/32"]
    assert {problem.reason for problem in found.problems} == {"missing well-known attribute"}


def test_a_bad_attribute_withdraws_the_routes_and_a_discarded_one_does_not() -> None:
    bad = decode_update(update(ORIGIN, PATH, HOP, "c00803000001", nlri="20c0000242"), EXTERNAL)
    assert (texts(bad.announced), texts(bad.withdrawn)) == ([], ["192.0.2.66/32"])
    fine = decode_update(update(ORIGIN, PATH, HOP, "40060100", nlri="20c0000242"), EXTERNAL)
    assert (texts(fine.announced), texts(fine.withdrawn)) == (["192.0.2.66/32"], [])
    assert [problem.reaction for problem in fine.problems] == [Reaction.DISCARD]


def test_withdrawn_and_announced_in_one_message() -> None:
    found = decode_update(update(ORIGIN, PATH, HOP, withdrawn="18c63364", nlri="18c00002 10c633"), EXTERNAL)
    assert texts(found.withdrawn) == ["198.51.100.0/24"]
    assert texts(found.announced) == ["192.0.2.0/24", "198.51.0.0/16"]
    assert found.announced[0].next_hop == parse_address("192.0.2.254")


@pytest.mark.parametrize(
    ("body", "subcode"),
    [
        (b"", 1),
        (b"\0\5\0\0", 1),
        (b"\0\0\0\5", 1),
        (update(ORIGIN, PATH, HOP, nlri="21c000024200"), 10),
        (update(ORIGIN, PATH, HOP, nlri="20c00002"), 10),
        (update(withdrawn="20c00002"), 10),
        (update(withdrawn="18c00002") + b"", None),
        (update(ORIGIN, "c00803000001"), 1),  # an error, and no route to withdraw: RFC 7606 5.2
        (update("800e0500020104 00"), 9),  # MP_REACH without its next hop
        (update("800e090002010420010db800"), 9),  # a next hop of four octets for IPv6
        (update("800f06000201 81 2001"), 9),
        (update("800f06000185 0a 0118"), 9),  # a rule longer than what is left
    ],
)
def test_what_ends_the_session(body: bytes, subcode: int | None) -> None:
    if subcode is None:
        assert texts(decode_update(body, EXTERNAL).withdrawn) == ["192.0.2.0/24"]
        return
    with pytest.raises(SessionReset) as caught:
        decode_update(body, EXTERNAL)
    assert (caught.value.code, caught.value.subcode) == (3, subcode)


def test_a_bad_rule_in_a_good_length_is_left_out_and_counted() -> None:
    nlri = "0501 18c00002" + "03 008106" + "0c 0120c0000201 038106 038111" + "00" + "06 0120c0000237"
    octets = bytes.fromhex("000185 00 00" + nlri)
    found = decode_update(update(ORIGIN, PATH, f"800e{len(octets):02x}" + octets.hex()), EXTERNAL)
    assert len(found.announced[0].destinations) == 2
    assert [(problem.part, problem.reaction) for problem in found.problems] == [("flowspec rule", Reaction.DISCARD)] * 3


def test_families_that_were_not_agreed_on_are_passed_over() -> None:
    few = Negotiated(EXTERNAL.local_as, EXTERNAL.peer_as, 1, 90, frozenset({Family.IPV4_UNICAST}))
    for value in ("800f04 000285 05", "800f03 001946", "800e05 000185 00 00" + ORIGIN + PATH):
        found = decode_update(update(value), few)
        assert found.withdrawn == ()
        assert found.announced == ()
        assert [problem.reason for problem in found.problems] == ["not negotiated"]


@pytest.mark.parametrize("family", Family)
def test_end_of_rib(family: Family) -> None:
    found = decode_update(body_of(encode_withdraw(RouteKey(family, b""), EXTERNAL)), EXTERNAL)
    assert found == Update(attributes=found.attributes, end_of_rib=family)


def test_paths_of_old_speakers_are_put_together() -> None:
    as4 = "c0110a 0202 00010000 fde90000"  # 65536, 4259905536
    found = decode_update(update(ORIGIN, "400208 0203 fde8 5ba0 5ba0", HOP, as4, nlri="18c00002"), OLD)
    assert found.attributes.as_path == (
        Segment(SegmentType.SEQUENCE, (65000,)),
        Segment(SegmentType.SEQUENCE, (65536, 0xFDE90000)),
    )
    shorter = decode_update(update(ORIGIN, "400204 0201 fde8", HOP, as4, nlri="18c00002"), OLD)
    assert shorter.attributes.as_path == (Segment(SegmentType.SEQUENCE, (65000,)),)
    sets = decode_update(update(ORIGIN, "40020c 0102fde8fde9 0202 5ba05ba0", HOP, as4, nlri="18c00002"), OLD)
    assert sets.attributes.as_path is not None
    assert [segment.type for segment in sets.attributes.as_path] == [SegmentType.SET, SegmentType.SEQUENCE]


def test_an_old_speaker_gets_as4_path_beside_23456() -> None:
    route = UnicastRoute(parse_prefix("192.0.2.1"), parse_address("192.0.2.2"), as_path=(4200000000,))
    found = decode_update(body_of(encode_announce(route, route_key(route), OLD)), OLD)
    assert found.attributes.as_path == (Segment(SegmentType.SEQUENCE, (65000, 4200000000)),)


def test_add_path_identifiers_are_read() -> None:
    session = Negotiated(
        EXTERNAL.local_as, EXTERNAL.peer_as, 1, 90, frozenset(Family), add_path_receive=frozenset({Family.IPV4_UNICAST})
    )
    found = decode_update(update(ORIGIN, PATH, HOP, nlri="00000005 18c00002"), session)
    assert found.announced[0].destinations[0].path_id == 5  # type: ignore[union-attr]


def test_mp_reach_stands_first() -> None:
    rule = FlowRoute(decode_components(Reader(bytes.fromhex("0120c0000201")), Afi.IPV4), (TrafficRateBytes(0.0),))
    assert body_of(encode_announce(rule, route_key(rule), EXTERNAL))[4:6] == b"\x80\x0e"


LOOP = structs.replace(EXTERNAL, own_as=65000)


def test_a_route_that_has_been_here_already_is_left_out_and_counted() -> None:
    found = decode_update(update(ORIGIN, PATH, HOP, nlri="18cb0071"), LOOP)
    assert found.announced == ()
    assert texts(found.withdrawn) == ["203.0.113.0/24"]
    assert [(problem.part, problem.reason) for problem in found.problems] == [("as_path", "our own AS is in it")]
    other = decode_update(update(ORIGIN, "400206 0201 0000fde9", HOP, nlri="18cb0071"), LOOP)
    assert texts(other.announced) == ["203.0.113.0/24"]
    assert decode_update(update(ORIGIN, PATH, HOP, withdrawn="18cb0071"), LOOP).problems == ()


def test_a_rule_that_a_peer_says_back_is_left_out() -> None:
    reach = "800e0c 0001 85 00 00 060120c0000237"
    assert texts(decode_update(update(reach, ORIGIN, PATH), EXTERNAL).announced)
    found = decode_update(update(reach, ORIGIN, PATH), LOOP)
    assert (found.announced, len(found.withdrawn)) == ((), 1)
