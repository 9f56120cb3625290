from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bgp_cases import EXTERNAL, rules, unicast_routes, vectors
from tidegate.errors import EncodeError, Inexpressible
from tidegate.units import Seconds
from tidegate.wire.bgp.communities import RedirectForm, RtRedirect, TrafficMarking, TrafficRateBytes
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import (
    KINDS,
    BitmaskComponent,
    BitmaskOp,
    Comparison,
    Component,
    ComponentType,
    FlowRule,
    NumericComponent,
    NumericOp,
    OffsetForm,
    PrefixComponent,
    decode_rule,
)
from tidegate.wire.bgp.peer import Peer, PeerConfig, Way
from tidegate.wire.bgp.prefix import Prefix, parse_prefix
from tidegate.wire.bgp.profile import PROFILES, RFC8955, SAFE, Profile, adapt, value_ranges
from tidegate.wire.bgp.routes import FlowRoute, UnicastRoute, route_key
from tidegate.wire.bgp.update import decode_update, encode_announce
from tidegate.wire.cursor import Reader

HOST = PrefixComponent(ComponentType.DESTINATION, parse_prefix("192.0.2.1"))
PORT = ComponentType.SOURCE_PORT
DROP = (TrafficRateBytes(0.0),)


def ports(*ops: NumericOp) -> FlowRoute:
    return FlowRoute(FlowRule(Afi.IPV4, (HOST, NumericComponent(PORT, ops))), DROP)


def equal(value: int) -> NumericOp:
    return NumericOp(Comparison.EQ, value, 1 if value < 256 else 2)


def parts(route: FlowRoute, profile: Profile = SAFE) -> list[FlowRoute]:
    return [part for part in adapt(route, profile).values() if isinstance(part, FlowRoute)]


def holds(op: NumericOp, value: int) -> bool:
    return {
        Comparison.FALSE: False,
        Comparison.EQ: value == op.value,
        Comparison.GT: value > op.value,
        Comparison.GE: value >= op.value,
        Comparison.LT: value < op.value,
        Comparison.LE: value <= op.value,
        Comparison.NE: value != op.value,
        Comparison.TRUE: True,
    }[op.comparison]


def bits_hold(op: BitmaskOp, bits: int) -> bool:
    found = bits & op.value == op.value if op.match else bool(bits & op.value)
    return found != op.invert


def matches(component: Component, packet: dict[ComponentType, int]) -> bool:
    """Evaluate a component as RFC 8955 4.2 says, slowly; prefixes are the same in all parts and count as true."""
    if isinstance(component, PrefixComponent):
        return True
    result, group = False, True
    ops: Sequence[NumericOp | BitmaskOp] = component.ops
    for place, op in enumerate(ops):
        if place and not op.conjunct:
            result, group = result or group, True
        value = packet[component.type]
        group = group and (holds(op, value) if isinstance(op, NumericOp) else bits_hold(op, value))
    return result or group


@given(rules(), st.data())
def test_the_parts_match_exactly_what_the_rule_matched(rule: FlowRule, data: st.DataObject) -> None:
    try:
        found = parts(FlowRoute(rule, DROP))
    except Inexpressible:
        return
    interesting = [
        op.value for component in rule.components if not isinstance(component, PrefixComponent) for op in component.ops
    ]
    packet = {}
    for component in rule.components:
        near = st.sampled_from(interesting or [0]).flatmap(lambda value: st.sampled_from([value - 1, value, value + 1]))
        most = KINDS[component.type].most
        packet[component.type] = min(most, max(0, data.draw(st.integers(0, most) | near)))
    wanted = all(matches(component, packet) for component in rule.components)
    assert any(all(matches(each, packet) for each in part.rule.components) for part in found) == wanted


@given(rules())
def test_every_part_is_within_the_profile(rule: FlowRule) -> None:
    try:
        found = adapt(FlowRoute(rule, DROP), SAFE)
    except Inexpressible:
        return
    for key, part in found.items():
        assert route_key(part) == key
        assert len(key.nlri) <= 239
        assert isinstance(part, FlowRoute)
        for component in part.rule.components:
            if isinstance(component, PrefixComponent):
                assert component.offset == 0
                continue
            assert len(component.ops) <= 5
            for op in component.ops:
                if isinstance(op, NumericOp):
                    assert op.comparison not in {Comparison.NE, Comparison.TRUE, Comparison.FALSE}
                    assert op.width == 4 or component.type is not ComponentType.FLOW_LABEL


@given(rules())
def test_the_rfc_profile_changes_nothing(rule: FlowRule) -> None:
    assert parts(FlowRoute(rule, DROP), RFC8955) == [FlowRoute(rule, DROP)]


