"""Messages of the BGP Monitoring Protocol: what a router tells a station about its peers and their routes.

A `Reader` over what has arrived goes in; one `Message` comes out, or None where more octets are needed; `decode` makes
a record of it. `DecodeError` where the stream says something else than BMP version 3, or a length does not fit: after
that the stream cannot be trusted. OPENs, UPDATEs and NOTIFICATIONs inside stay octets.

Answers for: RFC 7854 section 4, RFC 8671 (Adj-RIB-Out), RFC 9069 (Loc-RIB), RFC 9736 (TLVs of Peer Up).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from tidegate.errors import DecodeError, SessionReset
from tidegate.wire.bgp import message as bgp
from tidegate.wire.bgp.constants import EXTENDED_LIMIT, MessageType
from tidegate.wire.bgp.prefix import address_text
from tidegate.wire.cursor import Reader

__all__ = [
    "HEADER_OCTETS",
    "MESSAGE_OCTETS",
    "PEER_HEADER_OCTETS",
    "VERSION",
    "BmpType",
    "Initiation",
    "Message",
    "PeerDownNotification",
    "PeerHeader",
    "PeerKey",
    "PeerType",
    "PeerUpNotification",
    "Record",
    "RouteMirroring",
    "RouteMonitoring",
    "Statistic",
    "StatisticsReport",
    "Termination",
    "Unknown",
    "View",
    "decode",
    "maybe_message",
    "octets_wanted",
]

VERSION: Final = 3
HEADER_OCTETS: Final = 6
PEER_HEADER_OCTETS: Final = 42
MESSAGE_OCTETS: Final = 1 << 20  # the most that is taken unless told otherwise; an UPDATE has 65535 at most
_TLVS: Final = 256  # in one message
_TEXT_LETTERS: Final = 1024
_IPV6, _POST_POLICY, _TWO_OCTET_AS, _ADJ_RIB_OUT = 0x80, 0x40, 0x20, 0x10  # RFC 7854 4.2, RFC 8671 4
_FILTERED: Final = 0x80  # RFC 9069 4.2, for Loc-RIB alone


class BmpType(IntEnum):
    """RFC 7854 section 4.1."""

    ROUTE_MONITORING = 0
    STATISTICS = 1
    PEER_DOWN = 2
    PEER_UP = 3
    INITIATION = 4
    TERMINATION = 5
    ROUTE_MIRRORING = 6


class PeerType(IntEnum):
    """Whose routes they are: RFC 7854 section 4.2, RFC 9069 section 4.1."""

    GLOBAL = 0
    VRF = 1  # the distinguisher says which
    LOCAL = 2
    LOC_RIB = 3


class View(StrEnum):
    """Where in the router the routes of a message were seen."""

    PRE_POLICY = "adj-rib-in pre-policy"
    POST_POLICY = "adj-rib-in post-policy"
    OUT_PRE_POLICY = "adj-rib-out pre-policy"
    OUT_POST_POLICY = "adj-rib-out post-policy"
    LOC_RIB = "loc-rib"


class Message(msgspec.Struct, frozen=True):
    """One message without its header; `type` may be none of `BmpType`."""

    type: int
    body: bytes


class PeerKey(msgspec.Struct, frozen=True):
    """What tells one peer of a router from the others; `address` is empty for a Loc-RIB."""

    type: int
    distinguisher: int
    address: bytes

    def __str__(self) -> str:
        name = address_text(self.address) if self.address else "loc-rib"
        return f"{name} of {self.distinguisher >> 32}:{self.distinguisher & 0xFFFFFFFF}" if self.distinguisher else name


class PeerHeader(msgspec.Struct, frozen=True):
    """RFC 7854 section 4.2; `time_us` counts microseconds since 1970, 0 where the router does not know."""

    key: PeerKey
    flags: int
    asn: int
    router_id: int
    time_us: int

    @property
    def view(self) -> View:
        """Where the routes were seen; means nothing in messages about the session itself."""
        if self.key.type == PeerType.LOC_RIB:
            return View.LOC_RIB
        if self.flags & _ADJ_RIB_OUT:
            return View.OUT_POST_POLICY if self.flags & _POST_POLICY else View.OUT_PRE_POLICY
        return View.POST_POLICY if self.flags & _POST_POLICY else View.PRE_POLICY

    @property
    def two_octet_as(self) -> bool:
        """Whether AS paths have two octets a number; a Loc-RIB never has (RFC 9069 section 4.2)."""
        return self.key.type != PeerType.LOC_RIB and bool(self.flags & _TWO_OCTET_AS)

    @property
    def filtered(self) -> bool:
        """Whether this Loc-RIB is told in part only."""
        return self.key.type == PeerType.LOC_RIB and bool(self.flags & _FILTERED)


class Initiation(msgspec.Struct, frozen=True):
    """Who the router is."""

    sys_name: str = ""
    sys_descr: str = ""
    texts: tuple[str, ...] = ()


class Termination(msgspec.Struct, frozen=True):
    """Why the router ends the stream; `code` is RFC 7854 section 4.5's."""

    code: int | None = None
    texts: tuple[str, ...] = ()

    def __str__(self) -> str:
        words = "no reason given" if self.code is None else _TERMINATIONS.get(self.code, f"reason {self.code}")
        return ": ".join((words, *self.texts))


