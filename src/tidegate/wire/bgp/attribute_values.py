"""The values of path attributes, each with its decoder and encoder; `attributes` has the table that names them.

A decoder takes a reader of exactly one value and raises `DecodeError` where it is malformed; an encoder raises
`EncodeError` where a value does not fit.

Answers for: RFC 4271 section 4.3, RFC 1997, RFC 4360, RFC 4760 sections 3 and 4, RFC 5065 section 5, RFC 5701,
RFC 6793, RFC 7607, RFC 8092.
"""

from __future__ import annotations

from typing import Final

import msgspec

from tidegate.errors import DecodeError
from tidegate.wire.bgp.communities import Action, LargeCommunity, decode_action, encode_action
from tidegate.wire.bgp.constants import AS_TRANS, Origin, SegmentType
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.cursor import Reader, Writer

__all__ = [
    "Aggregator",
    "MpReach",
    "MpUnreach",
    "Segment",
    "decode_aggregator",
    "decode_as4_aggregator",
    "decode_as4_path",
    "decode_as_path",
    "decode_extended",
    "decode_flag",
    "decode_ipv6_extended",
    "decode_large",
    "decode_mp_reach",
    "decode_mp_unreach",
    "decode_next_hop",
    "decode_numbers",
    "decode_origin",
    "decode_u32",
    "encode_actions",
    "encode_aggregator",
    "encode_as4_aggregator",
    "encode_as4_path",
    "encode_as_path",
    "encode_large",
    "encode_mp_reach",
    "encode_mp_unreach",
    "encode_nothing",
    "encode_numbers",
    "encode_octets",
    "encode_u8",
    "encode_u32",
    "is_confederation",
]

_ORIGINS: Final[frozenset[int]] = frozenset(Origin)
_SEGMENTS: Final[frozenset[int]] = frozenset(SegmentType)


class Segment(msgspec.Struct, frozen=True):
    """One piece of an AS path."""

    type: SegmentType
    asns: tuple[int, ...]


class Aggregator(msgspec.Struct, frozen=True):
    """Who formed an aggregate."""

    asn: int
    address: bytes


class MpReach(msgspec.Struct, frozen=True):
    """Routes of another family, still as octets: `next_hop` has 0, 4, 16 or 32 of them."""

    afi: int
    safi: int
    next_hop: bytes
    nlri: bytes


class MpUnreach(msgspec.Struct, frozen=True):
    """Withdrawn routes of another family, still as octets."""

    afi: int
    safi: int
    nlri: bytes


def _exactly(reader: Reader, octets: int) -> None:
    if len(reader) != octets:
        raise DecodeError(f"{octets} octets expected", reader.offset)


def decode_origin(reader: Reader, _: Negotiated) -> Origin:
    """Read ORIGIN."""
    _exactly(reader, 1)
    value = reader.u8()
    if value not in _ORIGINS:
        raise DecodeError("unknown origin", reader.offset - 1)
    return Origin(value)


def _decode_path(reader: Reader, width: int) -> tuple[Segment, ...]:
    segments = []
    while len(reader):
        start = reader.offset
        kind, count = reader.u8(), reader.u8()
        if kind not in _SEGMENTS or not count:  # RFC 7606 7.2
            raise DecodeError("unknown or empty segment", start)
        octets = reader.window(count * width)
        asns = tuple(octets.uint(width) for _ in range(count))
        if 0 in asns:
            raise _as_zero(start)
        segments.append(Segment(SegmentType(kind), asns))
    return tuple(segments)


def _as_zero(offset: int) -> DecodeError:
    return DecodeError("AS 0", offset)  # RFC 7607 section 2


def decode_as_path(reader: Reader, negotiated: Negotiated) -> tuple[Segment, ...]:
    """Read AS_PATH, whose numbers are as wide as was negotiated."""
    start = reader.offset
    path = _decode_path(reader, 4 if negotiated.four_octet_as else 2)
    if not (negotiated.internal or negotiated.confederation) and any(map(is_confederation, path)):
        raise DecodeError("a confederation's segment from outside of it", start)  # RFC 5065 section 5
    return path


def is_confederation(segment: Segment) -> bool:
    """Tell whether a segment has a meaning inside a confederation alone (RFC 5065)."""
    return segment.type in {SegmentType.CONFED_SEQUENCE, SegmentType.CONFED_SET}


def decode_as4_path(reader: Reader, _: Negotiated) -> tuple[Segment, ...]:
    """Read AS4_PATH (RFC 6793); a confederation's segments have no place there and are left out (its section 6)."""
    if not len(reader):
        raise DecodeError("no AS", reader.offset)
    return tuple(segment for segment in _decode_path(reader, 4) if not is_confederation(segment))


def _encode_path(segments: tuple[Segment, ...], out: Writer, width: int) -> None:
    for segment in segments:
        out.u8(segment.type)
        out.u8(len(segment.asns))
        for asn in segment.asns:
            out.uint(asn if asn < 1 << 8 * width else AS_TRANS, width)


def encode_as_path(segments: tuple[Segment, ...], out: Writer, negotiated: Negotiated) -> None:
    """Write AS_PATH; 23456 stands for what two octets do not hold."""
    _encode_path(segments, out, 4 if negotiated.four_octet_as else 2)


