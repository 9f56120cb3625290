from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.control.flowspec import flow_key, format_flow, parse_flow, parse_match
from tidegate.errors import Inexpressible, TextError
from tidegate.wire.bgp.communities import (
    Action,
    RawCommunity,
    RedirectForm,
    RedirectToIp,
    RedirectToNextHop,
    RtRedirect,
    RtRedirectIpv6,
    TrafficAction,
    TrafficMarking,
    TrafficRateBytes,
    TrafficRatePackets,
)
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import ComponentType, FlowRule, PrefixComponent, encode_rule
from tidegate.wire.bgp.prefix import Prefix, parse_address
from tidegate.wire.bgp.routes import FlowRoute, route_key

HOST = {"destination": "192.0.2.1"}

RULES = [
    ({"destination": "192.0.2.0/24"}, "050118c00002"),
    ({"destination": "192.0.2.55", "version": "4"}, "060120c0000237"),
    ({"source": "10.128.0.0/9"}, "0402090a80"),
    ({"destination": "203.0.113.7", "source": "198.51.100.0/24", "version": 4}, "0b0120cb0071070218c63364"),
    (HOST | {"protocol": "=17"}, "090120c0000201038111"),
    (HOST | {"protocol": 17}, "090120c0000201038111"),
    (HOST | {"protocol": "1|6|17"}, "0d0120c000020103010101068111"),
    (
        {"destination": "192.0.2.0/24", "source": "203.0.113.0/24", "port": "137-139|8080"},
        "120118c000020218cb0071040389458b911f90",
    ),
    (HOST | {"protocol": "tcp", "tcp-flags": "S&!A"}, "0e0120c0000201038106090102c210"),
    (HOST | {"fragment": "=I"}, "090120c00002010c8102"),
    (HOST | {"protocol": "udp", "length": ">=468&<=512"}, "100120c00002010381110a1301d4d50200"),
    (HOST | {"protocol": "icmp", "icmp-type": "8", "icmp-code": "0"}, "0f0120c0000201038101078108088100"),
    (HOST | {"dscp": "ef"}, "090120c00002010b812e"),
    ({"destination": "2001:db8::55", "flow-label": "=3"}, "1901800020010db80000000000000000000000550da100000003"),
    (
        {"destination": "2001:db8::55", "version": "6", "protocol": "=17", "source-port": "=53", "length": ">=1000"},
        "1d01800020010db80000000000000000000000550381110681350a9303e8",
    ),
]


@pytest.mark.parametrize(("match", "octets"), RULES)
def test_matches(match: dict[str, Any], octets: str) -> None:
    rule = parse_match(match)
    assert encode_rule(rule).hex() == octets
    assert flow_key({"match": match}).nlri.hex() == octets
    written = format_flow(FlowRoute(rule))["match"]
    assert parse_match(written) == rule


ACTIONS: list[tuple[dict[str, Any], tuple[Action, ...]]] = [
    ({}, ()),
    ({"traffic-rate": "12500"}, (TrafficRateBytes(12500.0),)),
    ({"traffic-rate": 0}, (TrafficRateBytes(0.0),)),
    ({"traffic-rate": 16777217}, (TrafficRateBytes(16777216.0),)),  # a single holds 24 bits: down, never up
    ({"traffic-rate-packets": 1000}, (TrafficRatePackets(1000.0),)),
    ({"traffic-marking": "le"}, (TrafficMarking(1),)),
    ({"traffic-marking": 46}, (TrafficMarking(46),)),
    ({"traffic-action": "none"}, ()),
    ({"traffic-action": "continue"}, (TrafficAction(go_on=True),)),
    ({"traffic-action": "sample"}, (TrafficAction(sample=True),)),
    ({"traffic-action": "SampleAndContinue"}, (TrafficAction(sample=True, go_on=True),)),
    ({"redirect-as": "65000:666"}, (RtRedirect(RedirectForm.AS2, 65000, 666),)),
    ({"redirect-as4": "4200000001:666"}, (RtRedirect(RedirectForm.AS4, 4200000001, 666),)),
    ({"redirect-ip": "192.0.2.1:666"}, (RtRedirect(RedirectForm.IPV4, 0xC0000201, 666),)),
    ({"redirect-ip": "[2001:db8::1]:666"}, (RtRedirectIpv6(parse_address("2001:db8::1"), 666),)),
    ({"redirect-nexthop": "192.0.2.9"}, (RedirectToNextHop(),)),
    ({"redirect-action-ip": "192.0.2.9"}, (RedirectToIp(parse_address("192.0.2.9")),)),
    ({"redirect-action-ip": "2001:db8::9"}, (RedirectToIp(parse_address("2001:db8::9")),)),
    ({"communities": "128:6:0"}, (TrafficRateBytes(0.0),)),
    (
        {"traffic-rate": "125", "traffic-action": "sample", "communities": "0:2:7"},
        (TrafficRateBytes(125.0), TrafficAction(sample=True), RawCommunity(bytes.fromhex("0002000000000007"))),
    ),
]


