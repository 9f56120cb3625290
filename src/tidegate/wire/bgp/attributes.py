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
from tidegate.wire.bgp import attribute_values as values
from tidegate.wire.bgp.attribute_values import Aggregator, MpReach, MpUnreach, Segment
from tidegate.wire.bgp.communities import Action, LargeCommunity
from tidegate.wire.bgp.constants import (
    AttributeCode,
    AttributeFlag,
    ErrorCode,
    Origin,
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
    "Row",
    "Segment",
    "decode_attributes",
    "encode_attribute",
    "encode_attributes",
]

_OPTIONAL: Final = int(AttributeFlag.OPTIONAL)  # plain numbers: operators of flag enums cost a microsecond each
_TRANSITIVE: Final = int(AttributeFlag.TRANSITIVE)
_PARTIAL: Final = int(AttributeFlag.PARTIAL)
_LONG: Final = int(AttributeFlag.LONG)
_KIND: Final = _OPTIONAL | _TRANSITIVE
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
    flags: int
    decode: Callable[[Reader, Negotiated], Any]
    encode: Callable[[Any, Writer, Negotiated], None]
    reaction: Reaction = Reaction.WITHDRAW
    internal_only: bool = False


# In the order they are written: MP first (RFC 7606 5.1), then by code. The reactions are RFC 7606 section 7's.
ATTRIBUTES: Final[Mapping[AttributeCode, Row]] = MappingProxyType(
    {
        AttributeCode.MP_REACH: Row(
            "mp_reach", _OPTIONAL, values.decode_mp_reach, values.encode_mp_reach, Reaction.RESET
        ),
        AttributeCode.MP_UNREACH: Row(
            "mp_unreach", _OPTIONAL, values.decode_mp_unreach, values.encode_mp_unreach, Reaction.RESET
        ),
        AttributeCode.ORIGIN: Row("origin", _TRANSITIVE, values.decode_origin, values.encode_u8),
        AttributeCode.AS_PATH: Row("as_path", _TRANSITIVE, values.decode_as_path, values.encode_as_path),
        AttributeCode.NEXT_HOP: Row("next_hop", _TRANSITIVE, values.decode_next_hop, values.encode_octets),
        AttributeCode.MED: Row("med", _OPTIONAL, values.decode_u32, values.encode_u32),
        AttributeCode.LOCAL_PREF: Row(
            "local_pref", _TRANSITIVE, values.decode_u32, values.encode_u32, internal_only=True
        ),
        AttributeCode.ATOMIC_AGGREGATE: Row(
            "atomic_aggregate", _TRANSITIVE, values.decode_flag, values.encode_nothing, Reaction.DISCARD
        ),
        AttributeCode.AGGREGATOR: Row(
            "aggregator", _KIND, values.decode_aggregator, values.encode_aggregator, Reaction.DISCARD
        ),
        AttributeCode.COMMUNITIES: Row("communities", _KIND, values.decode_numbers, values.encode_numbers),
        AttributeCode.ORIGINATOR_ID: Row(
            "originator_id", _OPTIONAL, values.decode_u32, values.encode_u32, internal_only=True
        ),
        AttributeCode.CLUSTER_LIST: Row(
            "cluster_list", _OPTIONAL, values.decode_numbers, values.encode_numbers, internal_only=True
        ),
        AttributeCode.EXTENDED_COMMUNITIES: Row("extended", _KIND, values.decode_extended, values.encode_actions),
        AttributeCode.AS4_PATH: Row(
            "as4_path", _KIND, values.decode_as4_path, values.encode_as4_path, Reaction.DISCARD
        ),
        AttributeCode.AS4_AGGREGATOR: Row(
            "as4_aggregator", _KIND, values.decode_as4_aggregator, values.encode_as4_aggregator, Reaction.DISCARD
        ),
        AttributeCode.IPV6_EXTENDED_COMMUNITIES: Row(
            "ipv6_extended", _KIND, values.decode_ipv6_extended, values.encode_actions
        ),
        AttributeCode.LARGE_COMMUNITIES: Row("large", _KIND, values.decode_large, values.encode_large),
        AttributeCode.ONLY_TO_CUSTOMER: Row("only_to_customer", _KIND, values.decode_u32, values.encode_u32),
    }
)


def encode_attributes(attributes: Attributes, negotiated: Negotiated) -> bytes:
    """Return the block without its length; absent attributes are left out. `EncodeError` where a value does not fit."""
    out = Writer()
    for code, row in ATTRIBUTES.items():
        value = getattr(attributes, row.field)
        if value is None or value is False or (value == () and code is not AttributeCode.AS_PATH):
            continue
        out.put(encode_attribute(code, value, negotiated))
    for raw in attributes.unknown:
        _put(out, raw.flags & ~_LONG, raw.code, raw.value)
    return out.bytes()


def encode_attribute(code: AttributeCode, value: object, negotiated: Negotiated) -> bytes:
    """Return one attribute with its header; `value` is of the type that its field in `Attributes` has."""
    row = ATTRIBUTES[code]
    body, out = Writer(), Writer()
    row.encode(value, body, negotiated)
    _put(out, row.flags, code, body.bytes())
    return out.bytes()


def _put(out: Writer, flags: int, code: int, value: bytes) -> None:
    if len(value) >= 1 << 16:
        raise EncodeError(f"attribute {code} of {len(value)} octets is over 65535")
    if len(value) > 255:
        out.put(bytes((flags | _LONG, code)) + len(value).to_bytes(2, "big") + value)
    else:
        out.put(bytes((flags, code, len(value))) + value)


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
        return flags, code, reader.window(reader.u16() if flags & _LONG else reader.u8())
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
        # RFC 4271 6.3, kept by RFC 7606
        raise SessionReset(ErrorCode.UPDATE, UpdateError.UNKNOWN_WELL_KNOWN, bytes((flags, code)), reason)
    if flags & _TRANSITIVE:
        unknown.append(RawAttribute(flags | _PARTIAL, code, body.rest()))
