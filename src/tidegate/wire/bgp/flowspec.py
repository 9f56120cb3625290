"""FlowSpec rules: NLRI octets to components and back.

Decoding takes everything that is legal on receipt (wide values, a first AND bit, reserved operator bits, prefix
padding) and refuses what RFC 8955 calls malformed. Encoding is strict: it writes one spelling, and raises `EncodeError`
for anything a careful peer would refuse, because one bad rule takes a router's whole session down.

IPv6 prefixes with an offset are written in three ways (`OffsetForm`); nothing in the octets tells which, so the caller
says what a peer writes. The order in which rules are tried is `flow_order`'s.

Answers for: RFC 8955 section 4, RFC 8956 section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final, assert_never

import msgspec

from tidegate.errors import DecodeError, EncodeError
from tidegate.wire.bgp.constants import Afi
from tidegate.wire.bgp.prefix import Prefix, mask
from tidegate.wire.cursor import Reader, Writer

__all__ = [
    "KINDS",
    "BitmaskComponent",
    "BitmaskOp",
    "Comparison",
    "Component",
    "ComponentType",
    "FlowRule",
    "Kind",
    "NumericComponent",
    "NumericOp",
    "OffsetForm",
    "OpsComponent",
    "PrefixComponent",
    "ValueForm",
    "decode_components",
    "decode_length",
    "decode_ops",
    "decode_rule",
    "encode_ops",
    "encode_rule",
]

_LONG_RULE: Final = 240  # RFC 8955 4.1: from here on the length takes two octets
_MOST_OCTETS: Final = 4095
_END, _AND = 0x80, 0x40


class ComponentType(IntEnum):
    """RFC 8955 section 4.2.2; 13 is RFC 8956's and for IPv6 alone."""

    DESTINATION = 1
    SOURCE = 2
    PROTOCOL = 3
    PORT = 4
    DESTINATION_PORT = 5
    SOURCE_PORT = 6
    ICMP_TYPE = 7
    ICMP_CODE = 8
    TCP_FLAGS = 9
    PACKET_LENGTH = 10
    DSCP = 11
    FRAGMENT = 12
    FLOW_LABEL = 13


class Comparison(StrEnum):
    """The eight meanings of a numeric operator's lower bits, in the order of the bits."""

    FALSE = "false"
    EQ = "=="
    GT = ">"
    GE = ">="
    LT = "<"
    LE = "<="
    NE = "!="
    TRUE = "true"


class ValueForm(IntEnum):
    """How the values of a component are written."""

    PREFIX = 0
    NUMERIC = 1
    BITMASK = 2


class OffsetForm(StrEnum):
    """Which octets of the pattern an IPv6 prefix with an offset carries; without an offset all are one."""

    RFC8956 = "rfc8956"  # from the offset to the length, moved to the left edge
    OCTETS = "octets"  # not moved: the whole octets that the bits from offset to length lie in (BIRD 2.0)
    WHOLE = "whole"  # not moved, from the first octet of the address on (GoBGP 3.10, ExaBGP 4.2)


class Kind(msgspec.Struct, frozen=True):
    """One row of the component table: widths are what the encoder writes, `most` the greatest value it takes."""

    form: ValueForm
    most: int = 0
    widths: tuple[int, ...] = ()
    families: tuple[Afi, ...] = (Afi.IPV4, Afi.IPV6)


_PORT = Kind(ValueForm.NUMERIC, 0xFFFF, (1, 2))
_OCTET = Kind(ValueForm.NUMERIC, 0xFF, (1,))
KINDS: Final[Mapping[ComponentType, Kind]] = MappingProxyType(
    {
        ComponentType.DESTINATION: Kind(ValueForm.PREFIX),
        ComponentType.SOURCE: Kind(ValueForm.PREFIX),
        ComponentType.PROTOCOL: _OCTET,
        ComponentType.PORT: _PORT,
        ComponentType.DESTINATION_PORT: _PORT,
        ComponentType.SOURCE_PORT: _PORT,
        ComponentType.ICMP_TYPE: _OCTET,
        ComponentType.ICMP_CODE: _OCTET,
        ComponentType.TCP_FLAGS: Kind(ValueForm.BITMASK, 0x0FFF, (1, 2)),  # four upper bits: data offset, 4.2.2.9
        ComponentType.PACKET_LENGTH: _PORT,
        ComponentType.DSCP: Kind(ValueForm.NUMERIC, 0x3F, (1,)),
        ComponentType.FRAGMENT: Kind(ValueForm.BITMASK, 0x0F, (1,)),
        ComponentType.FLOW_LABEL: Kind(ValueForm.NUMERIC, 0xFFFFF, (1, 2, 4), (Afi.IPV6,)),  # RFC 8956 3.7
    }
)
_COMPARISONS: Final = tuple(Comparison)
_COMPARISON_BITS: Final[Mapping[Comparison, int]] = MappingProxyType(
    {comparison: bits for bits, comparison in enumerate(Comparison)}
)