@pytest.mark.parametrize(("then", "actions"), ACTIONS)
def test_actions(then: dict[str, Any], actions: tuple[Action, ...]) -> None:
    route = parse_flow({"match": HOST, "then": then})
    assert route.actions == actions
    assert parse_flow(format_flow(route)) == route


def test_the_next_hop_of_a_redirect_travels_with_the_route() -> None:
    route = parse_flow({"match": HOST, "then": {"redirect-nexthop": "192.0.2.9"}})
    assert route.next_hop == parse_address("192.0.2.9")
    assert parse_flow({"match": HOST}).next_hop == b""


def test_standard_communities_are_communities_of_the_route() -> None:
    route = parse_flow({"match": HOST, "then": {"communities": "no-export-128:6:0"}})
    assert route.communities == (0xFFFFFF01,)
    assert route.actions == (TrafficRateBytes(0.0),)


@pytest.mark.parametrize(
    ("value", "words", "column"),
    [
        ({}, "an object is expected under 'match'", 0),
        ({"match": "192.0.2.1"}, "an object is expected under 'match'", 0),
        ({"match": HOST, "then": None}, "an object is expected under 'then'", 0),
        ({"match": HOST, "action": {}}, "rule: unknown field", 0),
        ({"match": HOST | {"sourceport": "1"}}, "match: unknown field", 0),
        ({"match": HOST, "then": {"rate": "1"}}, "then: unknown field", 0),
        ({"match": {"destination": "192.0.2.1/33"}}, r"match\.destination: the prefix length", 10),
        ({"match": {"destination": "192.0.2.1/24"}}, r"did you mean 192\.0\.2\.0/24", 0),
        ({"match": HOST | {"version": "6"}}, r"match\.version", 0),
        ({"match": HOST | {"version": "5"}}, r"match\.version", 0),
        ({"match": HOST | {"source-port": "=53|x"}}, r"match\.source-port", 4),
        ({"match": HOST | {"source-port": ["53"]}}, r"match\.source-port", 0),
        ({"match": HOST | {"source-port": True}}, r"match\.source-port", 0),
        ({"match": HOST | {"tcp-flags": "SQ"}}, r"match\.tcp-flags", 1),
        ({"match": HOST, "then": {"traffic-rate": "fast"}}, "a number is expected", 0),
        ({"match": HOST, "then": {"traffic-rate": "-1"}}, "0 drops", 0),
        ({"match": HOST, "then": {"traffic-rate": "nan"}}, "0 or more", 0),
        ({"match": HOST, "then": {"traffic-rate": "inf"}}, "does not fit a single", 0),
        ({"match": HOST, "then": {"traffic-rate": "1e-60"}}, "too near zero", 0),
        ({"match": HOST, "then": {"traffic-marking": "64"}}, "over 63", 0),
        ({"match": HOST, "then": {"traffic-action": "stop"}}, "one of none, continue", 0),
        ({"match": HOST, "then": {"redirect-as": "65000"}}, "administrator:value", 5),
        ({"match": HOST, "then": {"redirect-as": "65536:1"}}, "over 65535", 0),
        ({"match": HOST, "then": {"redirect-as4": "1:65536"}}, "over 65535", 2),
        ({"match": HOST, "then": {"redirect-ip": "here:1"}}, r"then\.redirect-ip: not an IPv4 or IPv6 address", 0),
        ({"match": HOST, "then": {"redirect-nexthop": "here"}}, r"then\.redirect-nexthop: not an IPv4 or IPv6", 0),
        ({"match": HOST, "then": {"redirect-nexthop": True}}, r"then\.redirect-nexthop: a text or a number", 0),
        ({"match": HOST, "then": {"redirect-action-ip": ""}}, r"then\.redirect-action-ip: not an IPv4 or IPv6", 0),
        ({"match": HOST, "then": {"communities": "1"}}, r"then\.communities", 0),
    ],
)
def test_wrong_objects_are_pointed_at(value: dict[str, Any], words: str, column: int) -> None:
    with pytest.raises(TextError, match=words) as caught:
        parse_flow(value)
    assert caught.value.column == column


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ({}, "without any field"),
        ({"version": "4"}, "without any field"),
        ({"protocol": "udp"}, "neither prefix nor"),
        ({"protocol": "udp", "version": "4"}, "all traffic"),
        ({"destination": "0.0.0.0/0"}, "all traffic"),
        ({"destination": "::/0", "source": "::/0"}, "all traffic"),
        ({"destination": "192.0.2.1", "source": "2001:db8::1"}, "IPv4 prefix together with an IPv6"),
        (HOST | {"flow-label": "1"}, "FLOW_LABEL does not exist for IPV4"),
        ({"destination": "2001:db8::1", "fragment": "D"}, "IPv6 has no don't-fragment bit"),
        (HOST | {"icmp-type": "8", "port": "1"}, "ICMP fields together with ports"),
        (HOST | {"protocol": "icmp", "port": "53"}, "port with a protocol that has none"),
        (HOST | {"protocol": "udp", "tcp-flags": "S"}, "tcp-flags with a protocol that has none"),
        (HOST | {"protocol": "tcp", "icmp-type": "8"}, "icmp-type with a protocol that has none"),
        (HOST | {"port": "<0"}, "a port that no packet has"),
        (HOST | {"length": ">100&<50"}, "a length that no packet has"),
    ],
)
def test_what_would_hit_too_much_or_nothing_is_refused(match: dict[str, Any], words: str) -> None:
    with pytest.raises(Inexpressible, match=words):
        parse_flow({"match": match, "then": {"traffic-rate": 0}})


