"""UPDATE messages: routes from bytes and to bytes, given what the session negotiated.

Decoding applies RFC 7606: what can be lived with is in `Update.problems`, routes to be treated as withdrawn are already
among the withdrawn, and only what ends the session raises. Encoding writes one kind of reachability a message and one
route a message, because large UPDATEs full of rules have brought receivers down.

Answers for: RFC 4271 sections 4.3, 5, 6.3 and 9.1.2 (loops), RFC 4724 section 2 (End-of-RIB), RFC 4760, RFC 6793
sections 4.2.3 and 6, RFC 7606 sections 3 and 5, RFC 7911 section 3, RFC 8950 section 4, RFC 8955 sections 4 and 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import structs

from tidegate.errors import DecodeError, EncodeError, SessionReset
from tidegate.wire.bgp.attribute_values import is_confederation
from tidegate.wire.bgp.attributes import (
    Attributes,
    MpReach,
    MpUnreach,
    Problem,
    Reaction,
    Segment,
    decode_attributes,
    encode_attribute,
    encode_attributes,
)
from tidegate.wire.bgp.communities import IPV6_EXTENDED_OCTETS, encode_action
from tidegate.wire.bgp.constants import (
    AS_TRANS,
    DEFAULT_LOCAL_PREF,
    Afi,
    AttributeCode,
    ErrorCode,
    Family,
    MessageType,
    Origin,
    Safi,
    SegmentType,
    UpdateError,
)
from tidegate.wire.bgp.flowspec import FlowRule, decode_components, decode_length
from tidegate.wire.bgp.message import frame
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.prefix import Prefix, PrefixList
from tidegate.wire.bgp.routes import FlowRoute, Route, RouteKey, UnicastRoute
from tidegate.wire.cursor import Reader

__all__ = [
    "Destination",
    "RouteGroup",
    "Update",
    "decode_update",
    "encode_announce",
    "encode_common",
    "encode_withdraw",
]

Destination = Prefix | FlowRule
_MOST_ASNS: Final = 255  # in one segment
_NEXT_HOP_OCTETS: Final = {Family.IPV4_UNICAST: (4,), Family.IPV6_UNICAST: (16, 32)}  # RFC 2545 section 3
_HOPS: Final[Mapping[SegmentType, Callable[[tuple[int, ...]], int]]] = MappingProxyType(
    {
        SegmentType.SEQUENCE: len,
        SegmentType.SET: lambda _: 1,
        SegmentType.CONFED_SEQUENCE: lambda _: 0,
        SegmentType.CONFED_SET: lambda _: 0,
    }
)


class RouteGroup(msgspec.Struct, frozen=True):
    """Destinations of one family; `next_hop` is empty for withdrawn ones and for FlowSpec."""

    family: Family
    destinations: Sequence[Destination]
    next_hop: bytes = b""


class Update(msgspec.Struct, frozen=True):
    """One decoded UPDATE. `problems` tells what was discarded, skipped or treated as withdrawn, and why."""

    announced: tuple[RouteGroup, ...] = ()
    withdrawn: tuple[RouteGroup, ...] = ()
    attributes: Attributes = Attributes()
    problems: tuple[Problem, ...] = ()
    end_of_rib: Family | None = None


def decode_update(body: bytes, negotiated: Negotiated) -> Update:
    """Read an UPDATE's body; `SessionReset` 3/x where the rest of the stream can no longer be trusted."""
    reader = Reader(body)
    try:
        withdrawn = reader.window(reader.u16())
        block = reader.window(reader.u16())
    except DecodeError as error:
        raise SessionReset(ErrorCode.UPDATE, UpdateError.ATTRIBUTE_LIST, reason=f"lengths: {error}") from None
    if not len(withdrawn) and not len(block) and not len(reader):
        return Update(end_of_rib=Family.IPV4_UNICAST)
    attributes, problems = decode_attributes(block, negotiated)
    found: list[Problem] = list(problems)
    attributes = _merge_as4(attributes, negotiated, found)
    reaches = bool(len(reader)) or attributes.mp_reach is not None
    gone = _plain(withdrawn, negotiated, found) + _mp_unreach(attributes.mp_unreach, negotiated, found)
    next_hop = attributes.next_hop or b""
    here = _plain(reader, negotiated, found, next_hop) + _mp_reach(attributes.mp_reach, negotiated, found)
    found += _missing(attributes, here) + _looped(attributes, here, negotiated)
    marker = _end_of_rib(attributes, gone, here)
    return _react(Update(here, () if marker else gone, attributes, tuple(found), marker), reaches=reaches)