class PrefixComponent(msgspec.Struct, frozen=True):
    """Destination or source. `offset` (IPv6 only) leaves that many leading bits out of the comparison; they are 0."""

    type: ComponentType
    prefix: Prefix
    offset: int = 0


class NumericOp(msgspec.Struct, frozen=True):
    """One comparison; `conjunct` joins it to the one before by AND, else OR. `width` is its octets on the wire."""

    comparison: Comparison
    value: int
    width: int
    conjunct: bool = False


class BitmaskOp(msgspec.Struct, frozen=True):
    """`match`: all bits of `value` are set, else any of them; `invert` turns the result round."""

    value: int
    width: int
    match: bool = False
    invert: bool = False
    conjunct: bool = False


class NumericComponent(msgspec.Struct, frozen=True):
    """A list of comparisons with a number of the packet."""

    type: ComponentType
    ops: tuple[NumericOp, ...]


class BitmaskComponent(msgspec.Struct, frozen=True):
    """A list of comparisons with bits of the packet."""

    type: ComponentType
    ops: tuple[BitmaskOp, ...]


OpsComponent = NumericComponent | BitmaskComponent
Component = PrefixComponent | OpsComponent


class FlowRule(msgspec.Struct, frozen=True):
    """What traffic is meant: every component must match. Components stand in rising type order, each at most once."""

    afi: Afi
    components: tuple[Component, ...]


def decode_rule(reader: Reader, afi: Afi, *, offsets: OffsetForm = OffsetForm.RFC8956) -> FlowRule:
    """Read one rule with its length octets; `DecodeError` tells what is wrong and where."""
    return decode_components(reader.window(decode_length(reader)), afi, offsets=offsets)


def decode_length(reader: Reader) -> int:
    """Read the one or two octets of a rule's length."""
    first = reader.u8()
    return first if first < _LONG_RULE else (first & 0x0F) << 8 | reader.u8()


def decode_components(body: Reader, afi: Afi, *, offsets: OffsetForm = OffsetForm.RFC8956) -> FlowRule:
    """Read the components of one rule, which must fill `body`; `DecodeError` where the rule is malformed."""
    if not len(body):
        raise DecodeError("a rule of no component", body.offset)
    components: list[Component] = []
    last = 0
    while len(body):
        start = body.offset
        code = body.u8()
        components.append(_decode_component(body, code, afi, offsets))
        if code <= last:
            raise DecodeError("component types do not rise", start)
        last = code
    return FlowRule(afi, tuple(components))


def _decode_component(body: Reader, code: int, afi: Afi, offsets: OffsetForm) -> Component:
    start = body.offset - 1
    kind = KINDS.get(ComponentType(code)) if 1 <= code <= 13 else None
    if kind is None or afi not in kind.families:
        raise DecodeError("unknown component type", start)
    type_ = ComponentType(code)
    try:
        if kind.form is ValueForm.PREFIX:
            return _decode_prefix(body, type_, afi, offsets)
        return decode_ops(body, type_)
    except DecodeError as error:
        raise error.within(type_.name.lower()) from None