def test_all_traffic_needs_to_be_allowed() -> None:
    rule = parse_match({"protocol": "udp", "version": "4"}, allow_any=True)
    assert encode_rule(rule).hex() == "03038111"


@pytest.mark.parametrize(
    "then",
    [
        {"redirect-as": "1:1", "traffic-rate": "0"},
        {"redirect-as": "1:1", "redirect-ip": "192.0.2.1:1"},
        {"redirect-nexthop": "192.0.2.9", "communities": "128:6:0"},
    ],
)
def test_actions_that_contradict_each_other_are_refused(then: dict[str, str]) -> None:
    with pytest.raises(Inexpressible):
        parse_flow({"match": HOST, "then": then})


def test_a_key_may_be_had_of_any_rule() -> None:
    route = parse_flow({"match": {"protocol": "udp", "version": "4"}}, allow_any=True)
    assert flow_key(format_flow(route)) == route_key(route)


def test_what_the_object_has_no_field_for_is_raw_or_refused() -> None:
    routed = FlowRoute(parse_match(HOST), (TrafficRateBytes(9.0, asn=7), TrafficRateBytes(-1.0), TrafficAction()))
    written = format_flow(routed)
    assert written["then"]["communities"].startswith("128:6:")
    assert parse_flow(written) == routed
    offset = PrefixComponent(ComponentType.DESTINATION, Prefix(bytes(15) + b"\1", 128), 64)
    with pytest.raises(Inexpressible, match="offset 64"):
        format_flow(FlowRoute(FlowRule(Afi.IPV6, (offset,))))


FIELDS = ["destination", "source", "version", "protocol", "port", "tcp-flags", "fragment", "length", "x"]
VALUES = (
    st.text(max_size=12) | st.integers() | st.floats() | st.none() | st.sampled_from(["192.0.2.1", "=53", "S", "4"])
)


@given(st.dictionaries(st.sampled_from(FIELDS), VALUES), st.dictionaries(st.text(max_size=8), VALUES, max_size=2))
def test_any_object_is_a_rule_or_a_clear_error(match: dict[str, Any], then: dict[str, Any]) -> None:
    with suppress(TextError, Inexpressible):
        route = parse_flow({"match": match, "then": then})
        assert {"destination", "source"} & set(match)
        assert route_key(route)
