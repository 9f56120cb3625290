"""FlowSpec rules of every component and action: as records, and as each daemon with rules of its own writes them."""

from __future__ import annotations

import msgspec

from tidegate.wire.bgp.communities import (
    Action,
    RedirectForm,
    RedirectToNextHop,
    RtRedirect,
    TrafficAction,
    TrafficMarking,
    TrafficRateBytes,
    TrafficRatePackets,
)
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
    PrefixComponent,
)
from tidegate.wire.bgp.prefix import parse_address, parse_prefix
from tidegate.wire.bgp.routes import FlowRoute


class Rule(msgspec.Struct, frozen=True):
    """One rule; a daemon that cannot say it has None."""

    route: FlowRoute
    bird: str | None
    gobgp: str | None
    exabgp: str | None


def _numbers(type_: ComponentType, text: str) -> Component:
    """Read `=53|=123`, `>=468&<=512`: OR binds looser than AND."""
    ops: list[NumericOp] = []
    for group in text.split("|"):
        for place, word in enumerate(group.split("&")):
            value = word.lstrip("<>=!")
            sign = word.removesuffix(value)
            comparison = Comparison.EQ if sign == "=" else Comparison(sign)
            width = next(width for width in KINDS[type_].widths if int(value) < 1 << 8 * width)
            ops.append(NumericOp(comparison, int(value), width, conjunct=place > 0))
    return NumericComponent(type_, tuple(ops))


def _to(prefix: str, offset: int = 0) -> Component:
    return PrefixComponent(ComponentType.DESTINATION, parse_prefix(prefix), offset)


def _from(prefix: str) -> Component:
    return PrefixComponent(ComponentType.SOURCE, parse_prefix(prefix))


def _protocol(number: int) -> Component:
    return _numbers(ComponentType.PROTOCOL, f"={number}")


def _bits(type_: ComponentType, *ops: BitmaskOp) -> Component:
    return BitmaskComponent(type_, ops)


def _rule(components: tuple[Component, ...], *actions: Action, next_hop: str = "") -> FlowRoute:
    first = components[0]
    assert isinstance(first, PrefixComponent)
    hop = parse_address(next_hop) if next_hop else b""
    return FlowRoute(FlowRule(first.prefix.afi, components), actions, hop)


_DROP = TrafficRateBytes(0.0)
_DROP_BIRD = "{ bgp_ext_community.add((generic, 0x80060000, 0x0)); };"
_SYN_NOT_ACK = (BitmaskOp(0x02, 1, match=True), BitmaskOp(0x10, 1, invert=True, conjunct=True))
_TYPES = ComponentType

