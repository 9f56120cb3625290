from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bgp_cases import actions, rules
from tidegate.control.flow_words import describe_actions, describe_match, quirks
from tidegate.control.flowspec import parse_match
from tidegate.wire.bgp.communities import (
    Action,
    InterfaceSet,
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
from tidegate.wire.bgp.flowspec import (
    BitmaskComponent,
    BitmaskOp,
    Comparison,
    ComponentType,
    FlowRule,
    NumericComponent,
    NumericOp,
    PrefixComponent,
)
from tidegate.wire.bgp.prefix import parse_prefix

HOST = {"destination": "192.0.2.1"}


@pytest.mark.parametrize(
    ("match", "line"),
    [
        ({}, "to 192.0.2.1/32"),
        ({"source": "203.0.113.0/24"}, "from 203.0.113.0/24"),
        ({"source": "0.0.0.0/0"}, "from any address"),
        ({"protocol": "17"}, "protocol 17 (UDP)"),
        ({"protocol": "6|17|99"}, "protocol 6 (TCP), 17 (UDP) or 99"),
        ({"port": "137-139|8080"}, "source or destination port 137 to 139 or 8080"),
        ({"source-port": "<=79|>=1024"}, "source port up to 79 or 1024 and more"),
        ({"destination-port": ">=0"}, "destination port any"),
        ({"icmp-type": "8"}, "ICMP type 8"),
        ({"length": ">=468&<=512"}, "IP packet of 468 to 512 octets"),
        ({"dscp": "ef"}, "DSCP 46 (EF)"),
        ({"tcp-flags": "S"}, "TCP flags: SYN set"),
        ({"tcp-flags": "SA"}, "TCP flags: SYN and ACK set"),
        ({"tcp-flags": "~SA&!R"}, "TCP flags: any of SYN and ACK set and RST not set"),
        ({"tcp-flags": "!SA"}, "TCP flags: not all of SYN and ACK set"),
        ({"tcp-flags": "!~SA|N"}, "TCP flags: none of SYN and ACK set, or NS set"),
        ({"fragment": "I"}, "fragments in between and last fragments"),
        ({"fragment": "!I"}, "whole packets and first fragments"),
        ({"fragment": "D&!I"}, "whole packets with DF and first fragments with DF"),
        ({"fragment": "!D&!I"}, "whole packets without DF and first fragments without DF"),
        ({"fragment": "I|!I"}, "whole packets and fragments of any kind"),
        ({"fragment": "FL"}, "fragment bits that no packet has"),
    ],
)
def test_components(match: dict[str, str], line: str) -> None:
    rule = parse_match(HOST | match)
    assert describe_match(rule)[-1 if match else 0] == line


def test_offsets_and_labels() -> None:
    rule = FlowRule(
        Afi.IPV6,
        (
            PrefixComponent(ComponentType.DESTINATION, parse_prefix("::12:0:0/96"), 64),
            NumericComponent(ComponentType.FLOW_LABEL, (NumericOp(Comparison.EQ, 7, 4),)),
        ),
    )
    assert describe_match(rule) == ["to ::12:0:0/96 (the first 64 bits may be any)", "flow label 7"]


def test_components_of_odd_octets() -> None:
    nothing = NumericComponent(ComponentType.PORT, (NumericOp(Comparison.FALSE, 0, 1),))
    empty = BitmaskComponent(ComponentType.TCP_FLAGS, (BitmaskOp(0, 1), BitmaskOp(0x1000, 2, invert=True)))
    assert describe_match(FlowRule(Afi.IPV4, (nothing, empty))) == [
        "source or destination port that no packet has",
        "TCP flags: nothing, or anything",
    ]


ACTIONS: list[tuple[tuple[Action, ...], list[str]]] = [
    ((), ["let pass (no action)"]),
    ((TrafficRateBytes(0.0),), ["drop"]),
    ((TrafficRateBytes(12500.0),), ["at most 12,500 octets/s (100,000 bit/s)"]),
    ((TrafficRatePackets(1000.0),), ["at most 1,000 packets/s"]),
    ((TrafficRateBytes(math.inf), TrafficRatePackets(math.inf)), ["no limit of octets", "no limit of packets"]),
    ((TrafficMarking(10),), ["mark with DSCP 10 (AF11)"]),
    ((TrafficMarking(11),), ["mark with DSCP 11"]),
    ((RtRedirect(RedirectForm.AS2, 65000, 666),), ["redirect into the VRF that imports route target 65000:666"]),
    ((RtRedirect(RedirectForm.IPV4, 0xC0000201, 6),), ["redirect into the VRF that imports route target 192.0.2.1:6"]),
    ((RtRedirectIpv6(bytes(16), 6),), ["redirect into the VRF that imports route target [::]:6"]),
    ((RedirectToIp(bytes([192, 0, 2, 9])),), ["redirect to 192.0.2.9"]),
    ((RedirectToIp(bytes([192, 0, 2, 9]), copy=True),), ["copy to 192.0.2.9"]),
    ((RedirectToNextHop(),), ["redirect to the next hop of the route, 192.0.2.7"]),
    ((TrafficAction(sample=True),), ["sample: matching packets are logged or sampled"]),
    (
        (TrafficAction(go_on=True),),
        [
            "let pass",
            "go on: the rules after this one are tried as well (T bit set; some tools call that “terminal”)",
        ],
    ),
    (
        (InterfaceSet(65000, 7, inbound=True, outbound=True), TrafficRateBytes(0.0)),
        ["only in and out of interfaces of group 7 of AS 65000", "drop"],
    ),
    ((InterfaceSet(65000, 7),), ["only no direction of interfaces of group 7 of AS 65000", "let pass"]),
    (
        (RawCommunity(bytes.fromhex("0002fde800000064")),),
        ["let pass", "community 0002fde800000064 is no action that is known"],
    ),
    (
        (
            TrafficRateBytes(0.0),
            TrafficRateBytes(5.0),
            TrafficRatePackets(5.0),
            RedirectToIp(bytes([192, 0, 2, 9])),
            TrafficMarking(1),
        ),
        [
            "drop",
            "not done: at most 5 octets/s (40 bit/s) (the traffic is dropped)",
            "not done: at most 5 packets/s (the traffic is dropped)",
            "not done: redirect to 192.0.2.9 (the traffic is dropped)",
            "not done: mark with DSCP 1 (LE) (the traffic is dropped)",
        ],
    ),
]


@pytest.mark.parametrize(("given_", "lines"), ACTIONS)
def test_actions(given_: tuple[Action, ...], lines: list[str]) -> None:
    assert describe_actions(given_, bytes([192, 0, 2, 7])) == lines


def test_an_unknown_next_hop_is_not_made_up() -> None:
    assert describe_actions([RedirectToNextHop()]) == ["redirect to the next hop of the route"]


@pytest.mark.parametrize(
    ("match", "words"),
    [
        ({"port": "53"}, "port: never of fragments after the first"),
        ({"port": "53"}, "ports are those of TCP and UDP alone"),
        ({"length": "60"}, "packet-length counts the whole IP packet: header and payload"),
        ({"port": "53", "fragment": "I"}, "no packet matches: the fragments that are meant have no transport header"),
    ],
)
def test_quirks_of_matches(match: dict[str, str], words: str) -> None:
    assert any(line.startswith(words) for line in quirks(parse_match(HOST | match)))


def test_a_plain_rule_has_no_quirks() -> None:
    assert quirks(parse_match(HOST)) == []
    assert quirks(parse_match(HOST | {"protocol": "6", "fragment": "I"})) == []
    assert not any("no packet" in line for line in quirks(parse_match(HOST | {"port": "53", "fragment": "D"})))


def test_quirks_of_what_is_for_all_or_for_nobody() -> None:
    wide = parse_match({"version": "4", "protocol": "17"}, allow_any=True)
    assert quirks(wide) == [
        "all traffic is looked at: there is no destination and no source prefix",
        "receivers that validate rules refuse it: no destination prefix from the first bit on (RFC 8955 6)",
    ]
    both = FlowRule(
        Afi.IPV6,
        (
            PrefixComponent(ComponentType.DESTINATION, parse_prefix("::12:0:0/96"), 64),
            NumericComponent(ComponentType.PORT, (NumericOp(Comparison.EQ, 7, 1),)),
            NumericComponent(ComponentType.ICMP_TYPE, (NumericOp(Comparison.EQ, 7, 1),)),
            NumericComponent(ComponentType.PACKET_LENGTH, (NumericOp(Comparison.EQ, 7, 1),)),
            BitmaskComponent(ComponentType.FRAGMENT, (BitmaskOp(1, 1),)),
        ),
    )
    told = quirks(both)
    assert told[0].startswith("no packet matches: ICMP fields together with ports")
    assert "receivers that validate rules refuse it: no destination prefix from the first bit on (RFC 8955 6)" in told
    assert "packet-length counts the whole IP packet: the payload length and 40" in told
    assert "IPv6 has no don't-fragment bit: it is ignored (RFC 8956 3.6)" in told


@given(rules(), st.lists(actions(), max_size=4))
def test_every_rule_can_be_told_in_words(rule: FlowRule, drawn: list[Action]) -> None:
    assert len(describe_match(rule)) == len(rule.components)
    assert all(describe_match(rule))
    assert describe_actions(drawn)
    assert all(quirks(rule))