def encode_as4_path(segments: tuple[Segment, ...], out: Writer, _: Negotiated) -> None:
    """Write AS4_PATH."""
    _encode_path(segments, out, 4)


def decode_next_hop(reader: Reader, _: Negotiated) -> bytes:
    """Read NEXT_HOP."""
    _exactly(reader, 4)
    return reader.rest()


def decode_u32(reader: Reader, _: Negotiated) -> int:
    """Read one number of four octets."""
    _exactly(reader, 4)
    return reader.u32()


def decode_flag(reader: Reader, _: Negotiated) -> bool:
    """Read an attribute whose presence says all."""
    _exactly(reader, 0)
    return True


def decode_aggregator(reader: Reader, negotiated: Negotiated) -> Aggregator:
    """Read AGGREGATOR."""
    width = 4 if negotiated.four_octet_as else 2
    _exactly(reader, width + 4)
    return _aggregator(reader, width)


def _aggregator(reader: Reader, width: int) -> Aggregator:
    start = reader.offset
    found = Aggregator(reader.uint(width), reader.rest())
    if not found.asn:
        raise _as_zero(start)
    return found


def decode_as4_aggregator(reader: Reader, _: Negotiated) -> Aggregator:
    """Read AS4_AGGREGATOR."""
    _exactly(reader, 8)
    return _aggregator(reader, 4)


def encode_aggregator(value: Aggregator, out: Writer, negotiated: Negotiated) -> None:
    """Write AGGREGATOR."""
    width = 4 if negotiated.four_octet_as else 2
    out.uint(value.asn if value.asn < 1 << 8 * width else AS_TRANS, width)
    out.put(value.address)


def encode_as4_aggregator(value: Aggregator, out: Writer, _: Negotiated) -> None:
    """Write AS4_AGGREGATOR."""
    out.u32(value.asn)
    out.put(value.address)


def _items(reader: Reader, octets: int) -> range:
    if not len(reader) or len(reader) % octets:  # RFC 7606 7.8, 7.14, 7.15; RFC 8092 section 6
        raise DecodeError(f"not a list of {octets} octets each", reader.offset)
    return range(len(reader) // octets)


def decode_numbers(reader: Reader, _: Negotiated) -> tuple[int, ...]:
    """Read a list of numbers of four octets each."""
    return tuple(reader.u32() for _item in _items(reader, 4))


def decode_extended(reader: Reader, _: Negotiated) -> tuple[Action, ...]:
    """Read extended communities."""
    return tuple(decode_action(reader.take(8)) for _item in _items(reader, 8))


def decode_ipv6_extended(reader: Reader, _: Negotiated) -> tuple[Action, ...]:
    """Read IPv6 extended communities."""
    return tuple(decode_action(reader.take(20)) for _item in _items(reader, 20))


def decode_large(reader: Reader, _: Negotiated) -> tuple[LargeCommunity, ...]:
    """Read large communities."""
    return tuple(LargeCommunity(reader.u32(), reader.u32(), reader.u32()) for _item in _items(reader, 12))


def encode_numbers(values: tuple[int, ...], out: Writer, _: Negotiated) -> None:
    """Write a list of numbers of four octets each."""
    for value in values:
        out.u32(value)


def encode_actions(values: tuple[Action, ...], out: Writer, _: Negotiated) -> None:
    """Write extended communities of either width."""
    for value in values:
        out.put(encode_action(value))


def encode_large(values: tuple[LargeCommunity, ...], out: Writer, _: Negotiated) -> None:
    """Write large communities."""
    for value in values:
        for number in (value.administrator, value.data1, value.data2):
            out.u32(number)


def encode_u8(value: int, out: Writer, _: Negotiated) -> None:
    """Write one octet."""
    out.u8(value)


def encode_u32(value: int, out: Writer, _: Negotiated) -> None:
    """Write four octets."""
    out.u32(value)


def encode_octets(value: bytes, out: Writer, _: Negotiated) -> None:
    """Write octets as they are."""
    out.put(value)


def encode_nothing(value: bool, out: Writer, _: Negotiated) -> None:  # noqa: FBT001 - the table's shape
    """Write an attribute whose presence says all."""


def decode_mp_reach(reader: Reader, _: Negotiated) -> MpReach:
    """Read MP_REACH_NLRI."""
    afi, safi = reader.u16(), reader.u8()
    next_hop = reader.take(reader.u8())
    reader.skip(1)
    return MpReach(afi, safi, next_hop, reader.rest())


def decode_mp_unreach(reader: Reader, _: Negotiated) -> MpUnreach:
    """Read MP_UNREACH_NLRI."""
    return MpUnreach(reader.u16(), reader.u8(), reader.rest())


def encode_mp_reach(value: MpReach, out: Writer, _: Negotiated) -> None:
    """Write MP_REACH_NLRI."""
    out.u16(value.afi)
    out.u8(value.safi)
    out.u8(len(value.next_hop))
    out.put(value.next_hop)
    out.u8(0)
    out.put(value.nlri)


def encode_mp_unreach(value: MpUnreach, out: Writer, _: Negotiated) -> None:
    """Write MP_UNREACH_NLRI."""
    out.u16(value.afi)
    out.u8(value.safi)
    out.put(value.nlri)