def _decode_prefix(body: Reader, type_: ComponentType, afi: Afi, offsets: OffsetForm) -> PrefixComponent:
    start = body.offset
    length = body.u8()
    offset = body.u8() if afi is Afi.IPV6 else 0
    bits = 128 if afi is Afi.IPV6 else 32
    if length > bits:
        raise DecodeError("prefix length over the family's", start)
    if offset >= length and (offset, length) != (0, 0):
        raise DecodeError("prefix offset not below the length", start)
    first, octets = _span(length, offset, offsets)
    number = _shifted(body.uint(octets), bits - first - 8 * octets)
    number &= (1 << bits - offset) - (1 << bits - length)  # padding ignored, RFC 8956 3.1
    return PrefixComponent(type_, Prefix(number.to_bytes(bits // 8, "big"), length), offset)


def _span(length: int, offset: int, offsets: OffsetForm) -> tuple[int, int]:
    """Return the bit of the address that the pattern begins with, and how many octets it has."""
    first = offset if offsets is OffsetForm.RFC8956 else offset & ~7 if offsets is OffsetForm.OCTETS else 0
    return first, (length - first + 7) // 8


def _shifted(number: int, left: int) -> int:
    return number << left if left >= 0 else number >> -left


def decode_ops(body: Reader, type_: ComponentType) -> OpsComponent:
    """Read the operators of a component that is no prefix, up to the last one of the list."""
    if KINDS[type_].form is ValueForm.NUMERIC:
        numeric = (
            NumericOp(_COMPARISONS[bits & 7], value, width, conjunct) for bits, value, width, conjunct in _each_op(body)
        )
        return NumericComponent(type_, tuple(numeric))
    bitmask = (
        BitmaskOp(value, width, bool(bits & 1), bool(bits & 2), conjunct)
        for bits, value, width, conjunct in _each_op(body)
    )
    return BitmaskComponent(type_, tuple(bitmask))


def _each_op(body: Reader) -> Iterator[tuple[int, int, int, bool]]:
    """Yield octet, value, width and AND of each operator up to the last one of the list."""
    bits = joins = 0  # the first operator's AND bit is read as 0, RFC 8955 4.2.1.1
    while not bits & _END:
        bits = body.u8()
        width = 1 << (bits >> 4 & 3)
        yield bits, body.uint(width), width, bool(bits & joins)
        joins = _AND


def encode_rule(rule: FlowRule, *, offsets: OffsetForm = OffsetForm.RFC8956) -> bytes:
    """Return the rule with its length octets; `EncodeError` for anything a strict receiver would not take."""
    if not rule.components:
        raise EncodeError("a rule needs at least one component")
    out = Writer()
    last = 0
    for component in rule.components:
        if component.type <= last:
            raise EncodeError(f"component {component.type.name} stands after {ComponentType(last).name}")
        last = component.type
        if rule.afi not in KINDS[component.type].families:
            raise EncodeError(f"{component.type.name} does not exist for {rule.afi.name}")
        _encode_component(out, component, rule.afi, offsets)
    body = out.bytes()
    if len(body) > _MOST_OCTETS:
        raise EncodeError(f"a rule of {len(body)} octets is over {_MOST_OCTETS}")
    if len(body) < _LONG_RULE:
        return bytes((len(body),)) + body
    return (0xF000 | len(body)).to_bytes(2, "big") + body


def _encode_component(out: Writer, component: Component, afi: Afi, offsets: OffsetForm) -> None:
    out.put(bytes((component.type,)))
    form = KINDS[component.type].form
    match component:
        case PrefixComponent() if form is ValueForm.PREFIX:
            _encode_prefix(out, component, afi, offsets)
        case NumericComponent() if form is ValueForm.NUMERIC:
            _check_ops(component)
            _put_ops(out, component)
        case BitmaskComponent() if form is ValueForm.BITMASK:
            _check_bits(component, afi)
            _check_ops(component)
            _put_ops(out, component)
        case _:
            raise EncodeError(f"{component.type.name} is not written as {type(component).__name__}")


def _encode_prefix(out: Writer, component: PrefixComponent, afi: Afi, offsets: OffsetForm) -> None:
    address, length, offset = component.prefix.address, component.prefix.length, component.offset
    bits = 8 * len(address)
    if component.prefix.afi is not afi or not 0 <= length <= bits or mask(address, length) != address:
        raise EncodeError(f"{component.type.name} {component.prefix} is no {afi.name} prefix")
    out.u8(length)
    number = int.from_bytes(address, "big")
    if afi is Afi.IPV6:
        if not (0 <= offset < length or offset == length == 0) or number >> bits - offset:
            raise EncodeError(f"offset {offset} does not suit {component.prefix}")
        out.u8(offset)
    elif offset:
        raise EncodeError("an IPv4 prefix has no offset")
    first, octets = _span(length, offset, offsets)
    out.uint(_shifted(number, first + 8 * octets - bits), octets)


def _check_ops(component: OpsComponent) -> None:
    if not component.ops:
        raise EncodeError(f"{component.type.name} needs at least one operator")
    kind = KINDS[component.type]
    ops: Sequence[NumericOp | BitmaskOp] = component.ops
    for place, op in enumerate(ops):
        if op.width not in kind.widths or not 0 <= op.value <= kind.most:
            raise EncodeError(f"{component.type.name} cannot hold {op.value} in {op.width} octets")
        if op.conjunct and not place:
            raise EncodeError(f"{component.type.name} starts with AND")


def encode_ops(component: OpsComponent) -> bytes:
    """Return the operators as they stand, with widths that the encoder of rules would not write."""
    out = Writer()
    _put_ops(out, component)
    return out.bytes()


def _put_ops(out: Writer, component: OpsComponent) -> None:
    ops: Sequence[NumericOp | BitmaskOp] = component.ops
    last = len(ops) - 1
    for place, op in enumerate(ops):
        bits = _END * (place == last) | _AND * op.conjunct | (op.width.bit_length() - 1) << 4
        out.put(bytes((bits | _meaning(op),)))
        out.uint(op.value, op.width)


def _meaning(op: NumericOp | BitmaskOp) -> int:
    match op:
        case NumericOp():
            return _COMPARISON_BITS[op.comparison]
        case BitmaskOp():
            return 2 * op.invert + op.match
        case _:
            assert_never(op)


def _check_bits(component: BitmaskComponent, afi: Afi) -> None:
    for op in component.ops:
        if component.type is ComponentType.FRAGMENT and afi is Afi.IPV6 and op.value & 1:
            raise EncodeError("IPv6 has no don't-fragment bit")  # RFC 8956 3.6
        if not op.value:
            raise EncodeError(f"{component.type.name} compares no bit")