@given(unicast_routes())
def test_unicast_routes_pass_as_they_are(route: UnicastRoute) -> None:
    assert adapt(route, SAFE) == {route_key(route): route}


def test_a_long_list_is_split_at_an_or() -> None:
    found = parts(ports(*map(equal, (19, 53, 123, 389, 1900, 5353, 11211))))
    lists = [component.ops for part in found for component in part.rule.components[1:] if component.type is PORT]  # type: ignore[union-attr]
    assert [[op.value for op in ops] for ops in lists] == [[19, 53, 123, 389, 1900], [5353, 11211]]
    assert all(part.actions == DROP for part in found)


def test_a_range_is_never_cut_in_two() -> None:
    low, high = NumericOp(Comparison.GE, 10, 1), NumericOp(Comparison.LE, 20, 1, conjunct=True)
    found = parts(ports(equal(1), equal(3), equal(5), equal(7), low, high))
    assert [len(part.rule.components[1].ops) for part in found] == [4, 2]  # type: ignore[union-attr]


def test_not_equal_becomes_two_ranges() -> None:
    (part,) = parts(ports(NumericOp(Comparison.NE, 80, 1)))
    assert part.rule.components[1] == NumericComponent(
        PORT, (NumericOp(Comparison.LE, 79, 1), NumericOp(Comparison.GE, 81, 1))
    )


@pytest.mark.parametrize(
    ("op", "ranges"),
    [
        (NumericOp(Comparison.FALSE, 0, 1), []),
        (NumericOp(Comparison.TRUE, 0, 1), [(0, 65535)]),
        (NumericOp(Comparison.LT, 0, 1), []),
        (NumericOp(Comparison.GT, 65535, 2), []),
        (NumericOp(Comparison.NE, 0, 1), [(1, 65535)]),
        (NumericOp(Comparison.LE, 9, 1), [(0, 9)]),
    ],
)
def test_ranges(op: NumericOp, ranges: list[tuple[int, int]]) -> None:
    assert value_ranges(NumericComponent(PORT, (op,))) == ranges


def test_ranges_that_touch_are_one() -> None:
    ops = (equal(4), equal(3), NumericOp(Comparison.GE, 5, 1))
    assert value_ranges(NumericComponent(PORT, ops)) == [(3, 65535)]


def test_a_component_that_is_always_true_is_said_so_without_constants() -> None:
    (part,) = parts(ports(NumericOp(Comparison.TRUE, 0, 1)))
    assert part.rule.components[1] == NumericComponent(PORT, (NumericOp(Comparison.LE, 65535, 2),))


def flags(*ops: BitmaskOp) -> FlowRoute:
    return FlowRoute(FlowRule(Afi.IPV4, (HOST, BitmaskComponent(ComponentType.TCP_FLAGS, ops))), DROP)


def test_bit_lists_are_split_at_an_or_only() -> None:
    either = [BitmaskOp(1 << bit, 1, match=True) for bit in range(6)]
    assert len(parts(flags(*either))) == 2
    joined = [BitmaskOp(1 << bit, 1, match=True, conjunct=bit > 0) for bit in range(6)]
    with pytest.raises(Inexpressible, match="6 joined operators of tcp_flags"):
        adapt(flags(*joined), SAFE)


def limited(rate: float) -> FlowRoute:
    return FlowRoute(ports(*map(equal, range(1, 8))).rule, (TrafficRateBytes(rate), TrafficMarking(1)))


REFUSED = {
    "a rate limit is not shared out": (limited(1000.0), SAFE, "one rate limit over 2 rules"),
    "no packet has it": (ports(NumericOp(Comparison.LT, 0, 1)), SAFE, None),
    "never": (ports(NumericOp(Comparison.FALSE, 0, 1)), SAFE, "a source_port that no packet has"),
    "offset": (
        FlowRoute(
            FlowRule(Afi.IPV6, (PrefixComponent(ComponentType.DESTINATION, Prefix(bytes(15) + b"\1", 128), 64),)), DROP
        ),
        SAFE,
        "the prefix offset 64",
    ),
    "too many parts": (ports(*map(equal, range(1, 12))), Profile("few", max_parts=2), "3 rules in place of one"),
    "too many components": (ports(equal(1)), Profile("one", max_components=1), "2 components"),
    "too long": (ports(equal(1)), Profile("short", max_octets=8), "9 octets, over 8"),
    "redirect": (
        FlowRoute(ports(equal(1)).rule, (RtRedirect(RedirectForm.AS4, 1, 1),)),
        Profile("gobgp", redirect_as4=False),
        "four-octet AS",
    ),
}