class PeerUpNotification(msgspec.Struct, frozen=True):
    """A session that came up: both OPENs are bodies, without the BGP header."""

    header: PeerHeader
    local_address: bytes
    local_port: int
    remote_port: int
    sent: bytes
    received: bytes
    table_name: str = ""
    admin_label: str = ""
    texts: tuple[str, ...] = ()


class PeerDownNotification(msgspec.Struct, frozen=True):
    """A session that went down, or that is not told of any more."""

    header: PeerHeader
    code: int
    data: bytes

    def __str__(self) -> str:
        """Return the reason in words."""
        words = _DOWNS.get(self.code, f"reason {self.code}")
        if self.code == 2:
            return f"{words} {int.from_bytes(self.data[:2], 'big')}"
        if self.code not in {1, 3}:
            return words
        try:
            message = bgp.maybe_message(Reader(self.data), EXTENDED_LIMIT)
        except SessionReset:
            message = None
        if message is None or message.type is not MessageType.NOTIFICATION:
            return f"{words} that cannot be read"
        return f"{words}: {bgp.decode_notification(message.body)}"


class RouteMonitoring(msgspec.Struct, frozen=True):
    """Routes: `update` is one UPDATE with its BGP header, as yet unread."""

    header: PeerHeader
    update: bytes


class Statistic(msgspec.Struct, frozen=True):
    """One number of a report; `family` is (AFI, SAFI) where it is about one."""

    type: int
    value: int
    family: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The name of this number; those that this table does not have are named by their type."""
        return _STATISTICS.get(self.type, f"type-{self.type}")


class StatisticsReport(msgspec.Struct, frozen=True):
    """Counters and gauges of one peer."""

    header: PeerHeader
    statistics: tuple[Statistic, ...]


class RouteMirroring(msgspec.Struct, frozen=True):
    """Copies of BGP messages: only how many, and whether the router lost some or could not read one."""

    header: PeerHeader
    messages: int
    errored: bool
    lost: bool


class Unknown(msgspec.Struct, frozen=True):
    """A message of a type that has no meaning here."""

    reason: str


Record = (
    Initiation
    | Termination
    | PeerUpNotification
    | PeerDownNotification
    | RouteMonitoring
    | StatisticsReport
    | RouteMirroring
    | Unknown
)

_TERMINATIONS: Final[Mapping[int, str]] = MappingProxyType(  # RFC 7854 4.5
    {
        0: "administratively closed",
        1: "unspecified reason",
        2: "the router is out of resources",
        3: "redundant connection",
        4: "permanently administratively closed",
    }
)
_DOWNS: Final[Mapping[int, str]] = MappingProxyType(  # RFC 7854 4.9, RFC 9069 5.3
    {
        1: "the router closed the session with a NOTIFICATION",
        2: "the router closed the session without a NOTIFICATION, event of its state machine:",
        3: "the peer closed the session with a NOTIFICATION",
        4: "the peer closed the session without a NOTIFICATION",
        5: "the router does not tell of this peer any more",
        6: "the router closed the table",
    }
)
_STATISTICS: Final[Mapping[int, str]] = MappingProxyType(  # RFC 7854 4.8, RFC 8671 6.2
    {
        0: "prefixes-rejected-by-policy",
        1: "duplicate-prefixes",
        2: "duplicate-withdraws",
        3: "cluster-list-loops",
        4: "as-path-loops",
        5: "originator-id-loops",
        6: "as-confed-loops",
        7: "adj-rib-in-routes",
        8: "loc-rib-routes",
        9: "adj-rib-in-routes-of-family",
        10: "loc-rib-routes-of-family",
        11: "updates-treated-as-withdraw",
        12: "prefixes-treated-as-withdraw",
        13: "duplicate-updates",
        14: "adj-rib-out-pre-policy-routes",
        15: "adj-rib-out-post-policy-routes",
        16: "adj-rib-out-pre-policy-routes-of-family",
        17: "adj-rib-out-post-policy-routes-of-family",
    }
)


def octets_wanted(reader: Reader) -> int:
    """Return how many octets the message in front has, as far as they tell: at least a header's."""
    head = reader.peek(HEADER_OCTETS)
    return HEADER_OCTETS if len(head) < HEADER_OCTETS else max(HEADER_OCTETS, int.from_bytes(head[1:5], "big"))


def maybe_message(reader: Reader, limit: int = MESSAGE_OCTETS) -> Message | None:
    """Read one whole message of at most `limit` octets, or return None and read nothing where it is not all there."""
    start = reader.offset
    head = Reader(reader.peek(HEADER_OCTETS))
    if len(head) and head.u8() != VERSION:
        raise DecodeError("not BMP version 3", start)
    if len(head) < HEADER_OCTETS - 1:
        return None
    length, kind = head.u32(), head.u8()
    if not HEADER_OCTETS <= length <= limit:
        raise DecodeError("message length out of bounds", start + 1)
    if len(reader) < length:
        return None
    window = reader.window(length)
    window.skip(HEADER_OCTETS)
    return Message(kind, window.rest())