def _plain(
    reader: Reader, negotiated: Negotiated, problems: list[Problem], next_hop: bytes = b""
) -> tuple[RouteGroup, ...]:
    if not len(reader) or _agreed(Afi.IPV4, Safi.UNICAST, negotiated, problems) is None:
        return ()
    with_path_id = Family.IPV4_UNICAST in negotiated.add_path_receive
    try:
        prefixes = _prefixes(reader, Family.IPV4_UNICAST, with_path_id=with_path_id)
    except (DecodeError, ValueError) as error:
        raise SessionReset(ErrorCode.UPDATE, UpdateError.NETWORK_FIELD, reason=f"prefixes: {error}") from None
    return (RouteGroup(Family.IPV4_UNICAST, prefixes, next_hop),)


def _prefixes(reader: Reader, family: Family, *, with_path_id: bool) -> PrefixList:
    return PrefixList(reader.rest(), family.afi, with_path_id=with_path_id)


def _mp_reach(value: MpReach | None, negotiated: Negotiated, problems: list[Problem]) -> tuple[RouteGroup, ...]:
    if value is None:
        return ()
    family = _agreed(value.afi, value.safi, negotiated, problems)
    if family is None:
        return ()
    lengths = _NEXT_HOP_OCTETS.get(family)
    if family in negotiated.extended_next_hop:
        lengths = (*_NEXT_HOP_OCTETS[Family.IPV4_UNICAST], *_NEXT_HOP_OCTETS[Family.IPV6_UNICAST])
    if lengths is not None and len(value.next_hop) not in lengths:  # RFC 7606 7.11
        reason = f"{family.label} next hop of {len(value.next_hop)} octets"
        raise SessionReset(ErrorCode.UPDATE, UpdateError.OPTIONAL_ATTRIBUTE, reason=reason)
    return (RouteGroup(family, _destinations(value.nlri, family, negotiated, problems), value.next_hop),)


def _mp_unreach(value: MpUnreach | None, negotiated: Negotiated, problems: list[Problem]) -> tuple[RouteGroup, ...]:
    if value is None:
        return ()
    family = _agreed(value.afi, value.safi, negotiated, problems)
    if family is None:
        return ()
    return (RouteGroup(family, _destinations(value.nlri, family, negotiated, problems)),)


def _agreed(afi: int, safi: int, negotiated: Negotiated, problems: list[Problem]) -> Family | None:
    family = Family.of(afi, safi)
    if family in negotiated.families:
        return family
    problems.append(Problem(Reaction.DISCARD, f"family {afi}/{safi}", "not negotiated"))  # RFC 4760 section 6
    return None


def _destinations(
    nlri: bytes, family: Family, negotiated: Negotiated, problems: list[Problem]
) -> Sequence[Destination]:
    reader = Reader(nlri)
    try:
        if family.safi is Safi.FLOWSPEC:
            return _rules(reader, family, negotiated, problems)
        return _prefixes(reader, family, with_path_id=family in negotiated.add_path_receive)
    except (DecodeError, ValueError) as error:
        reason = f"{family.label}: {error}"
        raise SessionReset(ErrorCode.UPDATE, UpdateError.OPTIONAL_ATTRIBUTE, reason=reason) from None