IPV4 = (
    Rule(
        _rule(
            (
                _to("192.0.2.1/32"),
                _protocol(17),
                _numbers(_TYPES.SOURCE_PORT, "=53|=123"),
                _numbers(_TYPES.PACKET_LENGTH, ">=468&<=512"),
            ),
            _DROP,
        ),
        f"flow4 {{ dst 192.0.2.1/32; proto = 17; sport = 53 || = 123; length >= 468 && <= 512; }} {_DROP_BIRD}",
        "ipv4-flowspec match destination 192.0.2.1/32 protocol udp source-port '==53 ==123' "
        "packet-length '>=468&<=512' then discard",
        "match { destination 192.0.2.1/32; protocol udp; source-port [ =53 =123 ]; packet-length >=468&<=512; } "
        "then { discard; }",
    ),
    Rule(
        _rule(
            (
                _to("192.0.2.2/32"),
                _from("198.51.100.0/24"),
                _numbers(_TYPES.PORT, "=80|>=1024&<=2048"),
                _numbers(_TYPES.DSCP, "=46"),
            ),
            TrafficRateBytes(125000.0),
        ),
        "flow4 { dst 192.0.2.2/32; src 198.51.100.0/24; port = 80 || >= 1024 && <= 2048; dscp = 46; } "
        "{ bgp_ext_community.add((generic, 0x80060000, 0x47f42400)); };",
        "ipv4-flowspec match destination 192.0.2.2/32 source 198.51.100.0/24 port '==80 >=1024&<=2048' dscp '==46' "
        "then rate-limit 125000",
        "match { destination 192.0.2.2/32; source 198.51.100.0/24; port [ =80 >=1024&<=2048 ]; dscp =46; } "
        "then { rate-limit 125000; }",
    ),
    Rule(
        _rule(
            (
                _to("192.0.2.3/32"),
                _protocol(6),
                _numbers(_TYPES.DESTINATION_PORT, ">=8000&<=8080"),
                _bits(_TYPES.TCP_FLAGS, *_SYN_NOT_ACK),
            ),
            RtRedirect(RedirectForm.AS2, 65010, 666),
        ),
        "flow4 { dst 192.0.2.3/32; proto = 6; dport >= 8000 && <= 8080; tcp flags 0x2/0x12; } "
        "{ bgp_ext_community.add((generic, 0x8008fdf2, 0x29a)); };",
        "ipv4-flowspec match destination 192.0.2.3/32 protocol tcp destination-port '>=8000&<=8080' "
        "tcp-flags '=S&!A' then redirect 65010:666",
        "match { destination 192.0.2.3/32; protocol tcp; destination-port >=8000&<=8080; tcp-flags =syn&!ack; } "
        "then { redirect 65010:666; }",
    ),
    Rule(
        _rule(
            (
                _to("192.0.2.4/32"),
                _protocol(1),
                _numbers(_TYPES.ICMP_TYPE, "=8"),
                _numbers(_TYPES.ICMP_CODE, "=0"),
            ),
            TrafficMarking(10),
        ),
        "flow4 { dst 192.0.2.4/32; proto = 1; icmp type = 8; icmp code = 0; } "
        "{ bgp_ext_community.add((generic, 0x80090000, 0xa)); };",
        "ipv4-flowspec match destination 192.0.2.4/32 protocol icmp icmp-type '==8' icmp-code '==0' then mark 10",
        "match { destination 192.0.2.4/32; protocol icmp; icmp-type =8; icmp-code =0; } then { mark 10; }",
    ),
    Rule(
        _rule(
            (_to("192.0.2.0/28"), _bits(_TYPES.FRAGMENT, BitmaskOp(0x02, 1))),
            TrafficAction(sample=True),
        ),
        None,  # BIRD has no form of a fragment that asks for any of the bits
        "ipv4-flowspec match destination 192.0.2.0/28 fragment is-fragment then action sample",
        "match { destination 192.0.2.0/28; fragment is-fragment; } then { action sample; }",
    ),
    Rule(
        _rule((_to("192.0.2.5/32"), _protocol(17)), TrafficRatePackets(1000.0)),
        "flow4 { dst 192.0.2.5/32; proto = 17; } { bgp_ext_community.add((generic, 0x800c0000, 0x447a0000)); };",
        None,
        "match { destination 192.0.2.5/32; protocol udp; } then { rate-limit 1000 packets; }",
    ),
    Rule(
        _rule((_to("192.0.2.6/32"),), RedirectToNextHop(), next_hop="203.0.113.9"),
        None,
        None,
        "match { destination 192.0.2.6/32; } then { redirect 203.0.113.9; }",
    ),
    Rule(
        _rule((_to("192.0.2.7/32"), _from("198.51.100.7/32"))),
        "flow4 { dst 192.0.2.7/32; src 198.51.100.7/32; };",
        "ipv4-flowspec match destination 192.0.2.7/32 source 198.51.100.7/32 then accept",
        "match { destination 192.0.2.7/32; source 198.51.100.7/32; } then { accept; }",
    ),
)