def decode(message: Message) -> Record:
    """Make a record of a message; `DecodeError`, its path the kind of message, where lengths do not fit."""
    decoder = _DECODERS.get(message.type)
    if decoder is None:
        return Unknown("message type")
    reader = Reader(message.body)
    try:
        return decoder(reader)
    except DecodeError as error:
        raise error.within(BmpType(message.type).name.lower().replace("_", " ")) from None


def _peer_header(reader: Reader) -> PeerHeader:
    kind, flags, distinguisher = reader.u8(), reader.u8(), reader.u64()
    address = _address(reader, wide=bool(flags & _IPV6))
    asn, router_id = reader.u32(), reader.u32()
    time_us = reader.u32() * 1_000_000 + reader.u32()
    key = PeerKey(kind, distinguisher, b"" if kind == PeerType.LOC_RIB else address)
    return PeerHeader(key, flags, asn, router_id, time_us)


def _address(reader: Reader, *, wide: bool) -> bytes:
    octets = reader.take(16)
    return octets if wide else octets[12:]  # RFC 7854 4.2: IPv4 stands in the last four


def _tlvs(reader: Reader) -> Iterator[tuple[int, bytes]]:
    for _ in range(_TLVS):
        if not len(reader):
            return
        yield reader.u16(), reader.take(reader.u16())
    if len(reader):
        raise DecodeError("too many values", reader.offset)


def _text(octets: bytes) -> str:
    words = " ".join(octets[: 4 * _TEXT_LETTERS].decode("utf-8", "replace").split())[:_TEXT_LETTERS]
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in words)


def _initiation(reader: Reader) -> Initiation:
    found = [(kind, _text(value)) for kind, value in _tlvs(reader)]
    last = dict(found)
    return Initiation(last.get(2, ""), last.get(1, ""), tuple(text for kind, text in found if kind == 0))


def _termination(reader: Reader) -> Termination:
    found = list(_tlvs(reader))
    codes = [int.from_bytes(value, "big") for kind, value in found if kind == 1 and len(value) == 2]
    return Termination(codes[0] if codes else None, tuple(_text(value) for kind, value in found if kind == 0))


def _peer_up(reader: Reader) -> PeerUpNotification:
    header = _peer_header(reader)
    local = _address(reader, wide=len(header.key.address) == 16)
    ports = reader.u16(), reader.u16()
    sent, received = _open(reader), _open(reader)
    found = [(kind, _text(value)) for kind, value in _tlvs(reader)]
    last = dict(found)
    return PeerUpNotification(
        header=header,
        local_address=local,
        local_port=ports[0],
        remote_port=ports[1],
        sent=sent,
        received=received,
        table_name=last.get(3, ""),
        admin_label=last.get(4, ""),
        texts=tuple(text for kind, text in found if kind == 0),
    )


def _open(reader: Reader) -> bytes:
    start = reader.offset
    try:
        message = bgp.maybe_message(reader, EXTENDED_LIMIT)
    except SessionReset:
        raise DecodeError("no OPEN", start) from None
    if message is None:
        raise DecodeError("truncated", start)
    if message.type is not MessageType.OPEN:
        raise DecodeError("no OPEN", start)
    return message.body


def _peer_down(reader: Reader) -> PeerDownNotification:
    return PeerDownNotification(_peer_header(reader), reader.u8(), reader.rest())


def _route_monitoring(reader: Reader) -> RouteMonitoring:
    return RouteMonitoring(_peer_header(reader), reader.rest())


def _statistics(reader: Reader) -> StatisticsReport:
    header = _peer_header(reader)
    reader.skip(4)  # how many there are; their lengths tell it too
    return StatisticsReport(header, tuple(_statistic(kind, Reader(value)) for kind, value in _tlvs(reader)))


def _statistic(kind: int, value: Reader) -> Statistic:
    if len(value) == 11:  # RFC 7854 4.8: AFI, SAFI and a gauge
        family = value.u16(), value.u8()
        return Statistic(kind, value.u64(), family)
    return Statistic(kind, value.uint(min(len(value), 8)))


def _route_mirroring(reader: Reader) -> RouteMirroring:
    header = _peer_header(reader)
    found = list(_tlvs(reader))
    notes = {int.from_bytes(value, "big") for kind, value in found if kind == 1}
    return RouteMirroring(header, sum(kind == 0 for kind, _ in found), 0 in notes, 1 in notes)


_DECODERS: Final[Mapping[int, Callable[[Reader], Record]]] = MappingProxyType(
    {
        BmpType.ROUTE_MONITORING: _route_monitoring,
        BmpType.STATISTICS: _statistics,
        BmpType.PEER_DOWN: _peer_down,
        BmpType.PEER_UP: _peer_up,
        BmpType.INITIATION: _initiation,
        BmpType.TERMINATION: _termination,
        BmpType.ROUTE_MIRRORING: _route_mirroring,
    }
)