def _rules(reader: Reader, family: Family, negotiated: Negotiated, problems: list[Problem]) -> tuple[FlowRule, ...]:
    """Read rules to the end; one that is malformed inside a good length is left out and counted, the others stay."""
    rules = []
    while len(reader):
        body = reader.window(decode_length(reader))
        try:
            rules.append(decode_components(body, family.afi, offsets=negotiated.flow_offsets))
        except DecodeError as error:
            problems.append(Problem(Reaction.DISCARD, "flowspec rule", error.reason))
    return tuple(rules)


def _missing(attributes: Attributes, announced: Iterable[RouteGroup]) -> list[Problem]:
    """Return a problem for each well-known attribute that announced routes need and lack (RFC 7606 3 d)."""
    if not announced:
        return []
    absent = [name for name in ("origin", "as_path") if getattr(attributes, name) is None]
    if any(routes.family is Family.IPV4_UNICAST and not routes.next_hop for routes in announced):
        absent.append("next_hop")
    return [Problem(Reaction.WITHDRAW, name, "missing well-known attribute") for name in absent]


def _looped(attributes: Attributes, announced: Iterable[RouteGroup], negotiated: Negotiated) -> list[Problem]:
    """Return a problem for routes that have been here already (RFC 4271 section 9.1.2): some peers say ours back."""
    path = attributes.as_path or ()
    if not announced or not any(negotiated.own_as in segment.asns for segment in path):
        return []
    return [Problem(Reaction.WITHDRAW, "as_path", "our own AS is in it")]


def _end_of_rib(attributes: Attributes, gone: tuple[RouteGroup, ...], here: tuple[RouteGroup, ...]) -> Family | None:
    if here or len(gone) != 1 or gone[0].destinations or attributes.mp_unreach is None:
        return None
    lone = attributes == Attributes(mp_unreach=attributes.mp_unreach) and not attributes.mp_unreach.nlri
    return gone[0].family if lone else None


def _react(update: Update, *, reaches: bool) -> Update:
    """Turn announced into withdrawn where RFC 7606 says so; reset where nothing is announced (its 5.2)."""
    worst = max(update.problems, key=lambda problem: problem.reaction, default=None)
    if worst is None or worst.reaction is not Reaction.WITHDRAW:
        return update
    if not reaches:
        reason = f"{worst.part}: {worst.reason}"
        raise SessionReset(ErrorCode.UPDATE, UpdateError.ATTRIBUTE_LIST, reason=reason)
    withdrawn = update.withdrawn + tuple(RouteGroup(routes.family, routes.destinations) for routes in update.announced)
    return structs.replace(update, announced=(), withdrawn=withdrawn)


def _merge_as4(attributes: Attributes, negotiated: Negotiated, problems: list[Problem]) -> Attributes:
    """Put what an old speaker said together from both widths; a new one has nothing to say in the other (RFC 6793)."""
    given = [name for name in ("as4_path", "as4_aggregator") if getattr(attributes, name) is not None]
    if not given:
        return attributes
    path, aggregator = attributes.as_path, attributes.aggregator
    if negotiated.four_octet_as:  # its section 6
        problems += [Problem(Reaction.DISCARD, name, "sent by a speaker of four-octet AS numbers") for name in given]
    elif aggregator is None or attributes.as4_aggregator is None or aggregator.asn == AS_TRANS:  # its section 4.2.3
        path = _merge_paths(path, attributes.as4_path)
        aggregator = aggregator and (attributes.as4_aggregator or aggregator)
    return structs.replace(attributes, as_path=path, aggregator=aggregator, as4_path=None, as4_aggregator=None)


def _merge_paths(path: tuple[Segment, ...] | None, wide: tuple[Segment, ...] | None) -> tuple[Segment, ...] | None:
    """Return AS4_PATH after what AS_PATH has more in front; a confederation's segments there come along."""
    if path is None or wide is None or _hops(path) < _hops(wide):
        return path
    surplus = _hops(path) - _hops(wide)
    lead: list[Segment] = []
    for segment in path:
        if surplus <= 0 and not is_confederation(segment):
            break
        lead.append(
            segment if segment.type is not SegmentType.SEQUENCE else Segment(segment.type, segment.asns[:surplus])
        )
        surplus -= _hops((segment,))
    return (*lead, *wide)