IPV6 = (
    Rule(
        _rule(
            (
                _to("2001:db8::1/128"),
                _protocol(17),
                _numbers(_TYPES.SOURCE_PORT, "=53|=123"),
                _numbers(_TYPES.PACKET_LENGTH, ">=468&<=512"),
                _numbers(_TYPES.DSCP, "=46"),
            ),
            _DROP,
        ),
        "flow6 { dst 2001:db8::1/128; next header = 17; sport = 53 || = 123; length >= 468 && <= 512; dscp = 46; } "
        + _DROP_BIRD,
        "ipv6-flowspec match destination 2001:db8::1/128 protocol udp source-port '==53 ==123' "
        "packet-length '>=468&<=512' dscp '==46' then discard",
        "match { destination 2001:db8::1/128; next-header udp; source-port [ =53 =123 ]; packet-length >=468&<=512; "
        "traffic-class =46; } then { discard; }",
    ),
    Rule(
        _rule(
            (
                _to("2001:db8::2/128"),
                _from("2001:db8:1::/48"),
                _protocol(6),
                _numbers(_TYPES.DESTINATION_PORT, "=443"),
                _bits(_TYPES.TCP_FLAGS, *_SYN_NOT_ACK),
                _numbers(_TYPES.FLOW_LABEL, "=9029"),
            ),
            TrafficRateBytes(125000.0),
        ),
        "flow6 { dst 2001:db8::2/128; src 2001:db8:1::/48; next header = 6; dport = 443; tcp flags 0x2/0x12; "
        "label = 9029; } { bgp_ext_community.add((generic, 0x80060000, 0x47f42400)); };",
        "ipv6-flowspec match destination 2001:db8::2/128 source 2001:db8:1::/48 protocol tcp destination-port '==443' "
        "tcp-flags '=S&!A' label '==9029' then rate-limit 125000",
        "match { destination 2001:db8::2/128; source 2001:db8:1::/48; next-header tcp; destination-port =443; "
        "tcp-flags =syn&!ack; flow-label =9029; } then { rate-limit 125000; }",
    ),
    Rule(
        _rule(
            (
                _to("2001:db8::3/128"),
                _protocol(58),
                _numbers(_TYPES.ICMP_TYPE, "=128"),
                _numbers(_TYPES.ICMP_CODE, "=0"),
            ),
            TrafficMarking(10),
        ),
        "flow6 { dst 2001:db8::3/128; next header = 58; icmp type = 128; icmp code = 0; } "
        "{ bgp_ext_community.add((generic, 0x80090000, 0xa)); };",
        "ipv6-flowspec match destination 2001:db8::3/128 protocol '==58' icmp-type '==128' icmp-code '==0' "
        "then mark 10",
        "match { destination 2001:db8::3/128; next-header =58; icmp-type =128; icmp-code =0; } then { mark 10; }",
    ),
    Rule(
        _rule(
            (_to("2001:db8::/64"), _bits(_TYPES.FRAGMENT, BitmaskOp(0x02, 1))), RtRedirect(RedirectForm.AS2, 65010, 6)
        ),
        None,
        "ipv6-flowspec match destination 2001:db8::/64 fragment is-fragment then redirect 65010:6",
        "match { destination 2001:db8::/64; fragment is-fragment; } then { redirect 65010:6; }",
    ),
    Rule(
        _rule((_to("2001:db8::4/128"), _numbers(_TYPES.FLOW_LABEL, "=74565")), _DROP),
        None,  # BIRD cuts a label off at 16 bits
        "ipv6-flowspec match destination 2001:db8::4/128 label '==74565' then discard",
        "match { destination 2001:db8::4/128; flow-label =74565; } then { discard; }",
    ),
    Rule(
        _rule((_to("::1234:0:0/96", 64), _protocol(17)), _DROP),
        f"flow6 {{ dst ::1234:0:0/96 offset 64; next header = 17; }} {_DROP_BIRD}",
        "ipv6-flowspec match destination ::1234:0:0/96 64 protocol udp then discard",
        "match { destination ::1234:0:0/96/64; next-header udp; } then { discard; }",
    ),
)
RULES = IPV4 + IPV6
assert {component.type for rule in RULES for component in rule.route.rule.components} == set(ComponentType)
assert {rule.route.rule.afi for rule in IPV4} == {Afi.IPV4}