@pytest.mark.parametrize(("route", "profile", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_said_exactly_is_refused(route: FlowRoute, profile: Profile, words: str | None) -> None:
    if words is None:  # the profile lets the operator through as it is: it is legal, and matches nothing
        assert parts(route, profile) == [route]
        return
    with pytest.raises(Inexpressible, match=words) as caught:
        adapt(route, profile)
    assert profile.name in str(caught.value)


def test_a_drop_may_be_split_where_a_limit_may_not() -> None:
    assert len(parts(limited(0.0))) == 2


def test_what_is_no_rule_is_an_encode_error() -> None:
    with pytest.raises(EncodeError):
        adapt(FlowRoute(FlowRule(Afi.IPV4, ())), SAFE)


def at(prefix: str, offset: int) -> FlowRoute:
    components = (PrefixComponent(ComponentType.DESTINATION, parse_prefix(prefix), offset),)
    return FlowRoute(FlowRule(Afi.IPV6, components), DROP)


@pytest.mark.parametrize(
    ("name", "octets"),
    [
        ("rfc8955", "080168412468acf134"),
        ("bird-2.0", "08016841123456789a"),
        ("gobgp-3", "100168410000000000000000123456789a"),
        ("exabgp-4", "100168410000000000000000123456789a"),
    ],
)
def test_offsets_go_in_the_form_that_the_peer_reads(name: str, octets: str) -> None:
    route = at("::1234:5678:9a00:0/104", 65)
    ((key, part),) = adapt(route, PROFILES[name]).items()
    assert key.nlri.hex() == octets
    assert part == route


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
@given(rule=rules())
def test_a_peer_reads_what_its_profile_makes_it_be_sent(profile: Profile, rule: FlowRule) -> None:
    try:
        found = adapt(FlowRoute(rule, DROP), profile)
    except Inexpressible:
        return
    for key, part in found.items():
        assert isinstance(part, FlowRoute)
        assert decode_rule(Reader(key.nlri), rule.afi, offsets=profile.ipv6_offset_form) == part.rule


def test_a_length_is_checked_in_the_form_that_is_sent() -> None:
    short = Profile("short", max_octets=12, ipv6_offset=True)
    assert len(adapt(at("::1234:5678:9a00:0/104", 65), short)) == 1
    whole = structs.replace(short, ipv6_offset_form=OffsetForm.WHOLE)
    with pytest.raises(Inexpressible, match="16 octets, over 12"):
        adapt(at("::1234:5678:9a00:0/104", 65), whole)


def test_a_session_reads_the_form_of_its_peer() -> None:
    route = at("::1234:5678:9a00:0/104", 65)
    profile = PROFILES["bird-2.0"]
    ((key, part),) = adapt(route, profile).items()
    session = structs.replace(EXTERNAL, flow_offsets=profile.ipv6_offset_form)
    body = encode_announce(part, key, session)[19:]
    (group,) = decode_update(body, session).announced
    assert group.destinations == (route.rule,)
    (group,) = decode_update(body, EXTERNAL).announced
    assert group.destinations == (at("::91a:2b3c:4d00:0/104", 65).rule,)  # other traffic: why the form is configured


@pytest.mark.parametrize("case", vectors("nlri"))
def test_the_safe_profile_sends_only_octets_that_every_tested_peer_took(case: dict[str, Any]) -> None:
    route = FlowRoute(decode_rule(Reader(bytes.fromhex(case["nlri"])), Afi(case["afi"])), DROP)
    try:
        sent = {key.nlri.hex() for key in adapt(route, SAFE)}
    except Inexpressible:
        return
    if not {"exabgp-5.0.15", "bird-2.19.0", "frr-8.4.4"} <= set(case["read_by"]) or case.get("frr_8_4_resets_session"):
        assert case["nlri"] not in sent


@pytest.mark.parametrize("case", vectors("nlri") + vectors("nlri_random"))
def test_the_rfc_profile_sends_the_vectors_as_they_are(case: dict[str, Any]) -> None:
    route = FlowRoute(decode_rule(Reader(bytes.fromhex(case["nlri"])), Afi(case["afi"])), DROP)
    ((key, part),) = adapt(route, PROFILES["rfc8955"]).items()
    assert (key.nlri.hex(), part) == (case["nlri"], route)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES.keys())
def test_a_speaker_reads_rules_in_the_form_of_the_profile(profile: Profile) -> None:
    config = PeerConfig("192.0.2.1", 65001, "192.0.2.2", passive=True, profile=profile)
    peer = Peer(config, jitter=lambda: 0.5)
    peer.connected(Way.IN, Seconds(0.0))
    assert peer.sessions[Way.IN].config.flow_offsets is profile.ipv6_offset_form
