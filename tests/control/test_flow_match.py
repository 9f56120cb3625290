from __future__ import annotations

import ipaddress
import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import VECTORS, rules
from tidegate.control.flow_match import FRAGMENT_CLASSES, IS_FRAGMENT, PacketFields, bits_match, matches
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import (
    BitmaskComponent,
    BitmaskOp,
    Comparison,
    ComponentType,
    FlowRule,
    NumericComponent,
    NumericOp,
    decode_rule,
)
from tidegate.wire.bgp.profile import value_ranges
from tidegate.wire.cursor import Reader

PAIRS = VECTORS.with_name("flowspec-match-vectors.json")
EXTENSIONS = {0, 43, 60}  # hop-by-hop, routing, destination options
FRAGMENT = 44


@cache
def match_vectors() -> dict[str, Any]:
    if not PAIRS.exists():
        pytest.skip(f"{PAIRS} is not here")
    loaded = json.loads(PAIRS.read_text())
    assert isinstance(loaded, dict)
    return loaded


def fields_of(case: dict[str, Any]) -> PacketFields:
    """Return what rules ask of a packet of the vectors: what the file tells, and the rest read off its octets."""
    octets = bytes.fromhex(case["ip"])
    afi = Afi.IPV4 if octets[0] >> 4 == 4 else Afi.IPV6
    known = {name: case[name] for name in ("protocol", "length", "dscp")}
    transport = octets[4 * (octets[0] & 15) :] if afi is Afi.IPV4 else after_extensions(octets)
    if not case["transport_visible"]:
        transport = b""
    protocol = case["protocol"]
    return PacketFields(
        afi=afi,
        source=ipaddress.ip_address(case["src"]).packed,
        destination=ipaddress.ip_address(case["dst"]).packed,
        fragment=case["fragment_bits"],
        flow_label=int.from_bytes(octets[1:4], "big") & 0xFFFFF if afi is Afi.IPV6 else 0,
        source_port=int.from_bytes(transport[:2], "big") if protocol in {6, 17, 132} and transport else None,
        destination_port=int.from_bytes(transport[2:4], "big") if protocol in {6, 17, 132} and transport else None,
        icmp_type=transport[0] if protocol in {1, 58} and transport else None,
        icmp_code=transport[1] if protocol in {1, 58} and transport else None,
        tcp_flags=int.from_bytes(transport[12:14], "big") & 0xFFF if protocol == 6 and transport else None,
        **known,
    )


def after_extensions(octets: bytes) -> bytes:
    following, rest = octets[6], octets[40:]
    while following in EXTENSIONS or following == FRAGMENT:
        size = 8 if following == FRAGMENT else 8 * (rest[1] + 1)
        following, rest = rest[0], rest[size:]
    return rest


def test_every_packet_matches_the_rules_it_should_and_no_other() -> None:
    data = match_vectors()
    packets = [fields_of(case) for case in data["packets"]]
    wrong = []
    for case in data["rules"]:
        rule = decode_rule(Reader(bytes.fromhex(case["nlri"])), Afi(case["afi"]))
        found = [place for place, packet in enumerate(packets) if matches(rule, packet)]
        if found != case["matches"]:
            wrong.append((case["id"], sorted(set(found) ^ set(case["matches"]))))
    assert not wrong
    assert len(packets) * len(data["rules"]) == 40_300


def packets(afi: Afi) -> st.SearchStrategy[PacketFields]:
    octets = 4 if afi is Afi.IPV4 else 16
    address = st.binary(min_size=octets, max_size=octets)
    port = st.integers(0, 65535)
    return st.builds(
        PacketFields,
        afi=st.just(afi),
        source=address,
        destination=address,
        protocol=st.sampled_from([1, 6, 17, 58, 47, None]),
        length=port,
        dscp=st.integers(0, 63),
        fragment=st.sampled_from([*FRAGMENT_CLASSES.values(), 1]),
        source_port=port,
        destination_port=port,
        icmp_type=st.integers(0, 255),
        icmp_code=st.integers(0, 255),
        tcp_flags=st.integers(0, 0xFFF),
        flow_label=st.integers(0, 0xFFFFF),
    )


@given(st.sampled_from(Afi).flatmap(lambda afi: st.tuples(rules(afi), packets(afi))))
def test_a_rule_matches_where_each_of_its_components_does(pair: tuple[FlowRule, PacketFields]) -> None:
    rule, packet = pair
    alone = [matches(FlowRule(rule.afi, (component,)), packet) for component in rule.components]
    assert matches(rule, packet) == all(alone)


@given(rules(Afi.IPV4), packets(Afi.IPV6))
def test_families_are_apart(rule: FlowRule, packet: PacketFields) -> None:
    assert not matches(rule, packet)


@given(st.integers(0, 65535), st.lists(st.tuples(st.sampled_from(Comparison), st.integers(0, 65535), st.booleans())))
def test_ranges_are_what_matches(length: int, terms: list[tuple[Comparison, int, bool]]) -> None:
    ops = tuple(NumericOp(sign, value, 2, joined and place > 0) for place, (sign, value, joined) in enumerate(terms))
    component = NumericComponent(ComponentType.PACKET_LENGTH, ops)
    packet = PacketFields(afi=Afi.IPV4, source=bytes(4), destination=bytes(4), protocol=6, length=length)
    inside = any(low <= length <= high for low, high in value_ranges(component))
    assert matches(FlowRule(Afi.IPV4, (component,)), packet) == inside


def test_either_port_will_do_and_a_port_is_of_tcp_and_udp_alone() -> None:
    rule = FlowRule(Afi.IPV4, (NumericComponent(ComponentType.PORT, (NumericOp(Comparison.NE, 53, 1),)),))

    def packet(protocol: int, source: int | None, fragment: int = 0) -> PacketFields:
        return PacketFields(
            afi=Afi.IPV4,
            source=bytes(4),
            destination=bytes(4),
            protocol=protocol,
            length=60,
            source_port=source,
            destination_port=53,
            fragment=fragment,
        )

    assert matches(rule, packet(17, 1))
    assert not matches(rule, packet(17, 53))
    assert not matches(rule, packet(17, None))
    assert not matches(rule, packet(132, 1))
    assert not matches(rule, packet(17, 1, IS_FRAGMENT))


def test_dont_fragment_is_nothing_in_ipv6() -> None:
    ops = (BitmaskOp(3, 1, match=True),)
    for afi, hit in ((Afi.IPV4, False), (Afi.IPV6, True)):
        width = 4 if afi is Afi.IPV4 else 16
        packet = PacketFields(
            afi=afi, source=bytes(width), destination=bytes(width), protocol=6, length=9, fragment=IS_FRAGMENT
        )
        rule = FlowRule(afi, (BitmaskComponent(ComponentType.FRAGMENT, ops),))
        assert matches(rule, packet) is hit


@pytest.mark.parametrize(
    ("match", "invert", "hits"),
    [(False, False, {1, 2, 3}), (True, False, {3}), (False, True, {0, 4}), (True, True, {0, 1, 2, 4})],
)
def test_the_four_meanings_of_a_bit_test(match: bool, invert: bool, hits: set[int]) -> None:  # noqa: FBT001
    op = BitmaskOp(3, 1, match=match, invert=invert)
    assert {value for value in range(5) if bits_match((op,), value)} == hits
