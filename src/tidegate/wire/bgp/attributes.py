"""Path attributes: one table of code, flags, decoder, encoder and RFC 7606 reaction.

`decode_attributes` reads a block and never raises for what is inside one attribute: it collects what was wrong with the
reaction, and the caller acts on the strongest. Only errors that make the rest unreadable are `SessionReset`.

Answers for: RFC 4271 sections 4.3 and 5, RFC 1997, RFC 4360, RFC 4456, RFC 4760 sections 3 and 4, RFC 5701,
RFC 6793, RFC 7606 sections 3, 4, 5 and 7, RFC 8092, RFC 9234.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from types import MappingProxyType
from typing import Any, Final

import msgspec

from tidegate.errors import DecodeError, EncodeError, SessionReset
from tidegate.wire.bgp.communities import Action, LargeCommunity, decode_action, encode_action
from tidegate.wire.bgp.constants import (
    AS_TRANS,
    AttributeCode,
    AttributeFlag,
    ErrorCode,
    Origin,
    SegmentType,
    UpdateError,
)
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.cursor import Reader, Writer

__all__ = [
    "ATTRIBUTES",
    "Aggregator",
    "Attributes",
    "MpReach",
    "MpUnreach",
    "Problem",
    "RawAttribute",
    "Reaction",
    "Segment",
    "decode_attributes",
    "encode_attributes",
]

_OPTIONAL, _TRANSITIVE = AttributeFlag.OPTIONAL, AttributeFlag.TRANSITIVE
_KIND: Final = _OPTIONAL | _TRANSITIVE
_ORIGINS: Final[frozenset[int]] = frozenset(Origin)
_SEGMENTS: Final[frozenset[int]] = frozenset(SegmentType)
_CODES: Final[frozenset[int]] = frozenset(AttributeCode)


class Reaction(IntEnum):
    """RFC 7606 section 2, weakest first."""

    DISCARD = 1
    WITHDRAW = 2
    RESET = 3


class Problem(msgspec.Struct, frozen=True):
    """Something wrong in an UPDATE that did not end the session."""

    reaction: Reaction
    part: str
    reason: str


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


class RawAttribute(msgspec.Struct, frozen=True):
    """An attribute that is not in the table."""

    flags: int
    code: int
    value: bytes


class Attributes(msgspec.Struct, frozen=True):
    """A decoded block; None or empty where an attribute is absent."""

    origin: Origin | None = None
    as_path: tuple[Segment, ...] | None = None
    next_hop: bytes | None = None
    med: int | None = None
    local_pref: int | None = None
    atomic_aggregate: bool = False
    aggregator: Aggregator | None = None
    communities: tuple[int, ...] = ()
    originator_id: int | None = None
    cluster_list: tuple[int, ...] = ()
    mp_reach: MpReach | None = None
    mp_unreach: MpUnreach | None = None
    extended: tuple[Action, ...] = ()
    as4_path: tuple[Segment, ...] | None = None
    as4_aggregator: Aggregator | None = None
    ipv6_extended: tuple[Action, ...] = ()
    large: tuple[LargeCommunity, ...] = ()
    only_to_customer: int | None = None
    unknown: tuple[RawAttribute, ...] = ()


class Row(msgspec.Struct, frozen=True):
    """One row of the table: `field` names the attribute in `Attributes`."""

    field: str
    flags: AttributeFlag
    decode: Callable[[Reader, Negotiated], Any]
    encode: Callable[[Any, Writer, Negotiated], None]
    reaction: Reaction = Reaction.WITHDRAW
    internal_only: bool = False


def _exactly(reader: Reader, octets: int) -> None:
    if len(reader) != octets:
        raise DecodeError(f"{octets} octets expected", reader.offset)


def _decode_origin(reader: Reader, _: Negotiated) -> Origin:
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
        segments.append(
            Segment(SegmentType(kind), tuple(int.from_bytes(octets.take(width), "big") for _ in range(count)))
        )
    return tuple(segments)


def _decode_as_path(reader: Reader, negotiated: Negotiated) -> tuple[Segment, ...]:
    return _decode_path(reader, 4 if negotiated.four_octet_as else 2)


def _decode_as4_path(reader: Reader, _: Negotiated) -> tuple[Segment, ...]:
    return _decode_path(reader, 4)


def _encode_path(segments: tuple[Segment, ...], out: Writer, width: int) -> None:
    for segment in segments:
        out.u8(segment.type)
        out.u8(len(segment.asns))
        for asn in segment.asns:
            out.uint(asn if asn < 1 << 8 * width else AS_TRANS, width)


def _encode_as_path(segments: tuple[Segment, ...], out: Writer, negotiated: Negotiated) -> None:
    _encode_path(segments, out, 4 if negotiated.four_octet_as else 2)


def _encode_as4_path(segments: tuple[Segment, ...], out: Writer, _: Negotiated) -> None:
    _encode_path(segments, out, 4)


def _decode_next_hop(reader: Reader, _: Negotiated) -> bytes:
    _exactly(reader, 4)
    return reader.rest()


def _decode_u32(reader: Reader, _: Negotiated) -> int:
    _exactly(reader, 4)
    return reader.u32()


def _decode_flag(reader: Reader, _: Negotiated) -> bool:
    _exactly(reader, 0)
    return True


def _decode_aggregator(reader: Reader, negotiated: Negotiated) -> Aggregator:
    width = 4 if negotiated.four_octet_as else 2
    _exactly(reader, width + 4)
    return Aggregator(int.from_bytes(reader.take(width), "big"), reader.rest())


def _decode_as4_aggregator(reader: Reader, _: Negotiated) -> Aggregator:
    _exactly(reader, 8)
    return Aggregator(reader.u32(), reader.rest())


def _encode_aggregator(value: Aggregator, out: Writer, negotiated: Negotiated) -> None:
    width = 4 if negotiated.four_octet_as else 2
    out.uint(value.asn if value.asn < 1 << 8 * width else AS_TRANS, width)
    out.put(value.address)


def _encode_as4_aggregator(value: Aggregator, out: Writer, _: Negotiated) -> None:
    out.u32(value.asn)
    out.put(value.address)


def _items(reader: Reader, octets: int) -> range:
    if not len(reader) or len(reader) % octets:  # RFC 7606 7.8, 7.14, 7.15; RFC 8092 section 6
        raise DecodeError(f"not a list of {octets} octets each", reader.offset)
    return range(len(reader) // octets)


def _decode_numbers(reader: Reader, _: Negotiated) -> tuple[int, ...]:
    return tuple(reader.u32() for _item in _items(reader, 4))


def _decode_extended(reader: Reader, _: Negotiated) -> tuple[Action, ...]:
    return tuple(decode_action(reader.take(8)) for _item in _items(reader, 8))


def _decode_ipv6_extended(reader: Reader, _: Negotiated) -> tuple[Action, ...]:
    return tuple(decode_action(reader.take(20)) for _item in _items(reader, 20))


def _decode_large(reader: Reader, _: Negotiated) -> tuple[LargeCommunity, ...]:
    return tuple(LargeCommunity(reader.u32(), reader.u32(), reader.u32()) for _item in _items(reader, 12))


def _encode_numbers(values: tuple[int, ...], out: Writer, _: Negotiated) -> None:
    for value in values:
        out.u32(value)


def _encode_actions(values: tuple[Action, ...], out: Writer, _: Negotiated) -> None:
    for value in values:
        out.put(encode_action(value))


def _encode_large(values: tuple[LargeCommunity, ...], out: Writer, _: Negotiated) -> None:
    for value in values:
        for number in (value.administrator, value.data1, value.data2):
            out.u32(number)


def _encode_u8(value: int, out: Writer, _: Negotiated) -> None:
    out.u8(value)


def _encode_u32(value: int, out: Writer, _: Negotiated) -> None:
    out.u32(value)


def _encode_octets(value: bytes, out: Writer, _: Negotiated) -> None:
    out.put(value)


def _encode_nothing(value: bool, out: Writer, _: Negotiated) -> None:  # noqa: ARG001, FBT001 - the table's shape
    return


def _decode_mp_reach(reader: Reader, _: Negotiated) -> MpReach:
    afi, safi = reader.u16(), reader.u8()
    next_hop = reader.take(reader.u8())
    reader.skip(1)
    return MpReach(afi, safi, next_hop, reader.rest())


def _decode_mp_unreach(reader: Reader, _: Negotiated) -> MpUnreach:
    return MpUnreach(reader.u16(), reader.u8(), reader.rest())


def _encode_mp_reach(value: MpReach, out: Writer, _: Negotiated) -> None:
    out.u16(value.afi)
    out.u8(value.safi)
    out.u8(len(value.next_hop))
    out.put(value.next_hop)
    out.u8(0)
    out.put(value.nlri)


def _encode_mp_unreach(value: MpUnreach, out: Writer, _: Negotiated) -> None:
    out.u16(value.afi)
    out.u8(value.safi)
    out.put(value.nlri)


# In the order they are written: MP first (RFC 7606 5.1), then by code. The reactions are RFC 7606 section 7's.
ATTRIBUTES: Final[Mapping[AttributeCode, Row]] = MappingProxyType(
    {
        AttributeCode.MP_REACH: Row("mp_reach", _OPTIONAL, _decode_mp_reach, _encode_mp_reach, Reaction.RESET),
        AttributeCode.MP_UNREACH: Row("mp_unreach", _OPTIONAL, _decode_mp_unreach, _encode_mp_unreach, Reaction.RESET),
        AttributeCode.ORIGIN: Row("origin", _TRANSITIVE, _decode_origin, _encode_u8),
        AttributeCode.AS_PATH: Row("as_path", _TRANSITIVE, _decode_as_path, _encode_as_path),
        AttributeCode.NEXT_HOP: Row("next_hop", _TRANSITIVE, _decode_next_hop, _encode_octets),
        AttributeCode.MED: Row("med", _OPTIONAL, _decode_u32, _encode_u32),
        AttributeCode.LOCAL_PREF: Row("local_pref", _TRANSITIVE, _decode_u32, _encode_u32, internal_only=True),
        AttributeCode.ATOMIC_AGGREGATE: Row(
            "atomic_aggregate", _TRANSITIVE, _decode_flag, _encode_nothing, Reaction.DISCARD
        ),
        AttributeCode.AGGREGATOR: Row("aggregator", _KIND, _decode_aggregator, _encode_aggregator, Reaction.DISCARD),
        AttributeCode.COMMUNITIES: Row("communities", _KIND, _decode_numbers, _encode_numbers),
        AttributeCode.ORIGINATOR_ID: Row("originator_id", _OPTIONAL, _decode_u32, _encode_u32, internal_only=True),
        AttributeCode.CLUSTER_LIST: Row(
            "cluster_list", _OPTIONAL, _decode_numbers, _encode_numbers, internal_only=True
        ),
        AttributeCode.EXTENDED_COMMUNITIES: Row("extended", _KIND, _decode_extended, _encode_actions),
        AttributeCode.AS4_PATH: Row("as4_path", _KIND, _decode_as4_path, _encode_as4_path, Reaction.DISCARD),
        AttributeCode.AS4_AGGREGATOR: Row(
            "as4_aggregator", _KIND, _decode_as4_aggregator, _encode_as4_aggregator, Reaction.DISCARD
        ),
        AttributeCode.IPV6_EXTENDED_COMMUNITIES: Row("ipv6_extended", _KIND, _decode_ipv6_extended, _encode_actions),
        AttributeCode.LARGE_COMMUNITIES: Row("large", _KIND, _decode_large, _encode_large),
        AttributeCode.ONLY_TO_CUSTOMER: Row("only_to_customer", _KIND, _decode_u32, _encode_u32),
    }
)


def encode_attributes(attributes: Attributes, negotiated: Negotiated) -> bytes:
    """Return the block without its length; absent attributes are left out. `EncodeError` where a value does not fit."""
    out = Writer()
    for code, row in ATTRIBUTES.items():
        value = getattr(attributes, row.field)
        if value is None or value is False or (value == () and code is not AttributeCode.AS_PATH):
            continue
        body = Writer()
        row.encode(value, body, negotiated)
        _put(out, row.flags, code, body.bytes())
    for raw in attributes.unknown:
        _put(out, raw.flags & ~AttributeFlag.LONG, raw.code, raw.value)
    return out.bytes()


def _put(out: Writer, flags: int, code: int, value: bytes) -> None:
    if len(value) >= 1 << 16:
        raise EncodeError(f"attribute {code} of {len(value)} octets is over 65535")
    long = len(value) > 255
    out.u8(flags | AttributeFlag.LONG * long)
    out.u8(code)
    out.uint(len(value), 2 if long else 1)
    out.put(value)


def decode_attributes(reader: Reader, negotiated: Negotiated) -> tuple[Attributes, tuple[Problem, ...]]:
    """Read a whole block. `SessionReset` where MP_REACH or MP_UNREACH comes twice or cannot be read (RFC 7606 3, 5)."""
    found: dict[str, Any] = {}
    unknown: list[RawAttribute] = []
    problems: list[Problem] = []
    seen: set[int] = set()
    while len(reader):
        raw = _maybe_raw(reader)
        if raw is None:
            problems.append(Problem(Reaction.WITHDRAW, "attributes", "attribute lengths do not fit"))
            break
        if raw[1] in seen:
            problems.append(_twice(raw[1]))
            continue
        seen.add(raw[1])
        _take(raw, negotiated, found, unknown, problems)
    return Attributes(**found, unknown=tuple(unknown)), tuple(problems)


def _maybe_raw(reader: Reader) -> tuple[int, int, Reader] | None:
    try:
        flags, code = reader.u8(), reader.u8()
        return flags, code, reader.window(reader.u16() if flags & AttributeFlag.LONG else reader.u8())
    except DecodeError:
        return None


def _twice(code: int) -> Problem:
    if code in {AttributeCode.MP_REACH, AttributeCode.MP_UNREACH}:
        raise SessionReset(ErrorCode.UPDATE, UpdateError.ATTRIBUTE_LIST, reason=f"attribute {code} twice")
    return Problem(Reaction.DISCARD, f"attribute {code}", "given twice, the first one counts")


def _take(
    raw: tuple[int, int, Reader],
    negotiated: Negotiated,
    found: dict[str, Any],
    unknown: list[RawAttribute],
    problems: list[Problem],
) -> None:
    flags, code, body = raw
    row = ATTRIBUTES.get(AttributeCode(code)) if code in _CODES else None
    if row is None:
        _take_unknown(flags, code, body, unknown)
        return
    if row.internal_only and not negotiated.internal:
        problems.append(Problem(Reaction.DISCARD, row.field, "sent by an external peer"))  # RFC 7606 7.5, 7.9, 7.10
        return
    if (flags ^ row.flags) & _KIND:  # RFC 7606 section 3 c); the routes must still be found, to withdraw them
        problems.append(Problem(Reaction.WITHDRAW, row.field, "flags do not suit the attribute"))
        if row.reaction is not Reaction.RESET:
            return
    try:
        found[row.field] = row.decode(body, negotiated)
    except DecodeError as error:
        if row.reaction is Reaction.RESET:
            reason = f"{row.field}: {error}"
            raise SessionReset(ErrorCode.UPDATE, UpdateError.OPTIONAL_ATTRIBUTE, reason=reason) from None
        problems.append(Problem(row.reaction, row.field, error.reason))


def _take_unknown(flags: int, code: int, body: Reader, unknown: list[RawAttribute]) -> None:
    if not flags & _OPTIONAL:
        reason = f"well-known attribute {code} is unknown"
        raise SessionReset(ErrorCode.UPDATE, 2, bytes((flags, code)), reason)  # RFC 4271 6.3, kept by RFC 7606
    if flags & _TRANSITIVE:
        unknown.append(RawAttribute(flags | AttributeFlag.PARTIAL, code, body.rest()))
