"""Whether a packet is what a FlowSpec rule means: the specification's text as a function.

Slow and obvious on purpose: what a target does with a rule is compared with this. Octets of packets are not read here.

Answers for: RFC 8955 sections 4.2.1 and 4.2.2, RFC 8956 section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeVar, assert_never

import msgspec

from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.flowspec import (
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

__all__ = [
    "DONT_FRAGMENT",
    "FIRST_FRAGMENT",
    "FRAGMENT_CLASSES",
    "IS_FRAGMENT",
    "LAST_FRAGMENT",
    "PacketFields",
    "bits_match",
    "matches",
]

DONT_FRAGMENT: Final = 1  # RFC 8955 4.2.2.12
IS_FRAGMENT: Final = 2
FIRST_FRAGMENT: Final = 4
LAST_FRAGMENT: Final = 8
FRAGMENT_CLASSES: Final[Mapping[str, int]] = MappingProxyType(
    {"whole packets": 0, "first fragments": 4, "fragments in between": 2, "last fragments": 10}
)
_TCP: Final = frozenset({6})
_WITH_PORTS: Final = frozenset({6, 17})
_ICMP: Final = frozenset({1, 58})

Op = TypeVar("Op", NumericOp, BitmaskOp)


class PacketFields(msgspec.Struct, frozen=True, kw_only=True):
    """What rules ask of a packet. None where it is not there, such as ports of what has none or was cut before them.

    `protocol` is the first header that is no extension header; `length` that of the whole IP packet; `fragment` the
    bits of RFC 8955 4.2.2.12; `tcp_flags` twelve bits, octets 13 and 14 of the header without the data offset.
    """

    afi: Afi
    source: bytes
    destination: bytes
    protocol: int | None
    length: int
    dscp: int = 0
    fragment: int = 0
    source_port: int | None = None
    destination_port: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    tcp_flags: int | None = None
    flow_label: int = 0


def matches(rule: FlowRule, packet: PacketFields) -> bool:
    """Tell whether every component matches."""
    return rule.afi is packet.afi and all(_component_matches(component, packet) for component in rule.components)


def _component_matches(component: Component, packet: PacketFields) -> bool:
    match component:
        case PrefixComponent():
            to = component.type is ComponentType.DESTINATION
            return _prefix_matches(component, packet.destination if to else packet.source)
        case NumericComponent():
            return any(_any_group(component.ops, value, _compare) for value in _values(component.type, packet))
        case BitmaskComponent():
            unused = DONT_FRAGMENT if component.type is ComponentType.FRAGMENT and packet.afi is Afi.IPV6 else 0
            return any(bits_match(component.ops, value, unused=unused) for value in _values(component.type, packet))
        case _:
            assert_never(component)


def _prefix_matches(component: PrefixComponent, address: bytes) -> bool:
    bits = 8 * len(address)
    wanted = (1 << bits - component.offset) - (1 << bits - component.prefix.length)
    return (int.from_bytes(address, "big") ^ int.from_bytes(component.prefix.address, "big")) & wanted == 0


def _values(type_: ComponentType, packet: PacketFields) -> list[int]:
    """Return the numbers that a component looks at, one of which must match; none where the packet has none."""
    found = _FIELDS[type_](packet)
    protocols = _PROTOCOLS.get(type_)
    # no fragment but the first has a transport header (RFC 8955 4.2.2.4 to 4.2.2.9)
    if protocols is not None and (packet.protocol not in protocols or packet.fragment & IS_FRAGMENT):
        return []
    return [value for value in found if value is not None]


_FIELDS: Final[Mapping[ComponentType, Callable[[PacketFields], tuple[int | None, ...]]]] = MappingProxyType(
    {
        ComponentType.PROTOCOL: lambda packet: (packet.protocol,),
        ComponentType.PORT: lambda packet: (packet.source_port, packet.destination_port),
        ComponentType.DESTINATION_PORT: lambda packet: (packet.destination_port,),
        ComponentType.SOURCE_PORT: lambda packet: (packet.source_port,),
        ComponentType.ICMP_TYPE: lambda packet: (packet.icmp_type,),
        ComponentType.ICMP_CODE: lambda packet: (packet.icmp_code,),
        ComponentType.TCP_FLAGS: lambda packet: (packet.tcp_flags,),
        ComponentType.PACKET_LENGTH: lambda packet: (packet.length,),
        ComponentType.DSCP: lambda packet: (packet.dscp,),
        ComponentType.FRAGMENT: lambda packet: (packet.fragment,),
        ComponentType.FLOW_LABEL: lambda packet: (packet.flow_label,),
    }
)
_PROTOCOLS: Final[Mapping[ComponentType, frozenset[int]]] = MappingProxyType(
    {
        ComponentType.PORT: _WITH_PORTS,
        ComponentType.DESTINATION_PORT: _WITH_PORTS,
        ComponentType.SOURCE_PORT: _WITH_PORTS,
        ComponentType.ICMP_TYPE: _ICMP,
        ComponentType.ICMP_CODE: _ICMP,
        ComponentType.TCP_FLAGS: _TCP,
    }
)


def _any_group(ops: Sequence[Op], value: int, test: Callable[[Op, int], bool]) -> bool:
    """Evaluate a list of operators: AND binds tighter than OR (RFC 8955 4.2.1.1)."""
    found = here = False
    for place, op in enumerate(ops):
        if op.conjunct and place:
            here = here and test(op, value)
        else:
            found = found or here
            here = test(op, value)
    return found or here


def _compare(op: NumericOp, value: int) -> bool:  # noqa: PLR0911 - one return an operator is the table
    match op.comparison:
        case Comparison.FALSE:
            return False
        case Comparison.EQ:
            return value == op.value
        case Comparison.GT:
            return value > op.value
        case Comparison.GE:
            return value >= op.value
        case Comparison.LT:
            return value < op.value
        case Comparison.LE:
            return value <= op.value
        case Comparison.NE:
            return value != op.value
        case Comparison.TRUE:
            return True
        case _:
            assert_never(op.comparison)


def bits_match(ops: Sequence[BitmaskOp], value: int, *, unused: int = 0) -> bool:
    """Tell whether a list of bit tests holds for `value`; bits of `unused` are left out of every test."""

    def test(op: BitmaskOp, bits: int) -> bool:
        wanted = op.value & ~unused
        return (bits & wanted == wanted if op.match else bits & wanted != 0) is not op.invert

    return _any_group(ops, value, test)