def _hops(path: Iterable[Segment]) -> int:
    """Count as RFC 4271 9.1.2.2 and RFC 5065 5.3 do: a set is one hop, a confederation none."""
    return sum(_HOPS[segment.type](segment.asns) for segment in path)


def encode_common(route: Route, negotiated: Negotiated) -> bytes:
    """Return the attributes that do not name the destination: routes that differ in that alone share them."""
    return encode_attributes(_attributes(route, negotiated), negotiated)


def encode_announce(route: Route, key: RouteKey, negotiated: Negotiated, *, common: bytes | None = None) -> bytes:
    """Return the UPDATE that announces one route; `EncodeError` where a value does not fit.

    `key` is the route's key and `common` its `encode_common`, for callers who have them already.
    """
    rest = encode_common(route, negotiated) if common is None else common
    if key.family is Family.IPV4_UNICAST:
        return _frame(b"", rest, key.nlri, negotiated)
    reach = MpReach(key.family.afi, key.family.safi, route.next_hop, key.nlri)
    first = encode_attribute(AttributeCode.MP_REACH, reach, negotiated)  # RFC 7606 5.1
    return _frame(b"", first + rest, b"", negotiated)


def encode_withdraw(key: RouteKey, negotiated: Negotiated) -> bytes:
    """Return the UPDATE that withdraws one route; it needs no other attribute (RFC 4760 section 4).

    A key without NLRI gives the End-of-RIB marker of its family (RFC 4724 section 2).
    """
    if key.family is Family.IPV4_UNICAST:
        return _frame(key.nlri, b"", b"", negotiated)
    unreach = MpUnreach(key.family.afi, key.family.safi, key.nlri)
    return _frame(b"", encode_attribute(AttributeCode.MP_UNREACH, unreach, negotiated), b"", negotiated)


def _frame(withdrawn: bytes, attributes: bytes, nlri: bytes, negotiated: Negotiated) -> bytes:
    if len(withdrawn) >= 1 << 16 or len(attributes) >= 1 << 16:
        raise EncodeError("an UPDATE's parts are over 65535 octets")
    body = len(withdrawn).to_bytes(2, "big") + withdrawn + len(attributes).to_bytes(2, "big") + attributes + nlri
    return frame(MessageType.UPDATE, body, limit=negotiated.limit)


def _attributes(route: Route, negotiated: Negotiated) -> Attributes:
    path = _path(route, negotiated)
    local_pref = DEFAULT_LOCAL_PREF if route.local_pref is None else route.local_pref
    old = not negotiated.four_octet_as and any(asn >= 1 << 16 for segment in path for asn in segment.asns)
    common = Attributes(
        origin=Origin.IGP,
        as_path=path,
        local_pref=local_pref if negotiated.internal else None,
        communities=route.communities,
        large=route.large,
        as4_path=path if old else None,
    )
    match route:
        case UnicastRoute():
            next_hop = route.next_hop if route.prefix.afi is Afi.IPV4 else None
            return structs.replace(common, origin=route.origin, med=route.med, next_hop=next_hop)
        case FlowRoute():
            wide = tuple(action for action in route.actions if len(encode_action(action)) == IPV6_EXTENDED_OCTETS)
            short = tuple(action for action in route.actions if action not in wide)
            return structs.replace(common, extended=short, ipv6_extended=wide)


def _path(route: Route, negotiated: Negotiated) -> tuple[Segment, ...]:
    """Put this speaker's AS in front for an external peer (RFC 4271 5.1.2), unless the path starts with it."""
    asns = route.as_path if isinstance(route, UnicastRoute) else ()
    if not negotiated.internal and asns[:1] != (negotiated.local_as,):
        asns = (negotiated.local_as, *asns)
    if len(asns) > _MOST_ASNS:
        raise EncodeError(f"an AS path of {len(asns)} ASes is over {_MOST_ASNS}")
    return (Segment(SegmentType.SEQUENCE, asns),) if asns else ()
