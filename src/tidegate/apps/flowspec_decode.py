"""`tidegate bgp flowspec decode`: octets of rules or of whole UPDATEs to their parts and meaning, offline."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec import structs

from tidegate.control.flow_explain import Explained, Refused, explain_octets
from tidegate.errors import DecodeError, SessionReset, SourceError, TextError
from tidegate.units import Asn
from tidegate.wire.bgp.attributes import Attributes, MpReach, MpUnreach, Reaction
from tidegate.wire.bgp.communities import Action, decode_action
from tidegate.wire.bgp.constants import EXTENDED_LIMIT, MARKER, Afi, Family, MessageType, Safi
from tidegate.wire.bgp.flowspec import FlowRule, OffsetForm, decode_rule
from tidegate.wire.bgp.message import maybe_message
from tidegate.wire.bgp.open import Negotiated
from tidegate.wire.bgp.prefix import Prefix, address_text
from tidegate.wire.bgp.routes import FlowRoute
from tidegate.wire.bgp.update import RouteGroup, Update, decode_update
from tidegate.wire.cursor import Reader

__all__ = ["Remark", "Shown", "Unicast", "decode_flows"]

_HEX: Final = frozenset(string.hexdigits)


class Unicast(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A prefix of an UPDATE, which may carry such ones, too."""

    afi: int
    prefix: str
    withdrawn: bool = False
    next_hop: str = ""
    communities: list[str] = []


class Remark(msgspec.Struct, frozen=True):
    """What is to be said of an UPDATE as a whole."""

    remark: str


Shown = Explained | Refused | Unicast | Remark


def decode_flows(
    text: str, actions: Sequence[str] = (), *, afi: Afi | None = None, offsets: OffsetForm = OffsetForm.RFC8956
) -> Iterator[Shown]:
    """Yield what the octets of a hexadecimal text hold: rules one after the other, or whole BGP messages.

    `actions` are extended communities, in hexadecimal, too. Without `afi` the family is the one as which the octets
    can be read, IPv4 where they can be read as either.
    """
    octets = _octets(text, "octets")
    given = tuple(_community(action) for action in actions)
    if octets.startswith(MARKER):
        if given:
            raise SourceError("--community", "a whole message has its own communities")
        yield from _messages(Reader(octets), offsets)
        return
    family = afi or _guess(octets, offsets)
    other = Afi.IPV6 if family is Afi.IPV4 else Afi.IPV4
    either = afi is None and _reads(octets, family, offsets) and _reads(octets, other, offsets)
    like = FlowRoute(FlowRule(family, ()), given)
    for shown in explain_octets(Reader(octets), like, offsets=offsets, withdrawn=False):
        if either and isinstance(shown, Explained):
            note = "it can be read as a rule of the other family, too: --afi says which it is"
            yield structs.replace(shown, notes=[*shown.notes, note])
        else:
            yield shown


def _octets(text: str, name: str) -> bytes:
    digits = "".join(text.split()).replace(":", "").lower().removeprefix("0x")
    wrong = next((place for place, letter in enumerate(digits) if letter not in _HEX), None)
    if wrong is not None:
        raise TextError(digits[: wrong + 20], wrong, f"{name}: hexadecimal digits are expected")
    if not digits or len(digits) % 2:
        raise TextError(digits[-20:], len(digits[-20:]), f"{name}: two hexadecimal digits an octet are expected")
    return bytes.fromhex(digits)


def _community(text: str) -> Action:
    octets = _octets(text, "--community")
    if len(octets) not in {8, 20}:
        raise TextError(text, 0, "--community: 8 or 20 octets are expected")
    return decode_action(octets)


def _guess(octets: bytes, offsets: OffsetForm) -> Afi:
    return Afi.IPV6 if not _reads(octets, Afi.IPV4, offsets) and _reads(octets, Afi.IPV6, offsets) else Afi.IPV4


def _reads(octets: bytes, afi: Afi, offsets: OffsetForm) -> bool:
    reader = Reader(octets)
    try:
        while len(reader):
            decode_rule(reader, afi, offsets=offsets)
    except DecodeError:
        return False
    return True


def _messages(reader: Reader, offsets: OffsetForm) -> Iterator[Shown]:
    # an internal session, in which no attribute is discarded; whether AS numbers have four octets matters to no rule
    session = Negotiated(Asn(1), Asn(1), 0, 0, frozenset(Family), extended_message=True, flow_offsets=offsets)
    place = 0
    while len(reader):
        place += 1
        name = f"message {place}"
        try:
            found = maybe_message(reader, EXTENDED_LIMIT)
            if found is None:
                raise SourceError(name, f"it is cut off after {len(reader)} octets")
            if found.type is not MessageType.UPDATE:
                raise SourceError(name, f"it is no UPDATE but {found.type.name}")
            update = decode_update(found.body, session)
        except SessionReset as error:
            raise SourceError(name, f"a receiver would end the session: {error}") from None
        yield from _shown(update, offsets)


def _shown(update: Update, offsets: OffsetForm) -> Iterator[Shown]:
    for problem in update.problems:
        if problem.part != "flowspec rule":  # these are told of one by one
            done = "the routes are treated as withdrawn" if problem.reaction is Reaction.WITHDRAW else "discarded"
            yield Remark(f"{problem.part}: {problem.reason} ({done})")
    if update.end_of_rib is not None:
        yield Remark(f"End-of-RIB of {update.end_of_rib.label}: all routes have been sent")
    for group in update.withdrawn:
        yield from _unicast(group, update.attributes, withdrawn=True)
    yield from _rules(update.attributes.mp_unreach, update.attributes, offsets, withdrawn=True)
    for group in update.announced:
        yield from _unicast(group, update.attributes, withdrawn=False)
    yield from _rules(update.attributes.mp_reach, update.attributes, offsets, withdrawn=not update.announced)


def _unicast(group: RouteGroup, attributes: Attributes, *, withdrawn: bool) -> Iterator[Shown]:
    communities = [f"{number >> 16}:{number & 0xFFFF}" for number in attributes.communities]
    for prefix in group.destinations:
        if isinstance(prefix, Prefix):
            yield Unicast(
                afi=int(prefix.afi),
                prefix=str(prefix),
                withdrawn=withdrawn,
                next_hop="" if withdrawn else address_text(group.next_hop[:16]),
                communities=[] if withdrawn else communities,
            )


def _rules(
    part: MpReach | MpUnreach | None, attributes: Attributes, offsets: OffsetForm, *, withdrawn: bool
) -> Iterator[Shown]:
    """Yield the rules as they stand in the attribute, malformed ones among them."""
    family = None if part is None else Family.of(part.afi, part.safi)
    if part is None or family is None or family.safi is not Safi.FLOWSPEC:
        return
    next_hop = part.next_hop if isinstance(part, MpReach) else b""
    actions = () if withdrawn else attributes.extended + attributes.ipv6_extended
    like = FlowRoute(FlowRule(family.afi, ()), actions, next_hop)
    yield from explain_octets(Reader(part.nlri), like, offsets=offsets, withdrawn=withdrawn)
